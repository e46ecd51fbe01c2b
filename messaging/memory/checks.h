// Whether what a client asks for is within the seam's rules. Pure functions.
#ifndef MARQUEE_MESSAGING_MEMORY_CHECKS_H_
#define MARQUEE_MESSAGING_MEMORY_CHECKS_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "messaging/broker.h"

namespace marquee::messaging::memory {

// kInvalidArgument: a name, a number of shards or a retention that the seam does not allow.
absl::Status CheckSpec(const TopicSpec& spec);

// kFailedPrecondition, with both shown, where a topic that exists is not as it is declared.
absl::Status CheckSame(const TopicSpec& existing, const TopicSpec& declared);

// kInvalidArgument: over a limit, or for a shard that is not there.
absl::Status CheckRecord(const TopicSpec& topic, const NewRecord& record);

}  // namespace marquee::messaging::memory

#endif  // MARQUEE_MESSAGING_MEMORY_CHECKS_H_
