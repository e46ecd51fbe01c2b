#include "messaging/kafka/topic_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "absl/strings/numbers.h"
#include "base/status.h"
#include "messaging/checks.h"
#include "messaging/kafka/client.h"

namespace marquee::messaging::kafka {
namespace {

constexpr int kReplicas = 3;
constexpr int kMinInsync = 2;
// A segment with messages older than a topic's retention goes as a whole: several to a retention.
constexpr int kSegmentsPerRetention = 8;
constexpr absl::Duration kSegmentMin = absl::Seconds(1);
constexpr absl::Duration kSegmentMax = absl::Hours(24 * 7);
// A deletion stays readable for as long as a reader that saw the key may lag.
constexpr absl::Duration kDeletionsReadable = absl::Hours(24);
constexpr absl::Duration kCompactionLagMax = absl::Hours(1);
// The broker compacts a shard when so much of it is new.
constexpr const char* kDirtyRatio = "0.2";
constexpr const char* kForEver = "-1";
constexpr const char* kAnyTime = "9223372036854775807";

std::string Ms(absl::Duration duration) {
  return fmt::format("{}", absl::ToInt64Milliseconds(duration));
}

}  // namespace

ReplicaCounts ReplicaCountsFor(const KafkaSettings& settings, size_t brokers) {
  int usual = std::min(kReplicas, std::max(1, static_cast<int>(brokers)));
  int replicas = settings.replication_factor.value_or(usual);
  return {replicas, settings.min_insync_replicas.value_or(replicas >= kReplicas ? kMinInsync : 1)};
}

std::map<std::string, std::string> ConfigOfNewTopic(const TopicSpec& spec,
                                                    const KafkaSettings& settings,
                                                    const ReplicaCounts& counts) {
  std::map<std::string, std::string> config = {
      {"min.insync.replicas", fmt::format("{}", counts.min_insync)},
      {"max.message.bytes", fmt::format("{}", kMessageBytesMax + kMessageOverheadBytesMax)},
      {"message.timestamp.type", "CreateTime"},
      // A publisher's clock may be wrong; its messages are taken all the same.
      {"message.timestamp.after.max.ms", kAnyTime},
      {"message.timestamp.before.max.ms", kAnyTime},
      {"unclean.leader.election.enable", "false"},
  };
  if (spec.kind == TopicKind::kEntity) {
    config["cleanup.policy"] = "compact";
    config["segment.bytes"] = fmt::format("{}", settings.segment_bytes);
    config["segment.ms"] = Ms(settings.segment_time);
    config["min.cleanable.dirty.ratio"] = kDirtyRatio;
    config["min.compaction.lag.ms"] = "0";
    config["max.compaction.lag.ms"] = Ms(kCompactionLagMax);
    config["delete.retention.ms"] = Ms(kDeletionsReadable);
    return config;
  }
  config["cleanup.policy"] = "delete";
  config["retention.bytes"] = kForEver;
  config["retention.ms"] = kForEver;
  if (spec.retention != absl::InfiniteDuration()) {
    config["retention.ms"] = Ms(spec.retention);
    config["segment.ms"] =
        Ms(std::clamp(spec.retention / kSegmentsPerRetention, kSegmentMin, kSegmentMax));
  }
  return config;
}

TopicConfig TopicConfig::Of(const rd_kafka_ConfigResource_t* resource) {
  TopicConfig config;
  size_t count = 0;
  const rd_kafka_ConfigEntry_t** entries = rd_kafka_ConfigResource_configs(resource, &count);
  for (size_t i = 0; i < count; ++i) {
    std::string_view name = rd_kafka_ConfigEntry_name(entries[i]);
    const char* text = rd_kafka_ConfigEntry_value(entries[i]);
    if (text == nullptr) continue;
    if (name == "cleanup.policy") config.cleanup_policy = text;
    if (name == "message.timestamp.type") config.timestamp_type = text;
    if (name == "retention.ms") (void)absl::SimpleAtoi(text, &config.retention_ms);
    if (name == "retention.bytes") (void)absl::SimpleAtoi(text, &config.retention_bytes);
    if (name == "min.insync.replicas") (void)absl::SimpleAtoi(text, &config.min_insync_replicas);
    if (name == "max.message.bytes") (void)absl::SimpleAtoi(text, &config.message_bytes_max);
  }
  return config;
}

TopicSpec TopicConfig::SpecOf(const std::string& name, uint32_t shards) const {
  bool entity = cleanup_policy.find("compact") != std::string::npos;
  TopicSpec spec{.name = name, .kind = entity ? TopicKind::kEntity : TopicKind::kEvent};
  spec.shards = shards;
  if (!entity && retention_ms >= 0) spec.retention = absl::Milliseconds(retention_ms);
  return spec;
}

absl::Status TopicConfig::CheckAsDeclared(const TopicSpec& spec, uint32_t shards, size_t replicas,
                                          const KafkaSettings& settings) const {
  MARQUEE_RETURN_IF_ERROR(CheckSame(SpecOf(spec.name, shards), spec));
  auto refuse = [&](std::string_view what, const std::string& expected, const std::string& found) {
    return absl::FailedPreconditionError(
        fmt::format("topic {}: expected {}={}, found {}; alter the topic, or choose another name",
                    spec.name, what, expected, found));
  };
  auto number = [](int64_t value) { return fmt::format("{}", value); };
  bool entity = spec.kind == TopicKind::kEntity;
  if (cleanup_policy != (entity ? "compact" : "delete"))
    return refuse("cleanup.policy", entity ? "compact" : "delete", cleanup_policy);
  if (!entity && retention_bytes >= 0)
    return refuse("retention.bytes", kForEver, number(retention_bytes));
  if (timestamp_type != "CreateTime")
    return refuse("message.timestamp.type", "CreateTime", timestamp_type);
  auto bytes_min = static_cast<int64_t>(kMessageBytesMax) + kMessageOverheadBytesMax;
  if (message_bytes_max < bytes_min)
    return refuse("max.message.bytes", number(bytes_min), number(message_bytes_max));
  if (settings.replication_factor && static_cast<size_t>(*settings.replication_factor) != replicas)
    return refuse("replication factor", number(*settings.replication_factor),
                  number(static_cast<int64_t>(replicas)));
  if (settings.min_insync_replicas && *settings.min_insync_replicas != min_insync_replicas)
    return refuse("min.insync.replicas", number(*settings.min_insync_replicas),
                  number(min_insync_replicas));
  return absl::OkStatus();
}

}  // namespace marquee::messaging::kafka
