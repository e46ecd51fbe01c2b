// What the memory backend has beside the seam: crashes, faults, partitions, hand-overs, and that
// all of it follows from the seed. The seam itself is tested by the conformance suite.
#include "messaging/memory/memory_broker.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/random.h"

namespace marquee::messaging {
namespace {

using Kind = OwnershipEvent::Kind;

constexpr char kTopic[] = "topic";
constexpr absl::Duration kSession = absl::Seconds(6);

// A world on a manual clock, with the topic `topic`.
class Fixture {
 public:
  explicit Fixture(uint64_t seed, uint32_t shards = 1) : Fixture(Options(seed), shards) {}
  Fixture(const MemoryWorldOptions& options, uint32_t shards)
      : world_(std::make_shared<MemoryWorld>(options, clock_)) {
    observer_ = Open();
    EXPECT_TRUE(observer_->DeclareTopic({.name = kTopic, .shards = shards}).ok());
  }

  static MemoryWorldOptions Options(uint64_t seed) {
    MemoryWorldOptions options;
    options.seed = seed;
    return options;
  }
  std::unique_ptr<MemoryBroker> Open() {
    return std::make_unique<MemoryBroker>(world_, BrokerOptions(), clock_);
  }
  // All values in the topic's shard 0, in order of offset.
  std::vector<std::string> Values() {
    auto reader = observer_->OpenReader({});
    EXPECT_TRUE(reader.ok());
    TopicShard shard{kTopic, Shard(0)};
    EXPECT_TRUE((*reader)->Start(shard, StartPosition::AtEarliest()).ok());
    Offset end = observer_->DescribeShard(shard)->end;
    std::map<Offset, std::string> values;
    while (*(*reader)->Next(shard) < end) {
      auto delivery = (*reader)->Poll(absl::ZeroDuration());
      EXPECT_TRUE(delivery.ok());
      if (!delivery->batch) continue;
      for (const Record& record : delivery->batch->records) {
        values[record.offset] = std::string(*record.value);
      }
    }
    std::vector<std::string> in_order;
    in_order.reserve(values.size());
    for (auto& [unused, value] : values) in_order.push_back(value);
    return in_order;
  }

