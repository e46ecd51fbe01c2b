// The seam: all that a service knows of a message broker. One contract, kept by every backend; the
// conformance suite (messaging/conformance) has tests named after its nine sentences.
//
//  1. Sharded.     A topic has a fixed number of shards, set when it is declared; a message's shard
//                  follows from its key (ShardOfKey), or is named by the publisher.
//  2. Ordered.     Messages of one publisher with the same key are delivered in the order of
//                  publishing.
//  3. Positioned.  Each message has an offset in its shard that grows, has gaps and never changes.
//                  A subscription starts at any offset, the start, the end, or a time. A topic has
//                  an identity; a position kept from another topic of the same name is an error.
//  4. Durable.     When Flush returns ok, no crash of ours or restart of the broker loses what was
//                  published before.
//  5. Repeatable.  Delivery is at least once; messages stay readable after they were processed, for
//                  every group.
//  6. Owned.       In a group each shard has one live member at a time, each time with a higher
//                  generation. A member learns of it where it polls: gained, revoked, lost.
//  7. Bounded.     Queues have limits. A publisher ahead of its broker waits; nothing is dropped
//                  silently. A message over the limit is refused.
//  8. Retained.    An event topic keeps messages for its retention; an entity topic keeps at least
//                  the newest message of each key. Asking for an offset that is gone or beyond the
//                  end is an error that names the gap.
//  9. Honest.      An unreachable backend is retried with backoff until a deadline. What a caller
//                  may have to handle is a status whose code says what to do (base/status.h); a
//                  broken precondition aborts.
//
// Ownership: a Broker outlives the publishers and subscriptions made from it.
// Threads: a Broker may be used from any thread; a Publisher or Subscription by one thread at a
// time.
#ifndef MARQUEE_MESSAGING_BROKER_H_
#define MARQUEE_MESSAGING_BROKER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "messaging/record.h"

namespace marquee::messaging {

enum class TopicKind {
  kEvent,   // what happened: every message is kept, for ever or for a retention time
  kEntity,  // the present state: at least the newest message of every key is kept
};

struct TopicSpec {
  std::string name;  // 1 to 200 of [a-z0-9._-], beginning with a letter or digit
  TopicKind kind = TopicKind::kEvent;
  uint32_t shards = 1;  // 1 .. kShardsMax
  // Event topics alone: messages older than this may be dropped. Infinite: never.
  absl::Duration retention = absl::InfiniteDuration();
};

struct TopicInfo {
  TopicSpec spec;
  TopicIdentity identity;
  int64_t bytes_on_disk = 0;  // 0 where the backend cannot tell
};

// What a shard holds: every retained record has begin <= offset < end. Equal where it holds none.
struct Extent {
  Offset begin;
  Offset end;
};

inline constexpr uint32_t kShardsMax = 1024;
inline constexpr size_t kMessageBytesMax = 1 << 20;  // key, value and headers together
inline constexpr size_t kKeyBytesMax = 1024;
inline constexpr size_t kHeadersMax = 32;
// Records that wait for no flush are sent on after at most this long.
inline constexpr absl::Duration kLinger = absl::Milliseconds(100);

// For each shard of the topic that this publisher has ever published to successfully: an offset
// above the offsets of all its records there, and at most the shard's end when Flush returned. Who
// has read or processed the shard up to it has read or processed these records. (Not the records'
// own offsets: a RabbitMQ confirm does not tell those.)
using FlushedThrough = std::map<Shard, Offset>;

// Publishes to one topic.
class Publisher {
 public:
  virtual ~Publisher() = default;

  // Takes copies, in order. Waits while the bounded queue is full, at most the broker's deadline
  // (then kDeadlineExceeded, which says what it waits for). kInvalidArgument: a record over a limit
  // or for a shard that is not there, with nothing of the call taken. Any other error: an earlier
  // record could not be stored; as after a failed Flush.
  virtual absl::Status Publish(std::span<const NewRecord> records) = 0;

