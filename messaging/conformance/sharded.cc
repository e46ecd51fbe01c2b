// 1. Sharded: a topic has a fixed number of shards, set when it is declared; a message's shard
// follows from its key, or is named by the publisher.
#include <gtest/gtest.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "messaging/conformance/threads.h"
#include "messaging/conformance/trial.h"

namespace marquee::messaging::conformance {
namespace {

constexpr uint32_t kShards = 12;

// From Kafka's own test, UtilsTest.testMurmur2, and the shards that follow.
void TheHashIsThatOfKafkasJavaClient(Trial&) {
  struct Vector {
    const char* key;
    int32_t hash;
  };
  constexpr Vector kVectors[] = {
      {"21", -973932308},
      {"foobar", -790332482},
      {"a-little-bit-long-string", -985981536},
      {"a-little-bit-longer-string", -1486304829},
      {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
      {"abc", 479470107},
  };
  for (const Vector& vector : kVectors) {
    EXPECT_EQ(static_cast<int32_t>(Murmur2(vector.key)), vector.hash) << vector.key;
    uint32_t expected = (static_cast<uint32_t>(vector.hash) & 0x7fffffff) % kShards;
    EXPECT_EQ(ShardOfKey(vector.key, kShards), Shard(expected)) << vector.key;
  }
}

void AKeyIsInTheShardOfItsHash(Trial& trial) {
  std::string topic = trial.Declare(kShards);
  auto publisher = MUST(trial.broker().OpenPublisher(topic));
  for (int i = 0; i < 500; ++i) Put(*publisher, absl::StrCat(i), "v");
  Put(*publisher, "", "v");
  MUST(publisher->Flush());
  Collector collector = ReadTopic(trial, trial.broker(), topic);
  EXPECT_EQ(collector.size(), 501u);
  for (const Got& got : collector.Records()) {
    EXPECT_EQ(got.at.shard.value(), (Murmur2(got.key) & 0x7fffffff) % kShards) << got;
  }
}

void AShardThatIsNamedIsTaken(Trial& trial) {
  std::string topic = trial.Declare(kShards);
  auto publisher = MUST(trial.broker().OpenPublisher(topic));
  for (uint32_t i = 0; i < kShards; ++i) Put(*publisher, "one key", absl::StrCat(i), Shard(i));
  MUST(publisher->Flush());
  Collector collector = ReadTopic(trial, trial.broker(), topic);
  EXPECT_EQ(collector.size(), size_t{kShards});
  for (const Got& got : collector.Records())
    EXPECT_EQ(got.value, absl::StrCat(got.at.shard.value()));
}

void AShardThatIsNotThereIsRefused(Trial& trial) {
  std::string topic = trial.Declare(3);
  auto publisher = MUST(trial.broker().OpenPublisher(topic));
  NewRecord records[] = {{.key = "a", .value = "1"},
                         {.key = "b", .value = "2", .headers = {}, .shard = Shard(3)}};
  EXPECT_EQ(publisher->Publish(records).code(), absl::StatusCode::kInvalidArgument);
  Put(*publisher, "c", "3");
  MUST(publisher->Flush());
  Collector collector = ReadTopic(trial, trial.broker(), topic);
  ASSERT_EQ(collector.size(), 1u) << "nothing of the refused call is taken";
  EXPECT_EQ(collector.Records()[0].key, "c");
  EXPECT_EQ(CodeOf(trial.broker().DescribeShard(At(topic, 3))), absl::StatusCode::kNotFound);
  auto reader = MUST(trial.broker().OpenReader({}));
  EXPECT_EQ(reader->Start(At(topic, 3), StartPosition::AtEarliest()).code(),
            absl::StatusCode::kNotFound);
}

void ManyShardsAreDescribedAsEachByItself(Trial& trial) {
  std::string topic = trial.Declare(4), other = trial.Declare(2);
  PutMany(trial.broker(), topic, 0, 99, 20);
  std::vector<TopicShard> shards = {At(topic, 2), At(other, 1), At(topic, 0), At(topic, 2)};
  std::vector<Extent> extents = MUST(trial.broker().DescribeShards(shards));
  ASSERT_EQ(extents.size(), shards.size());
  for (size_t i = 0; i < shards.size(); ++i) {
    Extent extent = MUST(trial.broker().DescribeShard(shards[i]));
    EXPECT_EQ(extents[i].begin, extent.begin) << shards[i];
    EXPECT_EQ(extents[i].end, extent.end) << shards[i];
  }
  EXPECT_GT(extents[0].end, extents[0].begin);
  shards.push_back(At(other, 2));
  EXPECT_EQ(CodeOf(trial.broker().DescribeShards(shards)), absl::StatusCode::kNotFound);
  EXPECT_TRUE(MUST(trial.broker().DescribeShards({})).empty());
}

void DeclaringAgainFindsTheTopic(Trial& trial) {
  TopicSpec spec{.name = trial.Name("topic"), .kind = TopicKind::kEntity, .shards = 5};
  TopicInfo made = MUST(trial.broker().DeclareTopic(spec));
  auto other = trial.Open();
  TopicInfo found = MUST(other->DeclareTopic(spec));
  EXPECT_FALSE(made.identity.empty());
  EXPECT_EQ(made.identity, found.identity);
  TopicInfo described = MUST(other->DescribeTopic(spec.name));
  EXPECT_EQ(described.identity, made.identity);
  EXPECT_EQ(described.spec.name, spec.name);
  EXPECT_EQ(described.spec.kind, spec.kind);
  EXPECT_EQ(described.spec.shards, spec.shards);
  EXPECT_EQ(described.spec.retention, spec.retention);
}

void DeclaringWithOtherShardsIsRefusedWithBothShown(Trial& trial) {
  TopicSpec spec{.name = trial.Name("topic"), .kind = TopicKind::kEvent, .shards = 37};
  MUST(trial.broker().DeclareTopic(spec));
  spec.shards = 41;
  absl::Status status = trial.broker().DeclareTopic(spec).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::StrContains(status.message(), "37")) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "41")) << status;
  EXPECT_EQ(MUST(trial.broker().DescribeTopic(spec.name)).spec.shards, 37u);
}