  ManualClock clock_;
  std::shared_ptr<MemoryWorld> world_;
  std::unique_ptr<MemoryBroker> observer_;
};

absl::Status Put(Publisher& publisher, std::string_view value) {
  NewRecord record{.key = "k", .value = value};
  return publisher.Publish({&record, 1});
}

std::unique_ptr<Subscription> Join(MemoryBroker& broker, std::string member) {
  std::vector<std::string> topics = {kTopic};
  auto joined = broker.JoinGroup(
      topics, {.group = "group", .member = std::move(member), .session_timeout = kSession});
  EXPECT_TRUE(joined.ok()) << joined.status();
  return *std::move(joined);
}

// Polls once; the events of `kind`, by shard.
std::map<TopicShard, uint64_t> Hear(Subscription& subscription, Kind kind) {
  std::map<TopicShard, uint64_t> heard;
  auto delivery = subscription.Poll(absl::ZeroDuration());
  EXPECT_TRUE(delivery.ok()) << delivery.status();
  for (const OwnershipEvent& event : delivery->events) {
    if (event.kind == kind) heard[event.shard] = event.generation;
  }
  return heard;
}

bool IsSubsequence(const std::vector<std::string>& part, const std::vector<std::string>& whole) {
  size_t at = 0;
  for (const std::string& value : whole) {
    if (at < part.size() && part[at] == value) ++at;
  }
  return at == part.size();
}

TEST(MemoryCrash, StoresAnySubsetOfWhatWasNotFlushedInOrder) {
  std::set<size_t> sizes;
  bool hole = false;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    Fixture fixture(seed);
    auto broker = fixture.Open();
    auto publisher = *broker->OpenPublisher(kTopic);
    ASSERT_TRUE(Put(*publisher, "flushed").ok());
    ASSERT_TRUE(publisher->Flush().ok());
    std::vector<std::string> all = {"flushed"};
    for (int i = 0; i < 6; ++i) {
      all.push_back(absl::StrCat(i));
      ASSERT_TRUE(Put(*publisher, all.back()).ok());
    }
    broker->Crash();
    std::vector<std::string> values = fixture.Values();
    ASSERT_FALSE(values.empty());
    EXPECT_EQ(values[0], "flushed");
    EXPECT_TRUE(IsSubsequence(values, all));
    sizes.insert(values.size());
    if (values != std::vector<std::string>(all.begin(), all.begin() + values.size())) hole = true;
  }
  EXPECT_TRUE(sizes.contains(1)) << "none of them, with some seed";
  EXPECT_TRUE(sizes.contains(7)) << "all of them, with some seed";
  EXPECT_TRUE(hole) << "a later one without an earlier one, with some seed";
}

TEST(MemoryCrash, EveryLaterCallIsCancelledAndHasNoEffect) {
  Fixture fixture(1);
  auto broker = fixture.Open();
  auto publisher = *broker->OpenPublisher(kTopic);
  auto reader = *broker->OpenReader({.group = "group"});
  TopicShard shard{kTopic, Shard(0)};
  ASSERT_TRUE(reader->Start(shard, StartPosition::AtEarliest()).ok());
  broker->Crash();
  EXPECT_TRUE(broker->crashed());
  std::vector<std::string> topics = {kTopic};
  EXPECT_TRUE(absl::IsCancelled(Put(*publisher, "late")));
  EXPECT_TRUE(absl::IsCancelled(publisher->Flush().status()));
  EXPECT_TRUE(absl::IsCancelled(reader->Poll(absl::ZeroDuration()).status()));
  EXPECT_TRUE(absl::IsCancelled(reader->Start(shard, StartPosition::AtLatest())));
  EXPECT_TRUE(absl::IsCancelled(reader->Release(shard)));
  EXPECT_TRUE(absl::IsCancelled(reader->Next(shard).status()));
  EXPECT_TRUE(absl::IsCancelled(reader->Lag(shard).status()));
  EXPECT_TRUE(absl::IsCancelled(reader->ReportPosition(shard, Offset(1))));
  EXPECT_TRUE(absl::IsCancelled(broker->DeclareTopic({.name = "other"}).status()));
  EXPECT_TRUE(absl::IsCancelled(broker->DeleteTopic(kTopic)));
  EXPECT_TRUE(absl::IsCancelled(broker->DescribeTopic(kTopic).status()));
  EXPECT_TRUE(absl::IsCancelled(broker->ListTopics().status()));
  EXPECT_TRUE(absl::IsCancelled(broker->DescribeShard(shard).status()));
  EXPECT_TRUE(absl::IsCancelled(broker->OpenPublisher(kTopic).status()));
  EXPECT_TRUE(absl::IsCancelled(broker->OpenReader({}).status()));
  EXPECT_TRUE(absl::IsCancelled(broker->JoinGroup(topics, {.group = "group"}).status()));
  EXPECT_TRUE(absl::IsCancelled(broker->ListGroups().status()));
  publisher.reset();
  reader.reset();
  EXPECT_TRUE(fixture.Values().empty());
  EXPECT_EQ(fixture.observer_->ListTopics()->size(), 1u);
  EXPECT_TRUE(fixture.observer_->ListGroups()->empty());
}

TEST(MemoryCrash, MembershipLastsUntilTheSessionTimeout) {
  Fixture fixture(1, 4);
  auto doomed_broker = fixture.Open(), heir_broker = fixture.Open();
  auto doomed = Join(*doomed_broker, "doomed");
  EXPECT_EQ(Hear(*doomed, Kind::kGained).size(), 4u);
  doomed_broker->Crash();
  doomed.reset();  // a destructor of the dead does not leave the group
  auto heir = Join(*heir_broker, "heir");
  EXPECT_EQ(Hear(*heir, Kind::kGained).size(), 0u);
  fixture.clock_.Advance(kSession - absl::Seconds(1));
  EXPECT_EQ(Hear(*heir, Kind::kGained).size(), 0u);
  fixture.clock_.Advance(absl::Seconds(2));
  std::map<TopicShard, uint64_t> gained = Hear(*heir, Kind::kGained);
  EXPECT_EQ(gained.size(), 4u);
  for (const auto& [unused, generation] : gained) EXPECT_EQ(generation, 2u);
}

TEST(MemoryCrash, MembershipEndsAtOnceWhereAskedFor) {
  Fixture fixture(1, 4);
  auto doomed_broker = fixture.Open(), heir_broker = fixture.Open();
  auto doomed = Join(*doomed_broker, "doomed");
  EXPECT_EQ(Hear(*doomed, Kind::kGained).size(), 4u);
  doomed_broker->Crash(/*leave_at_once=*/true);
  auto heir = Join(*heir_broker, "heir");
  EXPECT_EQ(Hear(*heir, Kind::kGained).size(), 4u);
}

TEST(MemoryCrash, AtACallComesBeforeOrAfterItsEffect) {
  int stored = 0;
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    MemoryWorldOptions options = Fixture::Options(seed);
    options.early_store_one_in = 0;
    Fixture fixture(options, 1);
    auto broker = fixture.Open();
    uint64_t calls = broker->calls();
    broker->CrashAtCall(2);
    auto publisher = *broker->OpenPublisher(kTopic);
    EXPECT_FALSE(broker->crashed());
    EXPECT_TRUE(absl::IsCancelled(broker->DeclareTopic({.name = "made"}).status()));
    EXPECT_TRUE(broker->crashed());
    EXPECT_EQ(broker->calls(), calls + 2);
    if (fixture.observer_->DescribeTopic("made").ok()) ++stored;
  }
  EXPECT_GT(stored, 20);
  EXPECT_LT(stored, 80);
}

