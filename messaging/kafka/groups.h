// Groups as people see them: who is in one, who owns what, how far it has come. And the names that
// a group of the seam has on Kafka: its own, and for topics with fewer shards than the most its
// name with their number, since each Kafka group shares one topic.
#ifndef MARQUEE_MESSAGING_KAFKA_GROUPS_H_
#define MARQUEE_MESSAGING_KAFKA_GROUPS_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "messaging/broker.h"
#include "messaging/kafka/admin.h"
#include "messaging/kafka/kafka_offset.h"
#include "messaging/kafka/topics.h"

namespace marquee::messaging::kafka {

// "group", or "group.5-shards" where `shards` is not `most`.
std::string KafkaGroupOf(std::string_view group, uint32_t shards, uint32_t most);
// The inverse. A group of that ending which is somebody else's shows up under its beginning.
std::string GroupOf(std::string_view kafka_group);

// Commits for a group that nobody has joined. For monitoring alone: errors are ignored.
void CommitForGroup(Admin& admin, const std::string& group,
                    const std::map<TopicShard, KafkaOffset>& positions, bool wait);

absl::StatusOr<std::vector<GroupInfo>> ListGroups(Admin& admin, Topics& topics);

}  // namespace marquee::messaging::kafka

#endif  // MARQUEE_MESSAGING_KAFKA_GROUPS_H_
