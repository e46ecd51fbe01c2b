// 3. Positioned: each message has an offset that grows and never changes; a subscription starts at
// any offset, the start, the end, or a time; a topic has an identity.
#include <gtest/gtest.h>

#include <set>

#include "absl/strings/str_cat.h"
#include "messaging/conformance/trial.h"

namespace marquee::messaging::conformance {
namespace {

void OffsetsGrowAndEachRecordHasOne(Trial& trial) {
  std::string topic = trial.Declare(3);
  PutMany(trial.broker(), topic, 1, 5'000, 50);
  Collector collector = ReadTopic(trial, trial.broker(), topic);
  EXPECT_EQ(collector.size(), 5'000u) << "as many offsets as records";
  std::set<std::string> values;
  for (const Got& got : collector.Records()) {
    EXPECT_GE(got.offset, Offset(0));
    EXPECT_TRUE(values.insert(*got.value).second) << "at two offsets: " << got;
  }
}

void OffsetsNeverChange(Trial& trial) {
  std::string topic = trial.Declare(3);
  PutMany(trial.broker(), topic, 1, 3'000, 50);
  std::vector<Got> first = ReadTopic(trial, trial.broker(), topic).Records();
  EXPECT_EQ(first.size(), 3'000u);
  EXPECT_EQ(ReadTopic(trial, *trial.Open(), topic).Records(), first) << "for another reader";
  trial.Restart();
  EXPECT_EQ(ReadTopic(trial, trial.broker(), topic).Records(), first) << "after a restart";
  PutMany(trial.broker(), topic, 3'001, 4'000, 50);
  Collector collector = ReadTopic(trial, trial.broker(), topic);
  EXPECT_EQ(collector.size(), 4'000u);
  std::vector<Got> before;
  for (const Got& got : collector.Records()) {
    if (std::stoi(got.value->substr(1)) <= 3'000) before.push_back(got);
  }
  EXPECT_EQ(before, first) << "after more was published";
}

void AReaderStartsAtAnyOffset(Trial& trial) {
  std::string topic = trial.Declare(1);
  PutMany(trial.broker(), topic, 1, 400, 20);
  std::vector<Got> all = ReadTopic(trial, trial.broker(), topic).Records();
  ASSERT_EQ(all.size(), 400u);
  for (int round = 0; round < 20; ++round) {
    size_t from = trial.random().Below(all.size());
    std::vector<Got> rest(all.begin() + from, all.end());
    Offset offset = all[from].offset;
    auto start = AtOffset(trial.broker(), topic, offset);
    EXPECT_EQ(ReadTopic(trial, trial.broker(), topic, start).Records(), rest) << "at " << offset;
    rest.erase(rest.begin());
    start = AtOffset(trial.broker(), topic, offset.next());
    EXPECT_EQ(ReadTopic(trial, trial.broker(), topic, start).Records(), rest)
        << "at " << offset.next() << ", which may be in a gap";
  }
  EXPECT_EQ(
      ReadTopic(trial, trial.broker(), topic, AtOffset(trial.broker(), topic, Offset(0))).size(),
      400u);
}

void AReaderStartsAtTheEnd(Trial& trial) {
  std::string topic = trial.Declare(1);
  PutMany(trial.broker(), topic, 1, 100, 10);
  auto reader = MUST(trial.broker().OpenReader({}));
  MUST(reader->Start(At(topic, 0), StartPosition::AtLatest()));
  EXPECT_EQ(MUST(reader->Next(At(topic, 0))), MUST(trial.broker().DescribeShard(At(topic, 0))).end);
  PutMany(trial.broker(), topic, 101, 150, 10);
  Collector collector;
  ReadToEnd(trial, trial.broker(), *reader, {At(topic, 0)}, &collector);
  ASSERT_EQ(collector.size(), 50u);
  EXPECT_EQ(collector.Records()[0].value, "v101");
}

void AReaderStartsAtATime(Trial& trial) {
  std::string topic = trial.Declare(1);
  std::vector<absl::Time> times;
  for (int hour = 0; hour < 4; ++hour) {
    ShiftedClock clock(absl::Hours(hour - 10));
    times.push_back(clock.Now());
    PutMany(*trial.Open(clock, {}), topic, 100 * hour + 1, 100 * hour + 100, 10);
  }
  auto read_since = [&](absl::Time time) {
    return ReadTopic(trial, trial.broker(), topic, StartPosition::AtTime(time)).Records();
  };
  EXPECT_EQ(read_since(times[0] - absl::Hours(1)).size(), 400u);
  for (int hour = 1; hour < 4; ++hour) {
    std::vector<Got> got = read_since(times[hour] - absl::Minutes(5));
    ASSERT_EQ(got.size(), 400u - 100 * hour);
    EXPECT_EQ(got[0].value, absl::StrCat("v", 100 * hour + 1));
  }
  EXPECT_EQ(read_since(times[3] + absl::Hours(1)).size(), 0u);
  // Exactly the time of a record: it is included.
  std::vector<Got> all = ReadTopic(trial, trial.broker(), topic).Records();
  std::vector<Got> got = read_since(all[250].published);
  ASSERT_FALSE(got.empty());
  EXPECT_EQ(got[0].published, all[250].published);
}

void ARecordBearsThePublishersTimeInMilliseconds(Trial& trial) {
  std::string topic = trial.Declare(1);
  ShiftedClock clock(absl::Hours(-77));
  absl::Time before = clock.Now();
  PutMany(*trial.Open(clock, {}), topic, 1, 10, 10);
  absl::Time after = clock.Now();
  for (const Got& got : ReadTopic(trial, trial.broker(), topic).Records()) {
    EXPECT_GE(got.published, before - absl::Milliseconds(1));
    EXPECT_LE(got.published, after);
    EXPECT_EQ(got.published, absl::FromUnixMillis(absl::ToUnixMillis(got.published)));
  }
}

void NextIsAPositionToGoOnFrom(Trial& trial) {
  std::string topic = trial.Declare(2);
  PutMany(trial.broker(), topic, 1, 2'000, 50);
  TopicShard shard = At(topic, 0);
  std::vector<Got> all = ReadShard(trial, trial.broker(), shard).Records();
  auto reader = MUST(trial.broker().OpenReader({}));
  MUST(reader->Start(shard, StartPosition::AtEarliest()));
  Collector first;
  while (first.size() < all.size()) {
    Delivery delivery = MUST(reader->Poll(trial.timings().soon));
    if (!delivery.batch) continue;
    first.Add(*delivery.batch);
    Offset next = MUST(reader->Next(shard));
    EXPECT_EQ(next, delivery.batch->next);
    for (const Got& got : first.Records()) EXPECT_LT(got.offset, next);
    if (!trial.random().OneIn(4)) continue;
    auto rest = ReadShard(trial, trial.broker(), shard, AtOffset(trial.broker(), topic, next));
    EXPECT_EQ(first.size() + rest.size(), all.size()) << "nothing is left out, at " << next;
  }
}

void AReaderMovesWhenItIsStartedAgain(Trial& trial) {
  std::string topic = trial.Declare(1);
  PutMany(trial.broker(), topic, 1, 100, 10);
  TopicShard shard = At(topic, 0);
  auto reader = MUST(trial.broker().OpenReader({}));
  for (int round = 0; round < 3; ++round) {
    MUST(reader->Start(shard, StartPosition::AtEarliest()));
    Collector collector;
    ReadToEnd(trial, trial.broker(), *reader, {shard}, &collector);
    EXPECT_EQ(collector.size(), 100u) << "in round " << round;
  }
  MUST(reader->Release(shard));
  MUST(reader->Release(shard));
  PutMany(trial.broker(), topic, 101, 110, 10);
  EXPECT_FALSE(MUST(reader->Poll(absl::Milliseconds(100))).batch) << "released";
}

void APositionOfAFormerTopicIsRefused(Trial& trial) {
  TopicSpec spec{.name = trial.Name("topic"), .kind = TopicKind::kEvent, .shards = 1};
  TopicIdentity former = MUST(trial.broker().DeclareTopic(spec)).identity;
  PutMany(trial.broker(), spec.name, 1, 10, 1);
  MUST(trial.broker().DeleteTopic(spec.name));
  TopicIdentity present = MUST(trial.broker().DeclareTopic(spec)).identity;
  EXPECT_NE(former, present);
  EXPECT_EQ(ReadTopic(trial, trial.broker(), spec.name).size(), 0u) << "it begins empty";
  PutMany(trial.broker(), spec.name, 1, 10, 1);
  auto reader = MUST(trial.broker().OpenReader({}));
  EXPECT_EQ(reader->Start(At(spec.name, 0), StartPosition::At({former, Offset(0)})).code(),
            absl::StatusCode::kFailedPrecondition);
  MUST(reader->Start(At(spec.name, 0), StartPosition::At({present, Offset(0)})));
}

void WhoeverUsesAFormerTopicIsTold(Trial& trial) {
  TopicSpec spec{.name = trial.Name("topic"), .kind = TopicKind::kEvent, .shards = 1};
  MUST(trial.broker().DeclareTopic(spec));
  auto elsewhere = trial.Open();
  auto reader = MUST(elsewhere->OpenReader({}));
  auto publisher = MUST(elsewhere->OpenPublisher(spec.name));
  Put(*publisher, "k", "of the former");
  MUST(publisher->Flush());
  MUST(reader->Start(At(spec.name, 0), StartPosition::AtEarliest()));
  Collector collector;
  ReadToEnd(trial, *elsewhere, *reader, {At(spec.name, 0)}, &collector);
  MUST(trial.broker().DeleteTopic(spec.name));
  MUST(trial.broker().DeclareTopic(spec));
  auto refused = [](absl::StatusCode code) {
    return code == absl::StatusCode::kFailedPrecondition || code == absl::StatusCode::kNotFound;
  };
  EXPECT_TRUE(trial.Soon([&] { return refused(CodeOf(reader->Poll(absl::Milliseconds(20)))); }))
      << "a reader";
  NewRecord late{.key = "k", .value = "late"};
  absl::Status status = publisher->Publish({&late, 1});
  if (status.ok()) status = publisher->Flush().status();
  EXPECT_TRUE(refused(status.code())) << "a publisher: " << status;
  EXPECT_EQ(ReadTopic(trial, trial.broker(), spec.name).size(), 0u);
}

void LagIsWhatLiesAhead(Trial& trial) {
  std::string topic = trial.Declare(1);
  TopicShard shard = At(topic, 0);
  auto reader = MUST(trial.broker().OpenReader({}));
  MUST(reader->Start(shard, StartPosition::AtEarliest()));
  EXPECT_EQ(MUST(reader->Lag(shard)), 0);
  PutMany(trial.broker(), topic, 1, 300, 10);
  EXPECT_GT(MUST(reader->Lag(shard)), 0);
  Collector collector;
  ReadToEnd(trial, trial.broker(), *reader, {shard}, &collector);
  EXPECT_EQ(MUST(reader->Lag(shard)), 0);
}

void AnExtentHoldsAllOffsets(Trial& trial) {
  std::string topic = trial.Declare(2);
  TopicShard shard = At(topic, 0), empty = At(topic, 1);
  auto publisher = MUST(trial.broker().OpenPublisher(topic));
  Offset end = MUST(trial.broker().DescribeShard(shard)).end;
  for (int round = 0; round < 20; ++round) {
    Put(*publisher, "k", "v", Shard(0));
    MUST(publisher->Flush());
    Extent extent = MUST(trial.broker().DescribeShard(shard));
    EXPECT_GT(extent.end, end);
    end = extent.end;
  }
  Extent extent = MUST(trial.broker().DescribeShard(shard));
  for (const Got& got : ReadShard(trial, trial.broker(), shard).Records()) {
    EXPECT_GE(got.offset, extent.begin);
    EXPECT_LT(got.offset, extent.end);
  }
  Extent nothing = MUST(trial.broker().DescribeShard(empty));
  EXPECT_EQ(nothing.begin, nothing.end);
}

}  // namespace

std::vector<Fact> PositionedFacts() {
  return {MARQUEE_FACT(OffsetsGrowAndEachRecordHasOne),
          MARQUEE_FACT(OffsetsNeverChange),
          MARQUEE_FACT(AReaderStartsAtAnyOffset),
          MARQUEE_FACT(AReaderStartsAtTheEnd),
          MARQUEE_FACT(AReaderStartsAtATime),
          MARQUEE_FACT(ARecordBearsThePublishersTimeInMilliseconds),
          MARQUEE_FACT(NextIsAPositionToGoOnFrom),
          MARQUEE_FACT(AReaderMovesWhenItIsStartedAgain),
          MARQUEE_FACT(APositionOfAFormerTopicIsRefused),
          MARQUEE_FACT(WhoeverUsesAFormerTopicIsTold),
          MARQUEE_FACT(LagIsWhatLiesAhead),
          MARQUEE_FACT(AnExtentHoldsAllOffsets)};
}

}  // namespace marquee::messaging::conformance