  // Returns ok when all that was published before is durable. On an error, any part of what was
  // published since the last successful Flush may have been stored; none of it is sent any more,
  // and the publisher may be used again: publish it again.
  virtual absl::StatusOr<FlushedThrough> Flush() = 0;

  // Whoever reads one of some records finds those before it, whatever fails, if they were published
  // to one shard with one call, before which nothing was published to it since the last flush, and
  // have at most so many bytes together, as BytesTogether counts. 0: not promised.
  virtual size_t together_bytes_max() const { return 0; }
};

// Keys, values and headers, and kRecordBytes more for each record and each header: more than what a
// backend stores beside them.
size_t BytesTogether(std::span<const NewRecord> records);
inline constexpr size_t kRecordBytes = 16;

struct StartPosition {
  struct Earliest {};
  struct Latest {};
  struct Since {
    absl::Time time;  // the first record with published >= time, and all that follow it
  };
  std::variant<Earliest, Latest, Since, Position> at;

  static StartPosition AtEarliest() { return {Earliest{}}; }
  static StartPosition AtLatest() { return {Latest{}}; }
  static StartPosition AtTime(absl::Time time) { return {Since{time}}; }
  static StartPosition At(Position position) { return {std::move(position)}; }
};

// What a member of a group learns of its shards.
struct OwnershipEvent {
  enum class Kind {
    kGained,   // the shard is this member's: answer with Start
    kRevoked,  // it is wanted elsewhere: finish, flush, then Release; it is taken away after the
               // session timeout
    kLost,     // it is gone: stop at once; no Release
  };
  Kind kind;
  TopicShard shard;
  uint64_t generation = 0;  // grows with each new owner of the shard in this group
};

// Records of one shard, in order of offset.
struct Batch {
  TopicShard shard;
  std::span<const Record> records;  // borrowed until the next Poll; may be empty
  Offset next;                      // the subscription's position after this batch
  // All that was ever published between the position before and `next` is among `records`: nothing
  // of it was superseded or deleted before it was read. A broker that cannot tell says false.
  bool whole = false;
};

struct Delivery {
  std::vector<OwnershipEvent> events;  // in the order in which they came about
  std::optional<Batch> batch;          // none: nothing more to read for now
};

// Reads shards, from positions of the reader's choice. One made with OpenReader reads any shard;
// one made with JoinGroup reads the shards that its group gives it.
class Subscription {
 public:
  virtual ~Subscription() = default;  // leaves the group: its shards go to others at once

  // Waits for news for at most `wait` (not at all where the broker's clock is manual), then returns
  // ownership events and at most one batch. A member must poll at least once in every session
  // timeout, or its shards go to others. No batch ever holds records of a shard that was
  // revoked-and-released or lost before this call returned. kOutOfRange: retention overtook the
  // position; kFailedPrecondition: the topic is another by now.
  virtual absl::StatusOr<Delivery> Poll(absl::Duration wait) = 0;

  // Reads `shard` from `position` on; called again it moves there. A grouped subscription may start
  // only what it owns (kAborted otherwise). kOutOfRange with the gap in the message: the offset is
  // gone or beyond the end; kFailedPrecondition: the position is of a topic with another identity;
  // kNotFound: no such topic or shard.
  virtual absl::Status Start(const TopicShard& shard, const StartPosition& position) = 0;

  // Reads `shard` no more, and gives it up where it is owned. Harmless where it is neither.
  virtual absl::Status Release(const TopicShard& shard) = 0;

  // The position from which the next batch of `shard` will come: everything retained below it was
  // delivered. REQUIRES: started.
  virtual absl::StatusOr<Offset> Next(const TopicShard& shard) const = 0;

  // How many records of `shard` lie ahead, as the backend counts them (an estimate where it cannot
  // know). REQUIRES: started.
  virtual absl::StatusOr<int64_t> Lag(const TopicShard& shard) = 0;

