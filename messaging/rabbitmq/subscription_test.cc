// What a subscription does on the broker of script/rabbitmq (MARQUEE_RABBITMQ says with which
// arguments) when that no longer serves its consumers and does not say so, as it does to those of a
// replica that was started again (the gate plays that), and when it is late itself.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "base/status.h"
#include "messaging/broker.h"
#include "messaging/rabbitmq/connection.h"
#include "messaging/rabbitmq/gate.h"
#include "messaging/rabbitmq/rabbitmq_broker.h"
#include "messaging/rabbitmq/script.h"
#include "messaging/rabbitmq/settings.h"
#include "messaging/rabbitmq/shard_cursor.h"
#include "messaging/rabbitmq/stream.h"
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
    url_ = fmt::format("amqp://guest:guest@{}", hosts);
    broker_ = Open({});
    MARQUEE_CHECK(broker_->DeclareTopic({.name = topic_, .shards = kShards}).ok());
    publisher_ = *broker_->OpenPublisher(topic_);
  }
  ~SubscriptionTest() override { EXPECT_TRUE(broker_->DeleteTopic(topic_).ok()); }

  std::unique_ptr<Broker> Open(std::map<std::string, std::string> settings) {
    absl::StatusOr<std::unique_ptr<Broker>> opened =
        OpenRabbitmqBroker(url_, {.settings = std::move(settings)}, clock_);
    MARQUEE_CHECK(opened.ok());
    return *std::move(opened);
  }

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
  std::string url_;
  std::string topic_ = fmt::format("subscription-{:016x}", Random::FromSystem().Next());
  Gate gate_;
  std::unique_ptr<Broker> broker_;
  std::unique_ptr<Publisher> publisher_;
};

// A stream as its maker leaves it who dies before the anchor, and which somebody has nudged.
class BareStreamTest : public SubscriptionTest {
 protected:
  BareStreamTest() {
    EXPECT_TRUE(connection_->DeclareStream(stream_, kLimits).ok());
    EXPECT_TRUE(Nudge(*connection_, kLookChannel, stream_).ok());
    EXPECT_TRUE(connection_->CloseChannel(kLookChannel).ok());
  }
  ~BareStreamTest() override { EXPECT_TRUE(connection_->DeleteQueue(stream_).ok()); }

  std::unique_ptr<Connection> Connect() {
    return *Connection::Open(*ParseUrl(url_), *Settings::Parse({}), "bare", 0, kSoon);
  }
  static constexpr StreamLimits kLimits{.segment_bytes = 1 << 20};
  std::string stream_ = topic_ + ".bare";
  std::unique_ptr<Connection> connection_ = Connect();
};

TEST_F(BareStreamTest, ItsAnchorMayComeAfterWhoCouldNotWait) {
  auto other = Connect();
  std::thread maker([&] {
    // As one that was about to.
    EXPECT_TRUE(MakeStream(*other, stream_, kLimits, kSoon).ok());
  });
  absl::StatusOr<StreamMessage> first = ReadFirst(*connection_, stream_);
  maker.join();
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(ReadHead(first->body)->kind, Kind::kAnchor);
  EXPECT_TRUE(ReadLast(*connection_, stream_).ok());
}

TEST_F(BareStreamTest, WhereNoAnchorComesItIsNotOurs) {
  EXPECT_TRUE(absl::IsDataLoss(ReadFirst(*connection_, stream_).status()));
  ASSERT_TRUE(MakeStream(*connection_, stream_, kLimits, kSoon).ok());
  EXPECT_TRUE(ReadFirst(*connection_, stream_).ok());
}

TEST_F(BareStreamTest, NudgesThatGoOnDoNotKeepWhoWaitsForTheAnchor) {
  auto other = Connect();
  std::atomic<bool> has_ended = false;
  absl::Duration until = clock_.Uptime() + 3 * kSoon;
  std::thread nudger([&] {
    while (!has_ended && clock_.Uptime() < until) {
      EXPECT_TRUE(Nudge(*other, kLookChannel, stream_).ok());
      clock_.SleepFor(absl::Milliseconds(100));
    }
  });
  EXPECT_TRUE(absl::IsDataLoss(ReadFirst(*connection_, stream_).status()));
  EXPECT_LT(clock_.Uptime(), until);
  has_ended = true;
  nudger.join();
}

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

