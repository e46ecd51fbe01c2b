// How an entity topic's shard comes to its next epoch, on the broker of script/rabbitmq
// (MARQUEE_RABBITMQ says with which arguments): what a writer does that another has preceded, or
// that a crash has left, and what it does where the nodes do not show the same. A second virtual
// host plays the node that was cut off: it has streams and locks of its own, of the same names.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "base/status.h"
#include "messaging/broker.h"
#include "messaging/rabbitmq/connection.h"
#include "messaging/rabbitmq/message.h"
#include "messaging/rabbitmq/rabbitmq_broker.h"
#include "messaging/rabbitmq/script.h"
#include "messaging/rabbitmq/session.h"
#include "messaging/rabbitmq/shard_state.h"
#include "messaging/rabbitmq/snapshot.h"
#include "messaging/rabbitmq/stream.h"
#include "messaging/rabbitmq/topics.h"
#include "messaging/rabbitmq/url.h"

namespace marquee::messaging::rabbitmq {
namespace {

using ::testing::HasSubstr;

constexpr absl::Duration kSoon = absl::Seconds(10);
constexpr StreamLimits kLimits{.segment_bytes = 1 << 20};
constexpr Shard kShard(0);
constexpr int kKeys = 20;
constexpr EpochChanges kMany{.epoch = 0, .records = 1'000'000};

class EpochTest : public testing::Test {
 protected:
  EpochTest() {
    std::string url = Script("start");
    broker_ = *OpenRabbitmqBroker(url, {}, clock_);
    TopicSpec spec{.name = name_, .kind = TopicKind::kEntity, .shards = 1};
    MARQUEE_CHECK(broker_->DeclareTopic(spec).ok());
    topic_ = {.spec = spec, .identity = broker_->DescribeTopic(name_)->identity};
    Publish();
    world_.url = *ParseUrl(url);
    connection_ = Connect(world_);
  }
  ~EpochTest() override { EXPECT_TRUE(broker_->DeleteTopic(name_).ok()); }

  static std::unique_ptr<Connection> Connect(World& world) {
    auto connected = world.Connect("test", kSoon);
    MARQUEE_CHECK(connected.ok());
    return *std::move(connected);
  }
  void Publish() {
    auto publisher = *broker_->OpenPublisher(name_);
    for (int i = 0; i < kKeys; ++i) {
      std::string key = std::to_string(i);
      NewRecord record{.key = key, .value = "v", .headers = {}, .shard = {}};
      ASSERT_TRUE(publisher->Publish({&record, 1}).ok());
    }
    ASSERT_TRUE(publisher->Flush().ok());
  }
  // Whether each key is found in the epochs that the shard's state speaks of.
  bool IsWhole() {
    auto reader = *broker_->OpenReader({});
    TopicShard shard{name_, kShard};
    Extent extent = *broker_->DescribeShard(shard);
    EXPECT_TRUE(reader->Start(shard, StartPosition::AtEarliest()).ok());
    std::set<std::string> keys;
    absl::Duration until = clock_.Uptime() + kSoon;
    while (*reader->Next(shard) < extent.end && clock_.Uptime() < until) {
      absl::StatusOr<Delivery> delivery = reader->Poll(absl::Milliseconds(100));
      EXPECT_TRUE(delivery.ok()) << delivery.status();
      if (!delivery.ok()) return false;
      if (!delivery->batch) continue;
      for (const Record& record : delivery->batch->records) keys.emplace(record.key);
    }
    return keys.size() == kKeys;
  }

  absl::StatusOr<bool> Begin(World& world) {
    return BeginEpochIfDue(*connection_, world, topic_, kShard, kMany);
  }
  ShardState State() {
    absl::StatusOr<ShardState> state = ReadShardState(*connection_, name_, kShard, topic_.identity);
    EXPECT_TRUE(state.ok()) << state.status();
    return state.ok() ? *state : ShardState{.epoch = 999};
  }
  ShardStateWriter Writer() { return {*connection_, {name_, kShard, topic_.identity}}; }
  // Both have read the same; the first writes that the next epoch is open, the second comes late.
  static void WriteAfterTheSame(ShardStateWriter& first, ShardStateWriter& second) {
    ASSERT_TRUE(first.Read().ok());
    ASSERT_TRUE(second.Read().ok());
    ASSERT_TRUE(first.Write({.next = ShardState::Next::kOpen}).ok());
    EXPECT_TRUE(absl::IsAborted(second.Write({.next = ShardState::Next::kBegun})));
  }
  std::string Lock() const { return LockOf(name_, kShard, topic_.identity); }
  std::string Changes(uint64_t epoch) const {
    return EpochStreamOf(name_, kShard, topic_.identity, epoch);
  }
  std::string Snapshot(uint64_t epoch) const {
    return SnapshotStreamOf(name_, kShard, topic_.identity, epoch);
  }
  void ExpectBegins() {
    absl::StatusOr<bool> begun = Begin(world_);
    ASSERT_TRUE(begun.ok()) << begun.status();
    EXPECT_TRUE(*begun);
    EXPECT_EQ(State().epoch, 1u);
    EXPECT_EQ(State().next, ShardState::Next::kNone);
    EXPECT_TRUE(IsWhole());
  }

