// Looks now and then, without making anybody wait, whether the topics that are read are still those
// that they were. Threads: one.
#ifndef MARQUEE_MESSAGING_KAFKA_IDENTITY_WATCH_H_
#define MARQUEE_MESSAGING_KAFKA_IDENTITY_WATCH_H_

#include <map>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "messaging/broker.h"
#include "messaging/kafka/admin.h"
#include "messaging/kafka/handle.h"

namespace marquee::messaging::kafka {

// What is known of a topic that is watched.
struct Watched {
  TopicIdentity identity;
  uint32_t shards = 0;
  TopicKind kind = TopicKind::kEvent;
};

class IdentityWatch {
 public:
  // `admin` outlives it.
  explicit IdentityWatch(Admin& admin) : admin_(admin) {}

  // Takes the answer to the last question, if it is there, and asks the next when it is time.
  // kFailedPrecondition: a topic has more shards, which nobody reads. What one broker says to be
  // gone, or another, is added to `suspects`: it may lag behind the others.
  absl::Status Look(const std::map<std::string, Watched>& topics, std::set<std::string>* suspects);
  // The answer that is under way says nothing of what is watched from now on.
  void Forget() { answer_.reset(); }

 private:
  void Ask(const std::map<std::string, Watched>& topics);
  absl::Status Judge(rd_kafka_event_t* event, const std::map<std::string, Watched>& topics,
                     std::set<std::string>* suspects) const;

  Admin& admin_;
  QueuePtr answer_;  // none: nothing was asked
  absl::Duration asked_at_ = -absl::InfiniteDuration();
};

// Kafka's id of a topic as the seam has it: URL-safe.
TopicIdentity IdentityOf(const rd_kafka_Uuid_t* id);

}  // namespace marquee::messaging::kafka

#endif  // MARQUEE_MESSAGING_KAFKA_IDENTITY_WATCH_H_