// Its connection has ended, and it is polled no more, as with a crash: who joins then waits neither
// for a session timeout nor for missing beats.
TEST_F(SubscriptionTest, WhoJoinsDoesNotWaitForWhoIsGone) {
  const absl::Duration kTimeout = absl::Seconds(60);
  const absl::Duration kTwoBeats = 2 * kTimeout / 5;
  ASSERT_LT(2 * kSoon, kTwoBeats);
  std::string topics[] = {topic_};
  SubscriptionOptions options{.group = "group-" + topic_, .session_timeout = kTimeout};
  auto gone = *broker_->JoinGroup(topics, options);
  Publish();
  ASSERT_TRUE(Comes(*gone, kShards));
  gate_.SetOpen(false);
  gate_.SetOpen(true);
  auto broker = Open({});
  auto member = *broker->JoinGroup(topics, options);
  EXPECT_TRUE(Comes(*member, kShards));
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
  absl::Status started = member->Start(shard, StartPosition::AtEarliest());
  if (started.ok()) return;  // the beat was quicker, and nothing was refused
  ASSERT_TRUE(absl::IsAborted(started)) << started;
  clock_.SleepFor(absl::Milliseconds(200));  // now it can
  poll(absl::Seconds(1));
  EXPECT_TRUE(std::any_of(events.begin(), events.end(), [&](const OwnershipEvent& event) {
    return event.kind == OwnershipEvent::Kind::kLost && event.shard == shard;
  }));
}