  SystemClock clock_;
  std::string name_ = fmt::format("epoch-{:016x}", Random::FromSystem().Next());
  std::unique_ptr<Broker> broker_;
  Topic topic_;
  Settings settings_;
  World world_{.url = {}, .settings = settings_, .deadline = kSoon, .clock = clock_};
  std::unique_ptr<Connection> connection_;
};

class DividedEpochTest : public EpochTest {
 protected:
  DividedEpochTest() {
    Script("ctl", "-q add_vhost " + vhost_);
    Script("ctl", fmt::format("-q set_permissions -p {} guest '.*' '.*' '.*'", vhost_));
    divided_.url = world_.url;
    divided_.url.vhost = vhost_;
    // Of several nodes it makes sure that they show the same.
    divided_.url.nodes.push_back(divided_.url.nodes[0]);
    other_ = Connect(divided_);
  }
  ~DividedEpochTest() override { Script("ctl", "-q delete_vhost " + vhost_); }

  void ExpectDivided(const std::string& how) {
    absl::Status status = Begin(divided_).status();
    EXPECT_TRUE(absl::IsUnavailable(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(how));
    EXPECT_EQ(State().epoch, 0u);
    EXPECT_TRUE(IsWhole());
  }

  std::string vhost_ = "divided-" + name_;
  World divided_{.url = {}, .settings = settings_, .deadline = kSoon, .clock = clock_};
  std::unique_ptr<Connection> other_;
};

TEST_F(EpochTest, BeginsWhereAllNodesShowTheSame) { ExpectBegins(); }

TEST_F(EpochTest, IsLeftToWhoHasTheLock) {
  auto holder = Connect(world_);
  ASSERT_TRUE(holder->DeclareExclusive(Lock()).ok());
  absl::StatusOr<bool> begun = Begin(world_);
  ASSERT_TRUE(begun.ok()) << begun.status();
  EXPECT_FALSE(*begun);
  EXPECT_EQ(State(), ShardState());
}

TEST_F(DividedEpochTest, MakesNothingWhereANodeDoesNotKnowTheLock) {
  ExpectDivided("does not know of it");
  EXPECT_EQ(State().next, ShardState::Next::kNone);
  EXPECT_TRUE(absl::IsNotFound(connection_->CheckQueue(Changes(1))));
  ExpectBegins();
}

TEST_F(DividedEpochTest, WaitsForANodeThatHasNoStreamOfTheName) {
  ASSERT_TRUE(other_->DeclareExclusive(Lock()).ok());
  ExpectDivided("has none of that name");
  EXPECT_EQ(State().next, ShardState::Next::kBegun);
  ExpectBegins();
}

TEST_F(DividedEpochTest, WaitsForANodeThatHasAnotherStreamOfTheName) {
  ASSERT_TRUE(other_->DeclareExclusive(Lock()).ok());
  ASSERT_TRUE(MakeStream(*other_, Snapshot(1), kLimits, kSoon).ok());
  ASSERT_TRUE(MakeStream(*other_, Changes(1), kLimits, kSoon).ok());
  ExpectDivided("has another of that name");
  EXPECT_EQ(State().next, ShardState::Next::kBegun);
  ExpectBegins();
}

TEST_F(EpochTest, WhatACrashLeftOfABegunStreamIsMadeAnew) {
  ShardStateWriter writer = Writer();
  ASSERT_TRUE(writer.Read().ok());
  ASSERT_TRUE(writer.Write({.next = ShardState::Next::kBegun}).ok());
  ASSERT_TRUE(MakeStream(*connection_, Changes(1), kLimits, kSoon).ok());
  std::string anchor = ReadFirst(*connection_, Changes(1))->body;
  ExpectBegins();
  EXPECT_NE(ReadFirst(*connection_, Changes(1))->body, anchor);
}

TEST_F(EpochTest, WhatACrashLeftOfAnOpenStreamStays) {
  ShardStateWriter writer = Writer();
  ASSERT_TRUE(writer.Read().ok());
  ASSERT_TRUE(MakeStream(*connection_, Changes(1), kLimits, kSoon).ok());
  ASSERT_TRUE(writer.Write({.next = ShardState::Next::kOpen}).ok());
  std::string anchor = ReadFirst(*connection_, Changes(1))->body;
  ExpectBegins();
  EXPECT_EQ(ReadFirst(*connection_, Changes(1))->body, anchor);
}

TEST_F(EpochTest, OfTwoWritersWhoReadTheSameTheFirstCounts) {
  ShardStateWriter first = Writer(), second = Writer();
  WriteAfterTheSame(first, second);
  EXPECT_EQ(State().next, ShardState::Next::kOpen);
  ASSERT_TRUE(second.Read().ok());
  EXPECT_TRUE(second.Write({.epoch = 1}).ok());
  EXPECT_TRUE(absl::IsAborted(first.Write({.epoch = 2})));
  EXPECT_EQ(State().epoch, 1u);
}

// More nudges than the messages in which the newest entry is looked for at first.
TEST_F(EpochTest, ALosersEntryIsNotTakenForTheNewestBehindManyNudges) {
  ShardStateWriter first = Writer(), second = Writer();
  WriteAfterTheSame(first, second);
  std::string stream = StateStreamOf(name_, kShard, topic_.identity);
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(State().next, ShardState::Next::kOpen);
    ShardOfTopic shard{name_, kShard, topic_.identity};
    EXPECT_EQ((*ReadShardStates(*connection_, {&shard, 1}))[0].next, ShardState::Next::kOpen);
    ASSERT_TRUE(Nudge(*connection_, kLookChannel, stream).ok());
  }
}

}  // namespace
}  // namespace marquee::messaging::rabbitmq
