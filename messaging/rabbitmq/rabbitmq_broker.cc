#include "messaging/rabbitmq/rabbitmq_broker.h"

#include <fmt/format.h>

#include <map>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "base/status.h"
#include "messaging/checks.h"
#include "messaging/rabbitmq/group_member.h"
#include "messaging/rabbitmq/publisher.h"
#include "messaging/rabbitmq/session.h"
#include "messaging/rabbitmq/settings.h"
#include "messaging/rabbitmq/shard_view.h"
#include "messaging/rabbitmq/snapshot.h"
#include "messaging/rabbitmq/stream.h"
#include "messaging/rabbitmq/subscription.h"
#include "messaging/rabbitmq/topics.h"
#include "messaging/rabbitmq/url.h"

namespace marquee::messaging {
namespace rabbitmq {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(10);
constexpr size_t kNodesMax = 1 << 16;

TopicInfo InfoOf(const Topic& topic) {
  // What a stream takes on disk, AMQP does not tell.
  return {.spec = topic.spec, .identity = topic.identity, .bytes_on_disk = 0};
}

// Reads a group's log to its end.
absl::StatusOr<GroupLog> ReadGroup(Connection& connection, const std::string& group) {
  GroupLog log;
  std::string stream = GroupStreamOf(group);
  absl::StatusOr<StreamMessage> last = ReadLast(connection, stream);
  // Written down, but its first member or report has not come.
  if (absl::IsNotFound(last.status())) return log;
  MARQUEE_RETURN_IF_ERROR(last.status());
  MARQUEE_RETURN_IF_ERROR(ReadFrom(connection, stream, {From::Place::kFirst}, kPatience,
                                   [&](StreamMessage message) -> absl::StatusOr<bool> {
                                     MARQUEE_ASSIGN_OR_RETURN(Head head, ReadHead(message.body));
                                     log.Take(message.offset, head, message.body);
                                     return message.offset < last->offset;
                                   }));
  return log;
}

// Members whose connection is gone are not listed, though nobody has expelled them yet.
absl::StatusOr<std::map<std::string, std::string>> LivingMembers(Connection& connection,
                                                                 const GroupState& state) {
  std::map<std::string, std::string> names;
  for (const auto& [id, member] : state.members()) {
    absl::Status present = connection.CheckQueue(PresenceOf(id));
    if (absl::IsAborted(present) || present.ok()) {
      names[id] = member.name;
    } else if (!absl::IsNotFound(present)) {
      return present;
    }
  }
  return names;
}

class RabbitmqBroker final : public Broker {
 public:
  RabbitmqBroker(Url url, Settings settings, absl::Duration deadline, Clock& clock)
      : world_{.url = std::move(url),
               .settings = std::move(settings),
               .deadline = deadline,
               .clock = clock,
               // Or all programs' first connections were to one node.
               .next_node = Random::FromSystem().Below(kNodesMax)},
        session_(world_, "administration"),
        topics_(world_, session_),
        views_(clock),
        compactor_(world_) {}

  absl::Status Connect() {
    return session_.Call("opening the broker", [](Connection&) { return absl::OkStatus(); });
  }

  absl::StatusOr<TopicInfo> DeclareTopic(const TopicSpec& spec) override {
    MARQUEE_ASSIGN_OR_RETURN(Topic topic, topics_.Declare(spec));
    return InfoOf(topic);
  }

  absl::StatusOr<TopicInfo> DescribeTopic(std::string_view topic) override {
    MARQUEE_ASSIGN_OR_RETURN(Topic found, topics_.Find(topic));
    return InfoOf(found);
  }

  absl::StatusOr<std::vector<TopicInfo>> ListTopics() override {
    MARQUEE_ASSIGN_OR_RETURN(std::vector<Topic> topics, topics_.All());
    std::vector<TopicInfo> infos;
    infos.reserve(topics.size());
    for (const Topic& topic : topics) infos.push_back(InfoOf(topic));
    return infos;
  }

  absl::Status DeleteTopic(std::string_view topic) override { return topics_.Delete(topic); }

  absl::StatusOr<Extent> DescribeShard(const TopicShard& shard) override {
    MARQUEE_ASSIGN_OR_RETURN(std::vector<Extent> extents, DescribeShards({&shard, 1}));
    return extents[0];
  }

  absl::StatusOr<std::vector<Extent>> DescribeShards(std::span<const TopicShard> shards) override {
    std::map<std::string, Topic> topics;
    for (const TopicShard& shard : shards) {
      if (!topics.contains(shard.topic)) {
        MARQUEE_ASSIGN_OR_RETURN(topics[shard.topic], topics_.Find(shard.topic));
      }
      MARQUEE_RETURN_IF_ERROR(CheckShard(topics[shard.topic].spec, shard.shard));
    }
    std::vector<ShardId> ids;
    ids.reserve(shards.size());
    for (const TopicShard& shard : shards) ids.push_back({topics[shard.topic], shard.shard});
    std::vector<ShardView> looked;
    absl::Status described =
        session_.Call("describing shards", [&](Connection& connection) -> absl::Status {
          MARQUEE_ASSIGN_OR_RETURN(looked, views_.Look(connection, ids, world_.clock.Now()));
          return absl::OkStatus();
        });
    MARQUEE_RETURN_IF_ERROR(described);
    std::vector<Extent> extents;
    extents.reserve(looked.size());
    for (const ShardView& view : looked) extents.push_back(view.extent);
    return extents;
  }