TEST(MemoryCrash, AtACallThatFailsAnywayStillHappens) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    Fixture fixture(seed);
    auto broker = fixture.Open();
    broker->CrashAtCall(1);
    EXPECT_TRUE(absl::IsCancelled(broker->DescribeTopic("unknown").status()));
    EXPECT_TRUE(broker->crashed());
  }
}

TEST(MemoryFault, AFailedFlushHasStoredAnyPartAndForgottenTheRest) {
  std::set<size_t> sizes;
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    Fixture fixture(seed);
    auto broker = fixture.Open();
    auto publisher = *broker->OpenPublisher(kTopic);
    broker->FailAtCall(4, absl::UnavailableError("drawn"));
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(Put(*publisher, "v").ok());
    EXPECT_TRUE(absl::IsUnavailable(publisher->Flush().status()));
    size_t stored = fixture.Values().size();
    sizes.insert(stored);
    // None of it is sent any more, and the publisher may be used again.
    fixture.clock_.Advance(absl::Seconds(1));
    ASSERT_TRUE(publisher->Flush().ok());
    EXPECT_EQ(fixture.Values().size(), stored);
    ASSERT_TRUE(Put(*publisher, "again").ok());
    ASSERT_TRUE(publisher->Flush().ok());
    EXPECT_EQ(fixture.Values().size(), stored + 1);
  }
  EXPECT_EQ(sizes, (std::set<size_t>{0, 1, 2, 3}));
}

// Of how many seeds a failed flush leaves one of two records of a call stored, and not the one
// before it.
int SeedsWithAGap(size_t together_bytes_max) {
  int gaps = 0;
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    MemoryWorldOptions options = Fixture::Options(seed);
    options.together_bytes_max = together_bytes_max;
    Fixture fixture(options, 1);
    auto broker = fixture.Open();
    auto publisher = *broker->OpenPublisher(kTopic);
    broker->FailAtCall(2, absl::UnavailableError("drawn"));
    const NewRecord records[] = {{.key = "k", .value = "before"}, {.key = "k", .value = "after"}};
    EXPECT_EQ(publisher->together_bytes_max(), together_bytes_max);
    EXPECT_TRUE(publisher->Publish(records).ok());
    EXPECT_TRUE(absl::IsUnavailable(publisher->Flush().status()));
    gaps += fixture.Values() == std::vector<std::string>{"after"} ? 1 : 0;
  }
  return gaps;
}

