// Whether what a client asks for is within the seam's rules. Pure functions.
#ifndef MARQUEE_MESSAGING_CHECKS_H_
#define MARQUEE_MESSAGING_CHECKS_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "messaging/broker.h"

namespace marquee::messaging {

// kInvalidArgument: a name, a number of shards or a retention that the seam does not allow.
absl::Status CheckSpec(const TopicSpec& spec);

// kFailedPrecondition, with both shown, where a topic that exists is not as it is declared.
absl::Status CheckSame(const TopicSpec& existing, const TopicSpec& declared);

// kNotFound: the topic has no such shard.
absl::Status CheckShard(const TopicSpec& topic, Shard shard);

// kInvalidArgument: over a limit, or for a shard that is not there.
absl::Status CheckRecord(const TopicSpec& topic, const NewRecord& record);

}  // namespace marquee::messaging

#endif  // MARQUEE_MESSAGING_CHECKS_H_
