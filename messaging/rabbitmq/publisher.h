// Publishes to a topic. Publish copies records into a pack for each shard; a thread compresses full
// ones, sends them with a window of confirms, and keeps what is not confirmed, to send it again in
// order after a nack or on another connection.
//
// What the former connection sent cannot follow what a new one sends: the new one first declares an
// exclusive queue that the broker refuses it while the former lives.
//
// A message to an entity topic counts where it is before the end of its epoch. So this publisher
// reads what it has published, and publishes again what came too late.
//
// Memory: kQueueBytesMax of open packs and of sealed ones, and the window's packs as they are sent.
// Threads: the caller's, one at a time, and one of its own. What both touch is guarded.
#ifndef MARQUEE_MESSAGING_RABBITMQ_PUBLISHER_H_
#define MARQUEE_MESSAGING_RABBITMQ_PUBLISHER_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "messaging/broker.h"
#include "messaging/pack.h"
#include "messaging/pack_gatherer.h"
#include "messaging/rabbitmq/absence.h"
#include "messaging/rabbitmq/connection.h"
#include "messaging/rabbitmq/follow.h"
#include "messaging/rabbitmq/message.h"
#include "messaging/rabbitmq/session.h"
#include "messaging/rabbitmq/shard_cursor.h"
#include "messaging/rabbitmq/snapshot.h"
#include "messaging/rabbitmq/topics.h"

namespace marquee::messaging::rabbitmq {

inline constexpr size_t kQueueBytesMax = size_t{8} << 20;  // of sealed packs

// Told how many changes a shard of an entity topic holds, where they may be enough for a new epoch.
using ChangesSeen =
    std::function<void(const Topic& topic, Shard shard, const EpochChanges& changes)>;

class RabbitmqPublisher final : public Publisher {
 public:
  RabbitmqPublisher(World& world, Topics& topics, Topic topic, ChangesSeen changes_seen);
  // What was not flushed may not be stored.
  ~RabbitmqPublisher() override;

  absl::Status Publish(std::span<const NewRecord> records) override;
  absl::StatusOr<FlushedThrough> Flush() override;
  // Of what fits into one pack.
  size_t together_bytes_max() const override { return together_bytes_max_; }

 private:
  struct Sent {
    Shard shard;
    uint64_t sequence = 0;
    uint64_t tag = 0;  // on the present connection; 0: not sent on it
    bool confirmed = false;
    bool stored = false;  // confirmed, and where it counts
    std::string body;
    std::optional<PlainProperties> plain;  // of a message of one record, where packs are off
  };
  // What this publisher knows of a shard that it has published to. Of the thread alone.
  struct ShardTail {
    uint64_t sequence = 0;  // of the last message
    bool known = false;     // the rest holds
    Offset hint;            // right after the last that was looked for
    bool flushed = false;
    bool repeated = false;  // something was sent twice since it was looked for
    int64_t unfound = 0;    // messages since then
    // Of an event topic: at `hint`, where it is followed. Of an entity topic: where its present
    // epoch is read to, from its beginning on, and up to which sequence this publisher's messages
    // were found in it before an end of it; where that is.
    std::optional<ShardCursor> cursor;
    uint64_t seen = 0;
    Offset seen_after;
    Absence absence;  // of its stream
    // Of an entity topic: the changes of its present epoch, everybody's, as far as it was read.
    int64_t changes = 0;
    // Those that were spoken of last, or the epoch that it was found in.
    EpochChanges spoken;
  };

  // Of the caller's thread.
  absl::Status WaitUntil(const std::function<bool()>& done, std::string_view what)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status TakeError() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Wake();

  // Of the thread.
  void Run();
  absl::Status Work();
  absl::Status Connect();
  absl::Status Fence();
  void ForgetSent();
  void DropConnection() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Fail(const absl::Status& status);
  void Trouble(const absl::Status& status);
  absl::Status TakeEvents();
  absl::Status TakeEvent(Event event);
  void Confirm(uint64_t tag, bool multiple);
  void ConfirmOne(uint64_t tag, uint64_t sequence);
  std::optional<SealedPack> NextSealed();
  absl::Status Keep(SealedPack* sealed);
  void KeepPack(SealedPack* sealed);
  absl::Status KeepPlain(SealedPack* sealed);
  absl::Status SendMore();
  absl::Status SendUnsent();
  absl::Status Send(Sent* message);
  size_t MaySend() const;
  bool IsEntity() const { return topic_.spec.kind == TopicKind::kEntity; }
  bool ShouldSettle();
  absl::Status Settle();
  void PopStored();
  void Recount();
  absl::Status LearnTail(Shard shard, ShardTail* tail);
  absl::Status WhyGone(std::string_view text);
  absl::Status WhyEpochsGone(std::string_view text);
  absl::Status Gone(const absl::Status& status);
  absl::Status FinishFlush();
  absl::Status FindTails();
  absl::Status FindTail(Shard shard, ShardTail* tail);
  Follow FollowTail(Shard shard, ShardTail* tail);
  void SpeakOfChanges(Shard shard, ShardTail* tail);
  bool HasWork();
  void Rest();

  World& world_;
  Topics& topics_;
  const Topic topic_;
  const ChangesSeen changes_seen_;
  Absence absence_;  // of the exchange or a stream of an event topic
  const std::string exchange_;
  const uint64_t nonce_;
  const size_t together_bytes_max_;
  const int wake_;  // an eventfd
  std::thread thread_;

  Mutex mutex_;
  CondVar done_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  bool flush_waits_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;  // the thread has
  bool drop_ ABSL_GUARDED_BY(mutex_) = false;   // the thread is to forget all that was sent
  absl::Status error_ ABSL_GUARDED_BY(mutex_);  // not told yet
  std::string trouble_ ABSL_GUARDED_BY(mutex_);
  FlushedThrough through_ ABSL_GUARDED_BY(mutex_);
  PackGatherer gatherer_ ABSL_GUARDED_BY(mutex_);
  // To interrupt what its thread waits for.
  std::shared_ptr<Connection> connection_ ABSL_GUARDED_BY(mutex_);

  // Of the thread.
  std::shared_ptr<Connection> mine_;
  std::optional<Follower> follower_;  // on it
  bool fenced_ = false;
  // In order of publishing; not stored, as far as is known. Of the first so many as the window has,
  // those before `unsent_` are on the present connection.
  std::deque<Sent> sent_;
  size_t unsent_ = 0;
  size_t unconfirmed_ = 0;  // of sent_, and confirmed but not known to be where they count
  size_t unsettled_ = 0;
  // What was sent on the present connection, by tags without gaps from `first_tag_` on: sequences;
  // 0: confirmed. One that was published again there has two tags, and the later one counts.
  std::deque<uint64_t> on_wire_;
  uint64_t first_tag_ = 1;
  bool turn_again_ = false;
  std::map<Shard, ShardTail> tails_;
  std::set<Shard> touched_;  // published to since their tails were found
  uint64_t sequence_ = 0;
  PackCompressor compressor_;
  PackDecoder decoder_;
  absl::Duration connect_at_ = -absl::InfiniteDuration();
  Backoff backoff_;
};

}  // namespace marquee::messaging::rabbitmq

#endif  // MARQUEE_MESSAGING_RABBITMQ_PUBLISHER_H_
