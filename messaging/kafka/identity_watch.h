// Looks now and then, without making anybody wait, whether the topics that are read are still those
// that they were. Threads: one.
#ifndef MARQUEE_MESSAGING_KAFKA_IDENTITY_WATCH_H_
#define MARQUEE_MESSAGING_KAFKA_IDENTITY_WATCH_H_

#include <map>
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
};

class IdentityWatch {
 public:
  // `admin` outlives it.
  explicit IdentityWatch(Admin& admin) : admin_(admin) {}

  // Takes the answer to the last question, if it is there, and asks the next when it is time.
  // kNotFound: deleted; kFailedPrecondition: made again, or with more shards, which nobody reads.
  absl::Status Look(const std::map<std::string, Watched>& topics);
  // The answer that is under way says nothing of what is watched from now on.
  void Forget() { answer_.reset(); }

 private:
  void Ask(const std::map<std::string, Watched>& topics);
  absl::Status Judge(rd_kafka_event_t* event, const std::map<std::string, Watched>& topics) const;

  Admin& admin_;
  QueuePtr answer_;  // none: nothing was asked
  absl::Duration asked_at_ = -absl::InfiniteDuration();
};

// Kafka's id of a topic as the seam has it: URL-safe.
TopicIdentity IdentityOf(const rd_kafka_Uuid_t* id);

}  // namespace marquee::messaging::kafka

#endif  // MARQUEE_MESSAGING_KAFKA_IDENTITY_WATCH_H_