TEST(MemoryFault, ACallsRecordsHaveNoGapWhereThatIsPromised) {
  EXPECT_EQ(SeedsWithAGap(100), 0);
  EXPECT_GT(SeedsWithAGap(0), 0);
  EXPECT_GT(SeedsWithAGap(10), 0) << "the call has more bytes than that";
}

TEST(MemoryFault, AFailedPollLosesNoEvent) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    Fixture fixture(seed, 3);
    auto broker = fixture.Open();
    auto member = Join(*broker, "member");
    broker->FailAtCall(1, absl::UnavailableError("drawn"));
    EXPECT_TRUE(absl::IsUnavailable(member->Poll(absl::ZeroDuration()).status()));
    EXPECT_EQ(Hear(*member, Kind::kGained).size(), 3u);
  }
}

TEST(MemoryFault, AFailedJoinLeavesNoMemberBehind) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    Fixture fixture(seed, 3);
    auto broker = fixture.Open();
    broker->FailAtCall(1, absl::UnavailableError("drawn"));
    std::vector<std::string> topics = {kTopic};
    EXPECT_TRUE(absl::IsUnavailable(broker->JoinGroup(topics, {.group = "group"}).status()));
    auto member = Join(*broker, "member");
    EXPECT_EQ(Hear(*member, Kind::kGained).size(), 3u);
  }
}

TEST(MemoryZombie, ThatDoesNotPollIsToldThatItLostAndCanStillPublish) {
  Fixture fixture(1, 2);
  auto zombie_broker = fixture.Open(), heir_broker = fixture.Open();
  auto zombie = Join(*zombie_broker, "zombie");
  auto publisher = *zombie_broker->OpenPublisher(kTopic);
  EXPECT_EQ(Hear(*zombie, Kind::kGained).size(), 2u);
  auto heir = Join(*heir_broker, "heir");
  fixture.clock_.Advance(kSession + absl::Seconds(1));
  std::set<TopicShard> gained;
  for (const auto& [shard, unused] : Hear(*heir, Kind::kGained)) gained.insert(shard);
  // The heir, too, was silent: it may have had to join again first.
  for (const auto& [shard, unused] : Hear(*heir, Kind::kGained)) gained.insert(shard);
  EXPECT_EQ(gained.size(), 2u);
  NewRecord record{.key = "k", .value = "from the dead", .headers = {}, .shard = Shard(0)};
  ASSERT_TRUE(publisher->Publish({&record, 1}).ok());
  ASSERT_TRUE(publisher->Flush().ok());
  EXPECT_EQ(fixture.Values(), std::vector<std::string>{"from the dead"});
  EXPECT_TRUE(absl::IsAborted(zombie->Start({kTopic, Shard(0)}, StartPosition::AtEarliest())));
  EXPECT_EQ(Hear(*zombie, Kind::kLost).size(), 2u);
}

TEST(MemoryPartition, AClientThatIsCutOffLosesItsShardsAndIsTold) {
  Fixture fixture(1, 2);
  auto cut_broker = fixture.Open(), heir_broker = fixture.Open();
  auto cut = Join(*cut_broker, "cut");
  EXPECT_EQ(Hear(*cut, Kind::kGained).size(), 2u);
  cut_broker->SetReachable(false);
  EXPECT_TRUE(absl::IsUnavailable(cut->Poll(absl::ZeroDuration()).status()));
  fixture.clock_.Advance(kSession + absl::Seconds(1));
  EXPECT_TRUE(absl::IsUnavailable(cut->Poll(absl::ZeroDuration()).status()));
  auto heir = Join(*heir_broker, "heir");
  EXPECT_EQ(Hear(*heir, Kind::kGained).size(), 2u);
  cut_broker->SetReachable(true);
  EXPECT_EQ(Hear(*cut, Kind::kLost).size(), 2u);
}