  absl::StatusOr<std::unique_ptr<Publisher>> OpenPublisher(std::string_view topic) override {
    MARQUEE_ASSIGN_OR_RETURN(Topic found, topics_.Find(topic));
    ChangesSeen seen = [this](const Topic& changed, Shard shard, const EpochChanges& changes) {
      compactor_.Request(changed, shard, changes);
    };
    return std::unique_ptr<Publisher>(
        std::make_unique<RabbitmqPublisher>(world_, topics_, std::move(found), std::move(seen)));
  }

  absl::StatusOr<std::unique_ptr<Subscription>> OpenReader(SubscriptionOptions options) override {
    return std::unique_ptr<Subscription>(std::make_unique<RabbitmqSubscription>(
        world_, session_, topics_, views_, std::move(options)));
  }

  absl::StatusOr<std::unique_ptr<Subscription>> JoinGroup(std::span<const std::string> topics,
                                                          SubscriptionOptions options) override {
    auto subscription = std::make_unique<RabbitmqSubscription>(world_, session_, topics_, views_,
                                                               std::move(options));
    MARQUEE_RETURN_IF_ERROR(subscription->Join(topics));
    return std::unique_ptr<Subscription>(std::move(subscription));
  }

  absl::StatusOr<std::vector<GroupInfo>> ListGroups() override {
    MARQUEE_ASSIGN_OR_RETURN(std::set<std::string> groups, topics_.Groups());
    MARQUEE_ASSIGN_OR_RETURN(std::vector<Topic> topics, topics_.All());
    std::map<std::string, Topic> by_name;
    for (Topic& topic : topics) by_name[topic.spec.name] = topic;
    std::vector<GroupInfo> infos;
    for (const std::string& group : groups) {
      absl::Status described =
          session_.Call("describing group " + group, [&](Connection& connection) -> absl::Status {
            MARQUEE_ASSIGN_OR_RETURN(GroupInfo info, DescribeGroup(connection, group, by_name));
            infos.push_back(std::move(info));
            return absl::OkStatus();
          });
      // A stream of its own, or of a topic, was deleted, or made anew.
      if (absl::IsNotFound(described) || absl::IsDataLoss(described)) {
        infos.emplace_back().group = group;
        infos.back().status = described;
        continue;
      }
      MARQUEE_RETURN_IF_ERROR(described);
    }
    return infos;
  }

 private:
  absl::StatusOr<GroupInfo> DescribeGroup(Connection& connection, const std::string& group,
                                          const std::map<std::string, Topic>& topics) {
    GroupInfo info;
    info.group = group;
    MARQUEE_ASSIGN_OR_RETURN(GroupLog log, ReadGroup(connection, group));
    const GroupState& state = log.state();
    MARQUEE_ASSIGN_OR_RETURN(auto names, LivingMembers(connection, state));
    for (const auto& [id, name] : names) info.members.push_back(name);
    std::set<TopicShard> shards;
    for (const auto& [shard, report] : state.reports()) shards.insert(shard);
    for (const auto& [topic, count] : state.topics()) {
      for (uint32_t i = 0; i < count; ++i) shards.insert({topic, Shard(i)});
    }
    std::vector<ShardId> ids;
    for (const TopicShard& shard : shards) {
      auto topic = topics.find(shard.topic);
      // Of a topic that was deleted.
      if (topic == topics.end() || shard.shard.value() >= topic->second.spec.shards) continue;
      info.shards.push_back(DescribeGroupShard(shard, topic->second, state, names));
      ids.push_back({topic->second, shard.shard});
    }
    MARQUEE_ASSIGN_OR_RETURN(std::vector<ShardView> views,
                             views_.Look(connection, ids, world_.clock.Now()));
    for (size_t i = 0; i < views.size(); ++i) {
      info.shards[i].lag = views[i].RecordsBeyond(info.shards[i].reported.value_or(Offset(0)));
    }
    return info;
  }

  static GroupShard DescribeGroupShard(const TopicShard& shard, const Topic& topic,
                                       const GroupState& state,
                                       const std::map<std::string, std::string>& names) {
    GroupShard described{.shard = shard, .owner = {}, .generation = 0, .reported = {}, .lag = 0};
    auto slot = state.slots().find({topic.spec.shards, shard.shard.value()});
    if (state.topics().contains(shard.topic) && slot != state.slots().end()) {
      auto owner = names.find(slot->second.owner);
      if (owner != names.end()) described.owner = owner->second;
      described.generation = slot->second.generation;
    }
    auto report = state.reports().find(shard);
    if (report != state.reports().end() && report->second.topic_identity == topic.identity) {
      described.reported = Offset(report->second.next);
    }
    return described;
  }

  World world_;
  Session session_;
  Topics topics_;
  ShardViews views_;
  Compactor compactor_;
};

}  // namespace
}  // namespace rabbitmq

absl::StatusOr<std::unique_ptr<Broker>> OpenRabbitmqBroker(std::string_view url,
                                                           const BrokerOptions& options,
                                                           Clock& clock) {
  MARQUEE_ASSIGN_OR_RETURN(rabbitmq::Url parsed, rabbitmq::ParseUrl(url));
  MARQUEE_ASSIGN_OR_RETURN(rabbitmq::Settings settings,
                           rabbitmq::Settings::Parse(options.settings));
  auto broker = std::make_unique<rabbitmq::RabbitmqBroker>(std::move(parsed), std::move(settings),
                                                           options.deadline, clock);
  MARQUEE_RETURN_IF_ERROR(broker->Connect());
  return std::unique_ptr<Broker>(std::move(broker));
}

}  // namespace marquee::messaging