// It has not been polled since its connection ended, and others may have expelled it.
TEST_F(SubscriptionTest, WhoHasLostItsConnectionMayStartNothing) {
  std::string topics[] = {topic_};
  auto member = *broker_->JoinGroup(
      topics, {.group = "group-" + topic_, .session_timeout = absl::Seconds(60)});
  Publish();
  ASSERT_TRUE(Comes(*member, kShards));
  gate_.SetOpen(false);
  gate_.SetOpen(true);
  for (const TopicShard& shard : ShardsOf(topic_, kShards)) {
    absl::Status started = member->Start(shard, StartPosition::AtEarliest());
    EXPECT_TRUE(absl::IsAborted(started)) << started;
  }
  EXPECT_TRUE(Comes(*member, kShards)) << "when it has gained them again";
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

// Those who publish and ask leave questions at the end, in a chunk of their own.
TEST_F(SubscriptionTest, TheLagCountsRecordsThoughQuestionsAreAtTheEnd) {
  constexpr int kMessages = 10, kRecords = 100;
  auto broker = Open({{"amqp.prefetch_messages", "1"}});
  NewRecord record{.key = "k", .value = "v", .headers = {}, .shard = Shard(0)};
  std::vector<NewRecord> records(kRecords, record);
  for (int i = 0; i < kMessages; ++i) {
    ASSERT_TRUE(publisher_->Publish(records).ok());
    ASSERT_TRUE(publisher_->Flush().ok());
  }
  TopicShard shard{topic_, Shard(0)};
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(broker->DescribeShard(shard).ok());
  auto reader = *broker->OpenReader({});
  ASSERT_TRUE(reader->Start(shard, StartPosition::AtEarliest()).ok());
  ASSERT_TRUE(Comes(*reader, kRecords));
  EXPECT_GE(*reader->Lag(shard), (kMessages - 2) * kRecords);
  EXPECT_LE(*reader->Lag(shard), (kMessages + 4) * kRecords);
}

// Nobody finds one of them without those before it, since they are one message.
TEST_F(SubscriptionTest, WhatIsPublishedTogetherIsOneMessage) {
  auto broker = Open({{"amqp.pack_bytes", "4096"}});
  auto publisher = *broker->OpenPublisher(topic_);
  const std::string value(1'000, 'v');
  std::vector<NewRecord> records;
  while (BytesTogether(records) + kRecordBytes + value.size() + 1 <=
         publisher->together_bytes_max()) {
    records.push_back({.key = "k", .value = value, .headers = {}, .shard = Shard(1)});
  }
  ASSERT_GT(records.size(), 1u);
  NewRecord other{.key = "k", .value = "v", .headers = {}, .shard = Shard(0)};
  ASSERT_TRUE(publisher->Publish({&other, 1}).ok());
  ASSERT_TRUE(publisher->Publish(records).ok());
  ASSERT_TRUE(publisher->Flush().ok());
  auto reader = *broker->OpenReader({});
  ASSERT_TRUE(reader->Start({topic_, Shard(1)}, StartPosition::AtEarliest()).ok());
  size_t count = 0;
  std::set<int64_t> messages;
  absl::Duration until = clock_.Uptime() + kSoon;
  while (count < records.size() && clock_.Uptime() < until) {
    absl::StatusOr<Delivery> delivery = reader->Poll(absl::Milliseconds(100));
    if (!delivery.ok() || !delivery->batch) continue;
    for (const Record& record : delivery->batch->records) {
      messages.insert(record.offset.value() >> kPackIndexBits);
      ++count;
    }
  }
  EXPECT_EQ(count, records.size());
  EXPECT_EQ(messages.size(), 1u);
  EXPECT_EQ((*Open({{"amqp.pack", "off"}})->OpenPublisher(topic_))->together_bytes_max(), 0u);
}

// A sink that waits for what was there when it looked knows its position from batches alone.
TEST_F(SubscriptionTest, WhoHasReadAllIsToldOfTheEndOfAnEpochInWhichNothingWasPublished) {
  constexpr size_t kRecords = 20;
  auto broker = Open({{"amqp.snapshot_records", "10"}});
  std::string entities = topic_ + ".entities";
  ASSERT_TRUE(broker->DeclareTopic({.name = entities, .kind = TopicKind::kEntity}).ok());
  TopicShard shard{entities, Shard(0)};
  auto follower = *broker->OpenReader({});
  ASSERT_TRUE(follower->Start(shard, StartPosition::AtEarliest()).ok());
  auto publisher = *broker->OpenPublisher(entities);
  std::vector<NewRecord> records(kRecords, {.key = "k", .value = "v", .headers = {}, .shard = {}});
  ASSERT_TRUE(publisher->Publish(records).ok());
  ASSERT_TRUE(publisher->Flush().ok());
  Offset first_end = broker->DescribeShard(shard)->end;
  absl::Duration until = clock_.Uptime() + kSoon;
  Offset end = first_end;
  while (end.value() < first_end.value() + kEpochGap && clock_.Uptime() < until) {
    clock_.SleepFor(absl::Milliseconds(20));
    end = broker->DescribeShard(shard)->end;
  }
  ASSERT_GE(end.value(), kEpochGap) << "no snapshot was made";
  auto newcomer = *broker->OpenReader({});
  ASSERT_TRUE(newcomer->Start(shard, StartPosition::AtEarliest()).ok());
  for (Subscription* reader : {follower.get(), newcomer.get()}) {
    Offset told;
    while (told < end && clock_.Uptime() < until) {
      absl::StatusOr<Delivery> delivery = reader->Poll(absl::Milliseconds(100));
      if (delivery.ok() && delivery->batch) told = delivery->batch->next;
    }
    EXPECT_GE(told, end) << (reader == newcomer.get() ? "newcomer" : "follower");
  }
  EXPECT_TRUE(broker->DeleteTopic(entities).ok());
}

// Who follows a topic of entities through its epochs misses nothing; who comes later gets the
// newest of each key from the snapshot.
TEST_F(SubscriptionTest, ChangesAreWholeAndASnapshotIsNot) {
  constexpr size_t kRecords = 20, kRoundsMax = 200;
  auto broker = Open({{"amqp.snapshot_records", "10"}});
  std::string entities = topic_ + ".entities";
  ASSERT_TRUE(broker->DeclareTopic({.name = entities, .kind = TopicKind::kEntity}).ok());
  TopicShard shard{entities, Shard(0)};
  auto publisher = *broker->OpenPublisher(entities);
  auto follower = *broker->OpenReader({});
  ASSERT_TRUE(follower->Start(shard, StartPosition::AtEarliest()).ok());
  std::vector<NewRecord> records(kRecords, {.key = "k", .value = "v", .headers = {}, .shard = {}});
  // How many records come until there are no more, and whether all of it was whole.
  auto read = [&](Subscription& reader, bool* whole) {
    size_t count = 0;
    Offset end = broker->DescribeShard(shard)->end;
    absl::Duration until = clock_.Uptime() + kSoon;
    while (*reader.Next(shard) < end && clock_.Uptime() < until) {
      absl::StatusOr<Delivery> delivery = reader.Poll(absl::Milliseconds(100));
      if (!delivery.ok() || !delivery->batch) continue;
      count += delivery->batch->records.size();
      *whole = *whole && delivery->batch->whole;
    }
    EXPECT_GE(*reader.Next(shard), end);
    return count;
  };
  bool newcomer_is_whole = true;
  size_t round = 0;
  while (newcomer_is_whole && ++round < kRoundsMax) {
    ASSERT_TRUE(publisher->Publish(records).ok());
    ASSERT_TRUE(publisher->Flush().ok());
    bool follower_is_whole = true;
    EXPECT_EQ(read(*follower, &follower_is_whole), kRecords);
    EXPECT_TRUE(follower_is_whole);
    auto newcomer = *broker->OpenReader({});
    ASSERT_TRUE(newcomer->Start(shard, StartPosition::AtEarliest()).ok());
    size_t count = read(*newcomer, &newcomer_is_whole);
    EXPECT_EQ(newcomer_is_whole, count == round * kRecords) << count << " in round " << round;
  }
  EXPECT_FALSE(newcomer_is_whole) << "no snapshot was made";
  EXPECT_TRUE(broker->DeleteTopic(entities).ok());
}

}  // namespace
}  // namespace marquee::messaging::rabbitmq
