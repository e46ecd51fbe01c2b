// How a topic of the seam is configured on Kafka, and what an existing topic's configuration says.
// Pure.
#ifndef MARQUEE_MESSAGING_KAFKA_TOPIC_CONFIG_H_
#define MARQUEE_MESSAGING_KAFKA_TOPIC_CONFIG_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "librdkafka/rdkafka.h"
#include "messaging/broker.h"
#include "messaging/kafka/settings.h"

namespace marquee::messaging::kafka {

struct ReplicaCounts {
  int replicas;
  int min_insync;
};
// As set, else 3 and 2 as far as there are brokers.
ReplicaCounts ReplicaCountsFor(const KafkaSettings& settings, size_t brokers);

std::map<std::string, std::string> ConfigOfNewTopic(const TopicSpec& spec,
                                                    const KafkaSettings& settings,
                                                    const ReplicaCounts& counts);

// What matters of an existing topic's configuration.
struct TopicConfig {
  std::string cleanup_policy = "delete";
  int64_t retention_ms = -1;
  int64_t retention_bytes = -1;
  int64_t min_insync_replicas = 1;
  int64_t message_bytes_max = 0;
  std::string timestamp_type = "CreateTime";

  static TopicConfig Of(const rd_kafka_ConfigResource_t* resource);

  TopicSpec SpecOf(const std::string& name, uint32_t shards) const;
  // kFailedPrecondition, with both shown.
  absl::Status CheckAsDeclared(const TopicSpec& spec, uint32_t shards, size_t replicas,
                               const KafkaSettings& settings) const;
};

}  // namespace marquee::messaging::kafka

#endif  // MARQUEE_MESSAGING_KAFKA_TOPIC_CONFIG_H_
