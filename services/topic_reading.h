// Reading a shard of a topic from its start to its present end, for topics that are small.
#ifndef MARQUEE_SERVICES_TOPIC_READING_H_
#define MARQUEE_SERVICES_TOPIC_READING_H_

#include <functional>

#include "absl/status/status.h"
#include "messaging/broker.h"

namespace marquee::services {

using RecordVisitor = std::function<absl::Status(const messaging::Record&)>;

// Polls `reader`, which has started `shard` and nothing else, until it has read everything below
// `end`; what a backend delivers again is visited again. An error of `visit` ends it.
// kDeadlineExceeded: kReadSilentPollsMax polls brought nothing.
absl::Status ReadThrough(messaging::Subscription& reader, const messaging::TopicShard& shard,
                         messaging::Offset end, const RecordVisitor& visit);

// The same from the start to what is the end now, with a reader of its own.
absl::Status ReadShard(messaging::Broker& broker, const messaging::TopicShard& shard,
                       const RecordVisitor& visit);

// Polls without news before a read gives up; at kReadPoll each.
inline constexpr int kReadSilentPollsMax = 3000;
inline constexpr absl::Duration kReadPoll = absl::Milliseconds(10);

}  // namespace marquee::services

#endif  // MARQUEE_SERVICES_TOPIC_READING_H_
