// Begins a new epoch of an entity topic's shard: writes the newest record of each key as a
// snapshot, then lets the former changes go. docs/design/0010-rabbitmq.md says why each step is
// where it is.
//
// Errors: as Connection's; whatever fails, the shard stays whole, and the next attempt goes on.
#ifndef MARQUEE_MESSAGING_RABBITMQ_SNAPSHOT_H_
#define MARQUEE_MESSAGING_RABBITMQ_SNAPSHOT_H_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/mutex.h"
#include "messaging/rabbitmq/connection.h"
#include "messaging/rabbitmq/session.h"
#include "messaging/rabbitmq/shard_cursor.h"
#include "messaging/rabbitmq/topics.h"
#include "messaging/record.h"

namespace marquee::messaging::rabbitmq {

// The newest record of each key. Pure.
class Newest {
 public:
  // REQUIRES: by offset, upwards.
  void Take(const Record& record);
  // Deletions published before `oldest` are left out; a reader that has not read to *floor would
  // miss them. REQUIRES: floor != nullptr.
  void DropDeletions(absl::Time oldest, Offset* floor);
  size_t size() const { return records_.size(); }
  Offset first_offset() const;         // REQUIRES: size() > 0
  Offset end() const { return end_; }  // right after the newest record that was taken

  // The messages of a snapshot, its end included.
  std::vector<std::string> ToMessages(size_t pack_bytes, const std::set<MessageId>& covered) const;

 private:
  struct Kept {
    std::optional<std::string> value;
    std::vector<std::pair<std::string, std::string>> headers;
    absl::Time published;
    Offset offset;
  };
  std::map<std::string, Kept, std::less<>> records_;
  Offset end_;
};

// How many records an epoch's stream holds, or more.
struct EpochChanges {
  uint64_t epoch = 0;
  int64_t records = 0;
};

// Where the shard has so many changes that it is due, or where somebody has begun and not ended:
// does it. False: nothing was done, since it is not due, or another is at it. kUnavailable: a node
// of the URL is away, or shows something else than the others; kNotFound: the topic is gone.
absl::StatusOr<bool> BeginEpochIfDue(Connection& connection, World& world, const Topic& topic,
                                     Shard shard, const EpochChanges& changes);

// A thread that does so for the shards that publishers speak of. What fails is in the log, and is
// tried again after 5 to 30 s, with another node.
class Compactor {
 public:
  explicit Compactor(World& world) : world_(world) {}
  ~Compactor();

  // Any thread; returns at once.
  void Request(const Topic& topic, Shard shard, const EpochChanges& changes);

 private:
  using Due = std::pair<std::string, Shard>;  // topic's identity
  void Run();
  struct Waiting {
    Topic topic;
    EpochChanges changes;
    absl::Duration at;
  };
  absl::StatusOr<bool> Compact(Shard shard, const Waiting& waiting);
  void RunOne(const Due& due, const Waiting& waiting) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  World& world_;
  std::thread thread_;
  Mutex mutex_;
  CondVar work_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<Due, Waiting> due_ ABSL_GUARDED_BY(mutex_);
  std::map<Due, absl::Duration> not_before_ ABSL_GUARDED_BY(mutex_);
  // The pauses after those that failed last.
  std::map<Due, absl::Duration> failed_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<Connection> connection_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace marquee::messaging::rabbitmq

#endif  // MARQUEE_MESSAGING_RABBITMQ_SNAPSHOT_H_
