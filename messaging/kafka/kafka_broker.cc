#include "messaging/kafka/kafka_broker.h"

#include <utility>

#include "base/status.h"
#include "messaging/kafka/groups.h"
#include "messaging/kafka/publisher.h"
#include "messaging/kafka/subscription.h"
#include "messaging/kafka/url.h"
#include "messaging/kafka/world.h"
#include "messaging/packing_publisher.h"

namespace marquee::messaging {
namespace kafka {
namespace {

class SameTopic final : public TopicCheck {
 public:
  SameTopic(Topics& topics, TopicInfo info) : topics_(topics), info_(std::move(info)) {}
  absl::Status Check(absl::Duration age) override {
    return topics_.CheckIdentity(info_.spec.name, info_.identity, age);
  }
  absl::StatusOr<Offset> EndOf(Shard shard) override {
    MARQUEE_ASSIGN_OR_RETURN(Extent extent, topics_.ExtentOf({info_.spec.name, shard}));
    return extent.end;
  }

 private:
  Topics& topics_;
  const TopicInfo info_;
};

// Where packs become messages.
class ProducedPacks final : public PackSink {
 public:
  explicit ProducedPacks(std::unique_ptr<KafkaPublisher> publisher)
      : publisher_(std::move(publisher)) {}
  absl::Status Send(Shard shard, absl::Time newest, std::string_view pack) override {
    return publisher_->PublishPack(shard, newest, pack);
  }
  absl::StatusOr<FlushedThrough> Flush() override { return publisher_->Flush(); }
  void Interrupt() override { publisher_->Interrupt(); }

 private:
  const std::unique_ptr<KafkaPublisher> publisher_;
};

class KafkaBroker final : public Broker {
 public:
  KafkaBroker(std::unique_ptr<World> world, absl::Duration deadline)
      : world_(std::move(world)), deadline_(deadline) {}

  absl::StatusOr<TopicInfo> DeclareTopic(const TopicSpec& spec) override {
    return world_->topics.Declare(spec);
  }
  absl::StatusOr<TopicInfo> DescribeTopic(std::string_view topic) override {
    return world_->topics.Describe(topic);
  }
  absl::StatusOr<std::vector<TopicInfo>> ListTopics() override { return world_->topics.List(); }
  absl::Status DeleteTopic(std::string_view topic) override { return world_->topics.Delete(topic); }
  absl::StatusOr<Extent> DescribeShard(const TopicShard& shard) override {
    return world_->topics.ExtentOf(shard);
  }

  absl::StatusOr<std::vector<Extent>> DescribeShards(std::span<const TopicShard> shards) override {
    MARQUEE_ASSIGN_OR_RETURN(auto by_shard, world_->topics.ExtentsOf(shards));
    std::vector<Extent> extents;
    extents.reserve(shards.size());
    for (const TopicShard& shard : shards) extents.push_back(by_shard[shard]);
    return extents;
  }

  absl::StatusOr<std::unique_ptr<Publisher>> OpenPublisher(std::string_view topic) override {
    MARQUEE_ASSIGN_OR_RETURN(TopicInfo info, world_->topics.Describe(topic));
    bool packs = world_->settings.pack && info.spec.kind == TopicKind::kEvent;
    PublisherOptions options{.topic = info.spec, .deadline = deadline_, .packs = packs};
    auto publisher = std::make_unique<KafkaPublisher>(
        world_->settings, std::move(options), std::make_unique<SameTopic>(world_->topics, info),
        world_->clock);
    MARQUEE_RETURN_IF_ERROR(publisher->Open());
    if (!packs) return std::unique_ptr<Publisher>(std::move(publisher));
    PackLimits limits{.pack_bytes = static_cast<size_t>(world_->settings.pack_bytes)};
    return std::unique_ptr<Publisher>(std::make_unique<PackingPublisher>(
        info.spec, limits, std::make_unique<ProducedPacks>(std::move(publisher)), world_->clock));
  }
  absl::StatusOr<std::unique_ptr<Subscription>> OpenReader(SubscriptionOptions options) override {
    return std::unique_ptr<Subscription>(
        std::make_unique<KafkaSubscription>(*world_, std::move(options)));
  }
  absl::StatusOr<std::unique_ptr<Subscription>> JoinGroup(std::span<const std::string> topics,
                                                          SubscriptionOptions options) override {
    auto subscription = std::make_unique<KafkaSubscription>(*world_, std::move(options));
    MARQUEE_RETURN_IF_ERROR(subscription->Join(topics));
    return std::unique_ptr<Subscription>(std::move(subscription));
  }
  absl::StatusOr<std::vector<GroupInfo>> ListGroups() override {
    return kafka::ListGroups(*world_->admin, world_->topics);
  }

 private:
  const std::unique_ptr<World> world_;
  const absl::Duration deadline_;
};

}  // namespace
}  // namespace kafka

absl::StatusOr<std::unique_ptr<Broker>> OpenKafkaBroker(std::string_view url,
                                                        const BrokerOptions& options,
                                                        Clock& clock) {
  MARQUEE_ASSIGN_OR_RETURN(kafka::KafkaUrl parsed, kafka::KafkaUrl::Parse(url));
  MARQUEE_ASSIGN_OR_RETURN(kafka::KafkaSettings settings,
                           kafka::KafkaSettings::Parse(parsed, options.settings));
  MARQUEE_ASSIGN_OR_RETURN(std::unique_ptr<kafka::Admin> admin,
                           kafka::Admin::Open(settings, options.deadline, clock));
  return std::unique_ptr<Broker>(std::make_unique<kafka::KafkaBroker>(
      std::make_unique<kafka::World>(std::move(settings), std::move(admin), clock),
      options.deadline));
}

}  // namespace marquee::messaging