  // Tells the broker how far the group has come, for monitoring alone: written late, lost without
  // harm, and never read back as a position. Groups that are not joined (readers with a catalogue
  // of their own) may report too.
  virtual absl::Status ReportPosition(const TopicShard& shard, Offset next) = 0;
};

struct SubscriptionOptions {
  // The group under which ReportPosition reports and, with JoinGroup, under which shards are
  // shared.
  std::string group;
  // For people: "meanratingproducer-7f3a". Made up where empty.
  std::string member;
  // A member that has not polled for this long is taken for dead.
  absl::Duration session_timeout = absl::Seconds(6);
  // False: nobody looks at the records' headers, and they may be left out, which is quicker on some
  // brokers.
  bool headers = true;
  // Records may wait at the broker for more of them for so long, so that they come in fewer and
  // larger deliveries: for readers that nobody waits for. At most kReadLingerMax; a broker may hand
  // them out at once all the same.
  absl::Duration linger = absl::ZeroDuration();
};
inline constexpr absl::Duration kReadLingerMax = absl::Seconds(1);

struct GroupShard {
  TopicShard shard;
  std::string owner;  // empty: nobody
  uint64_t generation = 0;
  std::optional<Offset> reported;  // none: never reported
  int64_t lag = 0;                 // records beyond `reported`, or in the whole shard
};

struct GroupInfo {
  std::string group;
  std::vector<std::string> members;
  std::vector<GroupShard> shards;
  // kNotFound, kDataLoss: why nothing else is known of it; somebody else deleted something.
  absl::Status status;
};

class Broker {
 public:
  virtual ~Broker() = default;

  // Makes the topic, or finds it as asked for. kFailedPrecondition: it exists with another kind,
  // number of shards or retention; the message shows both.
  virtual absl::StatusOr<TopicInfo> DeclareTopic(const TopicSpec& spec) = 0;
  virtual absl::StatusOr<TopicInfo> DescribeTopic(std::string_view topic) = 0;  // kNotFound
  virtual absl::StatusOr<std::vector<TopicInfo>> ListTopics() = 0;              // by name
  virtual absl::Status DeleteTopic(std::string_view topic) = 0;                 // kNotFound

  // kNotFound. A reader that starts at or before `end` and polls until its Next is at least `end`
  // has read all that was published (and flushed) before this call; of an entity topic all but
  // what a newer record of its key has replaced, which may lie beyond `end`: read on for that.
  virtual absl::StatusOr<Extent> DescribeShard(const TopicShard& shard) = 0;

  // The same of several shards, in their order: one question to the server where the backend can.
  virtual absl::StatusOr<std::vector<Extent>> DescribeShards(std::span<const TopicShard> shards);

  virtual absl::StatusOr<std::unique_ptr<Publisher>> OpenPublisher(std::string_view topic) = 0;
  virtual absl::StatusOr<std::unique_ptr<Subscription>> OpenReader(SubscriptionOptions options) = 0;
  // Joins `options.group`, which shares all shards of `topics`. All members name the same topics;
  // where several topics have the same number of shards, shard i of each goes to the same member.
  virtual absl::StatusOr<std::unique_ptr<Subscription>> JoinGroup(
      std::span<const std::string> topics, SubscriptionOptions options) = 0;

  virtual absl::StatusOr<std::vector<GroupInfo>> ListGroups() = 0;  // by name
};

struct BrokerOptions {
  // How long an unreachable backend, or a full queue, is waited for before a call gives up.
  absl::Duration deadline = absl::Seconds(60);
  // Settings of one backend, by their full names ("sqlite.page_size_bytes"); an unknown one is
  // kInvalidArgument.
  std::map<std::string, std::string> settings;
};

}  // namespace marquee::messaging

#endif  // MARQUEE_MESSAGING_BROKER_H_