void DeclaringWithAnotherKindOrRetentionIsRefused(Trial& trial) {
  TopicSpec spec{.name = trial.Name("topic"), .kind = TopicKind::kEvent, .shards = 2};
  spec.retention = absl::Hours(24);
  MUST(trial.broker().DeclareTopic(spec));
  TopicSpec kind = spec;
  kind.kind = TopicKind::kEntity;
  kind.retention = absl::InfiniteDuration();
  EXPECT_EQ(CodeOf(trial.broker().DeclareTopic(kind)), absl::StatusCode::kFailedPrecondition);
  TopicSpec retention = spec;
  retention.retention = absl::Hours(25);
  EXPECT_EQ(CodeOf(trial.broker().DeclareTopic(retention)), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(MUST(trial.broker().DescribeTopic(spec.name)).spec.retention, absl::Hours(24));
}

void ATopicOutsideTheRulesIsRefused(Trial& trial) {
  auto declare = [&](std::string name, uint32_t shards) {
    return CodeOf(trial.broker().DeclareTopic({.name = std::move(name), .shards = shards}));
  };
  for (const char* name : {"", "Upper", "-dash", ".dot", "_line", "a/b", "a b", "ä", "a\nb"}) {
    EXPECT_EQ(declare(name, 1), absl::StatusCode::kInvalidArgument) << name;
  }
  EXPECT_EQ(declare(std::string(201, 'a'), 1), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(declare(trial.Name("none"), 0), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(declare(trial.Name("many"), kShardsMax + 1), absl::StatusCode::kInvalidArgument);
}

void TopicsAreListedByName(Trial& trial) {
  std::vector<std::string> names = {trial.Name("b.x"), trial.Name("a_y"), trial.Name("c-z")};
  for (const std::string& name : names) MUST(trial.broker().DeclareTopic({.name = name}));
  auto other = trial.Open();
  std::vector<std::string> listed, ours;
  for (const TopicInfo& info : MUST(other->ListTopics())) listed.push_back(info.spec.name);
  EXPECT_TRUE(std::is_sorted(listed.begin(), listed.end()));
  for (const std::string& name : listed) {
    if (std::count(names.begin(), names.end(), name) > 0) ours.push_back(name);
  }
  EXPECT_EQ(ours.size(), 3u);
  MUST(other->DeleteTopic(names[0]));
  for (const TopicInfo& info : MUST(trial.broker().ListTopics())) {
    EXPECT_NE(info.spec.name, names[0]) << "deleted";
  }
}

void ManyThatDeclareATopicAtOnceGetTheSame(Trial& trial) {
  TopicSpec spec{.name = trial.Name("topic"), .kind = TopicKind::kEvent, .shards = 4};
  std::vector<TopicIdentity> identities(4);
  RunThreads(4, [&](int i) {
    auto broker = trial.Open();
    identities[i] = MUST(broker->DeclareTopic(spec)).identity;
  });
  for (const TopicIdentity& identity : identities) EXPECT_EQ(identity, identities[0]);
}

}  // namespace

std::vector<Fact> ShardedFacts() {
  return {MARQUEE_FACT(TheHashIsThatOfKafkasJavaClient),
          MARQUEE_FACT(AKeyIsInTheShardOfItsHash),
          MARQUEE_FACT(AShardThatIsNamedIsTaken),
          MARQUEE_FACT(AShardThatIsNotThereIsRefused),
          MARQUEE_FACT(ManyShardsAreDescribedAsEachByItself),
          MARQUEE_FACT(DeclaringAgainFindsTheTopic),
          MARQUEE_FACT(DeclaringWithOtherShardsIsRefusedWithBothShown),
          MARQUEE_FACT(DeclaringWithAnotherKindOrRetentionIsRefused),
          MARQUEE_FACT(ATopicOutsideTheRulesIsRefused),
          MARQUEE_FACT(TopicsAreListedByName),
          MARQUEE_FACT(ManyThatDeclareATopicAtOnceGetTheSame)};
}

}  // namespace marquee::messaging::conformance
