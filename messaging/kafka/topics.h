// The topics of a cluster: declared, described, listed, deleted; where their shards begin and end.
// What cannot change while a topic's identity is the same is asked once.
//
// Threads: any.
#ifndef MARQUEE_MESSAGING_KAFKA_TOPICS_H_
#define MARQUEE_MESSAGING_KAFKA_TOPICS_H_

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "messaging/broker.h"
#include "messaging/kafka/admin.h"
#include "messaging/kafka/kafka_offset.h"
#include "messaging/kafka/settings.h"
#include "messaging/kafka/topic_config.h"

namespace marquee::messaging::kafka {

class Topics {
 public:
  // Both outlive it.
  Topics(Admin& admin, const KafkaSettings& settings) : admin_(admin), settings_(settings) {}

  absl::StatusOr<TopicInfo> Declare(const TopicSpec& spec);
  absl::StatusOr<TopicInfo> Describe(std::string_view topic);
  absl::StatusOr<std::vector<TopicInfo>> List();
  absl::Status Delete(std::string_view topic);

  // As Describe, from memory where it was asked within the last `age`.
  absl::StatusOr<TopicInfo> DescribeRecent(std::string_view topic, absl::Duration age);
  // kNotFound, or kFailedPrecondition where the topic of this name is another than `identity`.
  absl::Status CheckIdentity(std::string_view topic, const TopicIdentity& identity,
                             absl::Duration age);

  absl::StatusOr<Extent> ExtentOf(const TopicShard& shard);
  // The extents of many shards in two requests to each broker.
  absl::StatusOr<std::map<TopicShard, Extent>> ExtentsOf(std::span<const TopicShard> shards);
  // Of the first message that has a record which is not older than `time`: the position before it;
  // the end where there is none.
  absl::StatusOr<Offset> OffsetAt(const TopicShard& shard, absl::Time time);

 private:
  // What DescribeTopics tells.
  struct Seen {
    TopicIdentity identity;
    uint32_t shards = 0;
    size_t replicas_min = 0;
    bool has_leaders = true;
  };
  struct Known {
    TopicInfo info;
    absl::Duration at;
  };

  // Asks `broker`, or any.
  absl::StatusOr<std::map<std::string, Seen>> See(const std::vector<std::string>& names,
                                                  std::optional<int32_t> broker,
                                                  std::optional<absl::Duration> timeout = {});
  absl::StatusOr<std::map<std::string, TopicConfig>> AskConfigs(
      const std::vector<std::string>& names);
  absl::StatusOr<std::vector<TopicInfo>> DescribeAll(const std::vector<std::string>& names);
  absl::Status Create(const TopicSpec& spec);
  absl::StatusOr<std::vector<Seen>> SeeOnEachBroker(const std::string& name);
  // Until every broker that answers tells of the topic what `done` waits for.
  absl::Status OnEveryBroker(const std::string& name,
                             const std::function<bool(const Seen* seen)>& done);
  absl::Status AwaitLeaders(const std::string& name, uint32_t shards);
  absl::StatusOr<std::map<TopicShard, KafkaOffset>> OffsetsOf(EventPtr event);
  // For each of `specs` (RD_KAFKA_OFFSET_SPEC_… or a time) the shards' offsets; -1: none.
  absl::StatusOr<std::vector<std::map<TopicShard, KafkaOffset>>> ListOffsets(
      std::span<const TopicShard> shards, const std::vector<int64_t>& specs);

  Admin& admin_;
  const KafkaSettings& settings_;
  Mutex mutex_;
  std::map<TopicIdentity, TopicConfig> configs_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, Known, std::less<>> known_ ABSL_GUARDED_BY(mutex_);
};

absl::Status NoSuchTopic(std::string_view topic);

}  // namespace marquee::messaging::kafka

#endif  // MARQUEE_MESSAGING_KAFKA_TOPICS_H_
