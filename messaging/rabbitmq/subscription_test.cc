// What a subscription does on the broker of script/rabbitmq (MARQUEE_RABBITMQ says with which
// arguments) when that no longer serves its consumers and does not say so, as it does to those of a
// replica that was started again (the gate plays that), and when it is late itself.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "base/status.h"
#include "messaging/broker.h"
#include "messaging/rabbitmq/gate.h"
#include "messaging/rabbitmq/rabbitmq_broker.h"
#include "messaging/rabbitmq/script.h"
#include "messaging/rabbitmq/url.h"

namespace marquee::messaging::rabbitmq {
namespace {

constexpr uint32_t kShards = 3;
constexpr absl::Duration kSoon = absl::Seconds(10);

std::vector<int> PortsOf(const std::string& url) {
  std::vector<int> ports;
  for (const Node& node : ParseUrl(url)->nodes) ports.push_back(node.port);
  return ports;
}

// The system's, but that time can be passed over.
class JumpingClock final : public Clock {
 public:
  absl::Time Now() const override { return system_.Now(); }
  absl::Duration Uptime() const override {
    return system_.Uptime() + absl::Milliseconds(ahead_ms_.load());
  }
  void SleepFor(absl::Duration duration) override { system_.SleepFor(duration); }
  bool IsManual() const override { return false; }
  void Jump(absl::Duration duration) { ahead_ms_ += absl::ToInt64Milliseconds(duration); }

 private:
  SystemClock system_;
  std::atomic<int64_t> ahead_ms_ = 0;
};

class SubscriptionTest : public testing::Test {
 protected:
  SubscriptionTest() : gate_(PortsOf(Script("start"))) {
    std::string hosts;
    for (int port : gate_.ports()) {
      hosts += fmt::format("{}127.0.0.1:{}", hosts.empty() ? "" : ",", port);
    }
    absl::StatusOr<std::unique_ptr<Broker>> opened =
        OpenRabbitmqBroker(fmt::format("amqp://guest:guest@{}", hosts), {}, clock_);
    MARQUEE_CHECK(opened.ok());
    broker_ = *std::move(opened);
    MARQUEE_CHECK(broker_->DeclareTopic({.name = topic_, .shards = kShards}).ok());
    publisher_ = *broker_->OpenPublisher(topic_);
  }
  ~SubscriptionTest() override { EXPECT_TRUE(broker_->DeleteTopic(topic_).ok()); }

  // One to each shard.
  void Publish() {
    for (uint32_t i = 0; i < kShards; ++i) {
      NewRecord record{.key = "k", .value = "v", .headers = {}, .shard = Shard(i)};
      ASSERT_TRUE(publisher_->Publish({&record, 1}).ok());
    }
    ASSERT_TRUE(publisher_->Flush().ok());
  }

  // Whether so many records come, of a reader or of a member that starts what it gains.
  bool Comes(Subscription& subscription, size_t records) {
    absl::Duration until = clock_.Uptime() + kSoon;
    for (size_t read = 0; read < records && clock_.Uptime() < until;) {
      absl::StatusOr<Delivery> delivery = subscription.Poll(absl::Milliseconds(100));
      if (!delivery.ok()) {
        ADD_FAILURE() << delivery.status();
        return false;
      }
      for (const OwnershipEvent& event : delivery->events) {
        if (event.kind != OwnershipEvent::Kind::kGained) continue;
        (void)subscription.Start(event.shard, StartPosition::AtEarliest());
      }
      if (delivery->batch) read += delivery->batch->records.size();
      if (read >= records) return true;
    }
    return false;
  }

  JumpingClock clock_;
  std::string topic_ = fmt::format("subscription-{:016x}", Random::FromSystem().Next());
  Gate gate_;
  std::unique_ptr<Broker> broker_;
  std::unique_ptr<Publisher> publisher_;
};

TEST_F(SubscriptionTest, AReaderThatIsServedNoMoreGoesOnSoon) {
  auto reader = *broker_->OpenReader({});
  for (const TopicShard& shard : ShardsOf(topic_, kShards)) {
    ASSERT_TRUE(reader->Start(shard, StartPosition::AtEarliest()).ok());
  }
  Publish();
  ASSERT_TRUE(Comes(*reader, kShards));
  gate_.MuteConsumers();
  Publish();
  EXPECT_TRUE(Comes(*reader, kShards));
}

TEST_F(SubscriptionTest, AMemberThatIsServedNoMoreGoesOnSoon) {
  std::string topics[] = {topic_};
  auto member = *broker_->JoinGroup(
      topics, {.group = "group-" + topic_, .session_timeout = absl::Seconds(1)});
  Publish();
  ASSERT_TRUE(Comes(*member, kShards));
  gate_.MuteConsumers();
  Publish();
  // From the start: it has lost its shards, with the group's log.
  EXPECT_TRUE(Comes(*member, 2 * kShards));
}

// Its lease has ended when it starts the shard; a beat that is on its way would prolong it.
TEST_F(SubscriptionTest, WhoIsRefusedAShardIsToldThatItIsLost) {
  const absl::Duration kTimeout = absl::Seconds(20);
  const absl::Duration kBeat = kTimeout / 5;
  std::string topics[] = {topic_};
  auto member =
      *broker_->JoinGroup(topics, {.group = "group-" + topic_, .session_timeout = kTimeout});
  std::vector<OwnershipEvent> events;
  auto poll = [&](absl::Duration wait) {
    absl::StatusOr<Delivery> delivery = member->Poll(wait);
    ASSERT_TRUE(delivery.ok()) << delivery.status();
    events = std::move(delivery->events);
  };
  absl::Duration until = clock_.Uptime() + kSoon;
  while (events.size() < kShards && clock_.Uptime() < until) poll(absl::Milliseconds(100));
  ASSERT_EQ(events.size(), kShards);
  TopicShard shard = events[0].shard;
  clock_.Jump(kBeat);
  poll(absl::ZeroDuration());  // sends a beat, and does not wait until it can be read
  clock_.Jump(kTimeout - kBeat / 2);
  ASSERT_TRUE(absl::IsAborted(member->Start(shard, StartPosition::AtEarliest())));
  clock_.SleepFor(absl::Milliseconds(200));  // now it can
  poll(absl::Seconds(1));
  EXPECT_TRUE(std::any_of(events.begin(), events.end(), [&](const OwnershipEvent& event) {
    return event.kind == OwnershipEvent::Kind::kLost && event.shard == shard;
  }));
}

// Each is written down by the whole cluster.
TEST_F(SubscriptionTest, WhoAsksForTheLagOftenMakesFewConsumers) {
  auto reader = *broker_->OpenReader({});
  std::vector<TopicShard> shards = ShardsOf(topic_, kShards);
  for (const TopicShard& shard : shards) {
    ASSERT_TRUE(reader->Start(shard, StartPosition::AtEarliest()).ok());
  }
  Publish();
  ASSERT_TRUE(Comes(*reader, kShards));
  int64_t before = gate_.consumers();
  absl::Duration began = clock_.Uptime();
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(reader->Poll(absl::ZeroDuration()).ok());
    for (const TopicShard& shard : shards) EXPECT_EQ(*reader->Lag(shard), 0);
  }
  // About once a second for each, and its consumer once more.
  auto seconds = static_cast<int64_t>(absl::ToDoubleSeconds(clock_.Uptime() - began)) + 1;
  EXPECT_LE(gate_.consumers() - before, 3 * kShards * seconds);
}

}  // namespace
}  // namespace marquee::messaging::rabbitmq
