// The topics and groups of a broker: the stream marquee.topics, folded in order. Of several entries
// that declare a topic the first wins.
//
// Threads: any. Errors: as Broker's.
#ifndef MARQUEE_MESSAGING_RABBITMQ_TOPICS_H_
#define MARQUEE_MESSAGING_RABBITMQ_TOPICS_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "messaging/broker.h"
#include "messaging/rabbitmq/connection.h"
#include "messaging/rabbitmq/session.h"

namespace marquee::messaging::rabbitmq {

struct Topic {
  TopicSpec spec;
  TopicIdentity identity;
};

// Somebody else deleted `what`, as in "stream ratings.1@…", of the topic: kDataLoss, with what may
// be done.
absl::Status DeletedUnderneath(std::string_view topic, std::string_view what);

// What the entries say. A pure fold.
class TopicLog {
 public:
  // Of one entry; one that this version does not understand is passed over.
  void Take(std::string_view entry);
  const std::map<std::string, Topic, std::less<>>& topics() const { return topics_; }
  const std::set<std::string>& groups() const { return groups_; }
  bool HasSeen(std::string_view identity) const { return seen_.contains(std::string(identity)); }

  static std::string Declared(const Topic& topic);
  static std::string Deleted(const Topic& topic);
  static std::string GroupMade(std::string_view group);

 private:
  std::map<std::string, Topic, std::less<>> topics_;
  std::set<std::string> groups_;
  std::set<std::string> seen_;  // identities, those deleted or too late too
};

class Topics {
 public:
  Topics(World& world, Session& session) : world_(world), session_(session) {}

  absl::StatusOr<Topic> Declare(const TopicSpec& spec);
  absl::StatusOr<Topic> Find(std::string_view name);
  // Also checks that there is such a shard.
  absl::StatusOr<Topic> FindShard(const TopicShard& shard);
  // The same without asking the broker, as it was found the last time. It may be another by now, or
  // gone: then its streams are.
  absl::StatusOr<Topic> RecallShard(const TopicShard& shard);
  absl::StatusOr<std::vector<Topic>> All();
  absl::Status Delete(std::string_view name);
  absl::StatusOr<std::set<std::string>> Groups();
  // Writes the group down where it is not yet.
  absl::Status NoteGroup(const std::string& group);

 private:
  absl::Status Refresh(Connection& connection) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status RefreshUntilSeen(Connection& connection, std::string_view identity)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status AppendEntry(Connection& connection, std::string_view entry);
  absl::Status MakeStreams(Connection& connection, const Topic& topic);
  absl::Status DeleteStreams(Connection& connection, const Topic& topic);
  absl::StatusOr<Topic> Known(std::string_view name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  World& world_;
  Session& session_;
  Mutex mutex_;
  TopicLog log_ ABSL_GUARDED_BY(mutex_);
  int64_t next_ ABSL_GUARDED_BY(mutex_) = 0;  // of the stream
};

}  // namespace marquee::messaging::rabbitmq

#endif  // MARQUEE_MESSAGING_RABBITMQ_TOPICS_H_
