#include "domain/checkpoint.h"

#include <algorithm>

#include "domain/test_ratings.h"
#include "gmock/gmock.h"
#include "google/protobuf/stubs/logging.h"
#include "gtest/gtest.h"

namespace marquee::domain {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

Checkpoint CheckpointAt(int64_t next, std::string state = "the state") {
  Checkpoint checkpoint;
  checkpoint.shard = 3;
  checkpoint.ratings_identity = "identity";
  checkpoint.next = LogOffset(next);
  checkpoint.last_record = {.offset = LogOffset(next - 1), .digest = DigestOf("last")};
  checkpoint.state = std::move(state);
  return checkpoint;
}

std::string StateOfParts(double parts) {
  std::string state(static_cast<size_t>(parts * kCheckpointPartBytesMax), 's');
  for (size_t i = 0; i < state.size(); i += 1000) state[i] = static_cast<char>(i / 1000);
  return state;
}

class CollectorTest : public ::testing::Test {
 protected:
  void Add(const std::vector<CheckpointPart>& parts) {
    for (const CheckpointPart& part : parts) ASSERT_TRUE(collector_.Add(part.key, part.value).ok());
  }
  CheckpointCollector collector_{3};
};

TEST_F(CollectorTest, CheckpointIsPutTogetherFromPartsInAnyOrder) {
  Checkpoint checkpoint = CheckpointAt(50, StateOfParts(2.5));
  std::vector<CheckpointPart> parts = SplitCheckpoint(checkpoint, 0xab);
  ASSERT_EQ(parts.size(), 3u);
  EXPECT_EQ(parts[2].key, "3/00000000000000ab/2");
  std::swap(parts[0], parts[2]);
  for (const CheckpointPart& part : parts) {
    EXPECT_FALSE(collector_.Best().has_value());
    EXPECT_LT(part.value.size(), kCheckpointPartBytesMax + 1000);
    ASSERT_TRUE(collector_.Add(part.key, part.value).ok());
  }
  ASSERT_TRUE(collector_.Best().has_value());
  EXPECT_EQ(*collector_.Best(), checkpoint);
  EXPECT_EQ(collector_.BestNonce(), 0xabu);
}

TEST_F(CollectorTest, StateOfAnEmptyLogIsOnePart) {
  Checkpoint checkpoint = CheckpointAt(0, "");
  checkpoint.last_record.reset();
  std::vector<CheckpointPart> parts = SplitCheckpoint(checkpoint, 1);
  ASSERT_EQ(parts.size(), 1u);
  Add(parts);
  EXPECT_EQ(collector_.Best(), checkpoint);
}

TEST_F(CollectorTest, HighestOffsetIsTheBestHoweverLateAnotherCame) {
  Add(SplitCheckpoint(CheckpointAt(60), 1));
  Add(SplitCheckpoint(CheckpointAt(50), 2));
  EXPECT_EQ(collector_.Best()->next, LogOffset(60));
  EXPECT_THAT(collector_.KeysBelowBest(), ElementsAre("3/0000000000000002/0"));
}

TEST_F(CollectorTest, OfEqualOffsetsTheHigherNonceIsTheBest) {
  Add(SplitCheckpoint(CheckpointAt(60, "a"), 2));
  Add(SplitCheckpoint(CheckpointAt(60, "b"), 1));
  EXPECT_EQ(collector_.BestNonce(), 2u);
  EXPECT_THAT(collector_.KeysBelowBest(), IsEmpty());
}

TEST_F(CollectorTest, IncompleteOneIsPassedOverAndDeletedWhenItIsLower) {
  Add(SplitCheckpoint(CheckpointAt(50), 1));
  std::vector<CheckpointPart> higher = SplitCheckpoint(CheckpointAt(60, StateOfParts(1.5)), 2);
  Add({higher[1]});
  EXPECT_EQ(collector_.Best()->next, LogOffset(50));
  EXPECT_THAT(collector_.KeysBelowBest(), IsEmpty());
  Add(SplitCheckpoint(CheckpointAt(70), 3));
  EXPECT_THAT(collector_.KeysBelowBest(),
              UnorderedElementsAre("3/0000000000000001/0", "3/0000000000000002/1"));
}

TEST_F(CollectorTest, PartsOfTwoCheckpointsAreNeverMixed) {
  std::vector<CheckpointPart> one = SplitCheckpoint(CheckpointAt(50, StateOfParts(2)), 1);
  std::string other_state = StateOfParts(2);
  other_state.back() = '!';
  std::vector<CheckpointPart> other = SplitCheckpoint(CheckpointAt(50, other_state), 1);
  Add({one[0], other[1]});
  EXPECT_FALSE(collector_.Best().has_value());
}

TEST_F(CollectorTest, DeletionTakesAPartAway) {
  std::vector<CheckpointPart> parts = SplitCheckpoint(CheckpointAt(50), 1);
  Add(parts);
  ASSERT_TRUE(collector_.Add(parts[0].key, std::nullopt).ok());
  EXPECT_FALSE(collector_.Best().has_value());
  Add(parts);
  collector_.Forget(parts[0].key);
  EXPECT_FALSE(collector_.Best().has_value());
}

TEST_F(CollectorTest, DamagedOneFallsBackToTheOneBefore) {
  Add(SplitCheckpoint(CheckpointAt(50), 1));
  std::vector<CheckpointPart> parts = SplitCheckpoint(CheckpointAt(60), 2);
  parts[0].value.back() = static_cast<char>(parts[0].value.back() ^ 1);
  Add(parts);
  EXPECT_EQ(collector_.Best()->next, LogOffset(50));
}

TEST_F(CollectorTest, WhatIsNoPartIsDataLossAndPassedOver) {
  std::vector<CheckpointPart> parts = SplitCheckpoint(CheckpointAt(50), 1);
  const char* const kWrongKeys[] = {"",
                                    "3",
                                    "3/1/0",
                                    "4/0000000000000001/0",
                                    "3/0000000000000001/00",
                                    "3/0000000000000001/",
                                    "3/000000000000000A/0",
                                    "3/0000000000000002/0",
                                    "3/0000000000000001/1",
                                    "03/0000000000000001/0"};
  for (const char* key : kWrongKeys) {
    EXPECT_EQ(collector_.Add(key, parts[0].value).code(), absl::StatusCode::kDataLoss) << key;
  }
  EXPECT_EQ(collector_.Add(parts[0].key, "\xff").code(), absl::StatusCode::kDataLoss);
  EXPECT_FALSE(collector_.Best().has_value());
}

TEST(CheckpointDamage, NoFlippedBitGoesUnseen) {
  google::protobuf::LogSilencer silencer;
  Checkpoint checkpoint = CheckpointAt(50);
  CheckpointPart part = SplitCheckpoint(checkpoint, 0x1234)[0];
  for (size_t bit = 0; bit < part.value.size() * 8; ++bit) {
    std::string flipped = part.value;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    CheckpointCollector collector(3);
    (void)collector.Add(part.key, flipped);
    EXPECT_FALSE(collector.Best().has_value()) << bit;
  }
  for (size_t bit = 0; bit < part.key.size() * 8; ++bit) {
    std::string flipped = part.key;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    CheckpointCollector collector(3);
    EXPECT_FALSE(collector.Add(flipped, part.value).ok()) << flipped;
  }
}

TEST(CheckpointDamage, NoTruncationGoesUnseen) {
  CheckpointPart part = SplitCheckpoint(CheckpointAt(50), 0x1234)[0];
  for (size_t size = 0; size < part.value.size(); ++size) {
    CheckpointCollector collector(3);
    (void)collector.Add(part.key, part.value.substr(0, size));
    EXPECT_FALSE(collector.Best().has_value()) << size;
  }
}

TEST(LogRecordDigest, TellsKeyAndValueAndAbsenceApart) {
  EXPECT_EQ(DigestOfLogRecord("k", "v"), DigestOfLogRecord("k", "v"));
  EXPECT_NE(DigestOfLogRecord("kv", ""), DigestOfLogRecord("k", "v"));
  EXPECT_NE(DigestOfLogRecord("k", ""), DigestOfLogRecord("k", std::nullopt));
  EXPECT_NE(DigestOfLogRecord("k", "v"), DigestOfLogRecord("k", "w"));
}

}  // namespace
}  // namespace marquee::domain