TEST(MemoryHandOver, GivesAShardToAnotherMemberByRevocationOrByForce) {
  int revoked = 0, lost = 0;
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    Fixture fixture(seed, 2);
    auto one_broker = fixture.Open(), other_broker = fixture.Open();
    EXPECT_FALSE(fixture.world_->HandOver("group"));
    auto one = Join(*one_broker, "one");
    EXPECT_EQ(Hear(*one, Kind::kGained).size(), 2u);
    auto other = Join(*other_broker, "other");
    for (const auto& [shard, unused] : Hear(*one, Kind::kRevoked)) {
      ASSERT_TRUE(one->Release(shard).ok());
    }
    EXPECT_EQ(Hear(*other, Kind::kGained).size(), 1u);
    EXPECT_TRUE(fixture.world_->HandOver("group"));
    for (Subscription* member : {one.get(), other.get()}) {
      auto delivery = member->Poll(absl::ZeroDuration());
      ASSERT_TRUE(delivery.ok());
      for (const OwnershipEvent& event : delivery->events) {
        if (event.kind == Kind::kRevoked) ++revoked;
        if (event.kind == Kind::kLost) ++lost;
      }
    }
  }
  EXPECT_GT(revoked, 5);
  EXPECT_GT(lost, 5);
}

TEST(MemoryRepeats, ComeFromAboveTheStartAndDoNotMoveNext) {
  bool repeated = false;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    MemoryWorldOptions options = Fixture::Options(seed);
    options.repeat_one_in = 2;
    options.batch_records_max = 4;
    Fixture fixture(options, 1);
    auto publisher = *fixture.observer_->OpenPublisher(kTopic);
    for (int i = 0; i < 50; ++i) ASSERT_TRUE(Put(*publisher, "v").ok());
    ASSERT_TRUE(publisher->Flush().ok());
    auto reader = *fixture.observer_->OpenReader({});
    TopicShard shard{kTopic, Shard(0)};
    Position from{fixture.observer_->DescribeTopic(kTopic)->identity, Offset(20)};
    ASSERT_TRUE(reader->Start(shard, StartPosition::At(from)).ok());
    Offset end = fixture.observer_->DescribeShard(shard)->end, next = Offset(20);
    while (next < end) {
      auto delivery = reader->Poll(absl::ZeroDuration());
      ASSERT_TRUE(delivery.ok());
      if (!delivery->batch) continue;
      for (const Record& record : delivery->batch->records) {
        EXPECT_GE(record.offset, Offset(20));
        repeated = repeated || record.offset < next;
      }
      EXPECT_GT(delivery->batch->next, next);
      next = delivery->batch->next;
    }
  }
  EXPECT_TRUE(repeated);
}

TEST(MemoryTombstones, VanishAfterTheStatedNumberOfLaterRecords) {
  MemoryWorldOptions options = Fixture::Options(1);
  options.tombstone_records = 5;
  Fixture fixture(options, 1);
  ASSERT_TRUE(fixture.observer_->DeclareTopic({.name = "entity", .kind = TopicKind::kEntity}).ok());
  auto publisher = *fixture.observer_->OpenPublisher("entity");
  TopicShard shard{"entity", Shard(0)};
  NewRecord tombstone{.key = "gone", .value = std::nullopt};
  ASSERT_TRUE(publisher->Publish({&tombstone, 1}).ok());
  ASSERT_TRUE(publisher->Flush().ok());
  auto reader = *fixture.observer_->OpenReader({});
  std::vector<int64_t> lags;
  for (int i = 0; i < 6; ++i) {
    ASSERT_TRUE(reader->Start(shard, StartPosition::AtEarliest()).ok());
    lags.push_back(*reader->Lag(shard));
    ASSERT_TRUE(Put(*publisher, "v").ok());
    ASSERT_TRUE(publisher->Flush().ok());
  }
  // The tombstone and the one key that is updated, until the fifth later record.
  EXPECT_EQ(lags, (std::vector<int64_t>{1, 2, 2, 2, 2, 1}));
}

// Everything that a run shows, as text.
std::string Trace(uint64_t seed) {
  MemoryWorldOptions options = Fixture::Options(seed);
  options.handover_one_in = 5;
  Fixture fixture(options, 4);
  Random random(seed);
  std::string trace = fixture.observer_->DescribeTopic(kTopic)->identity;
  std::vector<std::unique_ptr<MemoryBroker>> brokers;
  std::vector<std::unique_ptr<Subscription>> members;
  for (int i = 0; i < 3; ++i) {
    brokers.push_back(fixture.Open());
    members.push_back(Join(*brokers.back(), absl::StrCat(i)));
  }
  auto publisher = *brokers[0]->OpenPublisher(kTopic);
  brokers[0]->CrashAtCall(200);
  for (int step = 0; step < 400; ++step) {
    std::string key = absl::StrCat(random.Below(20));
    NewRecord record{.key = key, .value = "v"};
    absl::StrAppend(&trace, " ", publisher->Publish({&record, 1}).ToString());
    if (random.OneIn(10)) absl::StrAppend(&trace, publisher->Flush().ok());
    fixture.clock_.Advance(absl::Milliseconds(random.Below(100)));
    size_t i = random.Below(members.size());
    auto delivery = members[i]->Poll(absl::ZeroDuration());
    if (!delivery.ok()) continue;
    for (const OwnershipEvent& event : delivery->events) {
      absl::StrAppend(&trace, " ", i, event.kind, event.shard.shard.value(), event.generation);
      if (event.kind == Kind::kGained) {
        absl::StrAppend(&trace, members[i]->Start(event.shard, StartPosition::AtEarliest()).ok());
      }
      if (event.kind == Kind::kRevoked)
        absl::StrAppend(&trace, members[i]->Release(event.shard).ok());
    }
    if (!delivery->batch) continue;
    for (const Record& record_read : delivery->batch->records) {
      absl::StrAppend(&trace, " ", record_read.offset.value());
    }
  }
  return trace;
}

TEST(MemoryWorld, DoesTheSameForTheSameSeed) {
  std::set<std::string> traces;
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    std::string trace = Trace(seed);
    EXPECT_EQ(Trace(seed), trace) << "seed " << seed;
    traces.insert(trace);
  }
  EXPECT_EQ(traces.size(), 10u);
}

TEST(MemoryWorld, StoresPendingRecordsAfterTheLinger) {
  MemoryWorldOptions options = Fixture::Options(1);
  options.early_store_one_in = 0;
  Fixture fixture(options, 1);
  auto broker = fixture.Open();
  auto publisher = *broker->OpenPublisher(kTopic);
  ASSERT_TRUE(Put(*publisher, "v").ok());
  EXPECT_EQ(fixture.Values().size(), 0u);
  fixture.clock_.Advance(kLinger);
  EXPECT_EQ(fixture.Values().size(), 1u);
}

TEST(OpenMemoryBroker, TakesItsUrlAloneAndNoSettings) {
  ManualClock clock;
  EXPECT_TRUE(OpenMemoryBroker("memory:", BrokerOptions(), clock).ok());
  EXPECT_TRUE(
      absl::IsInvalidArgument(OpenMemoryBroker("memory:x", BrokerOptions(), clock).status()));
  BrokerOptions options;
  options.settings["memory.seed"] = "1";
  EXPECT_TRUE(absl::IsInvalidArgument(OpenMemoryBroker("memory:", options, clock).status()));
}

}  // namespace
}  // namespace marquee::messaging
