#include "domain/source_progress.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace marquee::domain {
namespace {

using ::testing::ElementsAre;

InputMark MarkAt(uint64_t byte) {
  return {.byte = byte, .line = byte / 10, .digest = DigestOf(std::to_string(byte))};
}

SourceProgress ProgressOf(uint64_t ordinal, uint64_t writer) {
  SourceProgress progress;
  progress.source = "ml";
  progress.incarnation = MakeIncarnation(ordinal, ordinal);
  progress.writer = writer;
  progress.repeatable = true;
  return progress;
}

class ClaimsTest : public ::testing::Test {
 protected:
  void Add(const SourceProgress& progress, int64_t offset) {
    ASSERT_TRUE(
        claims_.Add(SourceProgressKey(progress), EncodeSourceProgress(progress), LogOffset(offset))
            .ok());
  }
  SourceClaims claims_;
};

TEST(SourceProgress, IsReadAsItWasWritten) {
  SourceProgress progress = ProgressOf(3, 0xabcdef);
  EXPECT_EQ(DecodeSourceProgress(EncodeSourceProgress(progress)).value(), progress);
  progress.claim = LogOffset(0);
  progress.closed = true;
  progress.done = MarkAt(100);
  progress.intended = MarkAt(200);
  progress.next_sequence = {5, 1, 7};
  progress.rejected = 2;
  EXPECT_EQ(DecodeSourceProgress(EncodeSourceProgress(progress)).value(), progress);
  EXPECT_EQ(SourceProgressKey(progress), "ml/196611/0000000000abcdef");
}

TEST(SourceProgress, WithoutANameOrAnIncarnationIsRefused) {
  SourceProgress progress = ProgressOf(1, 1);
  progress.source = "";
  EXPECT_FALSE(DecodeSourceProgress(EncodeSourceProgress(progress)).ok());
  progress = ProgressOf(1, 1);
  progress.incarnation = Incarnation(0);
  EXPECT_FALSE(DecodeSourceProgress(EncodeSourceProgress(progress)).ok());
}

TEST_F(ClaimsTest, FirstClaimThatIsOpenHolds) {
  EXPECT_FALSE(claims_.OpenClaim("ml").has_value());
  Add(ProgressOf(1, 10), 5);
  Add(ProgressOf(2, 11), 8);
  EXPECT_EQ(claims_.OpenClaim("ml")->incarnation, MakeIncarnation(1, 1));
  EXPECT_EQ(claims_.OpenClaim("ml")->claimed_at, LogOffset(5));
  EXPECT_FALSE(claims_.OpenClaim("other").has_value());
}

TEST_F(ClaimsTest, OfTwoWithEqualOrdinalsTheFirstInTheLogHolds) {
  SourceProgress a = ProgressOf(1, 10), b = ProgressOf(1, 11);
  a.incarnation = MakeIncarnation(1, 0xffff);
  b.incarnation = MakeIncarnation(1, 0x0001);
  Add(a, 5);
  Add(b, 6);
  EXPECT_EQ(claims_.OpenClaim("ml")->incarnation, a.incarnation);
}

TEST_F(ClaimsTest, ClaimIsRepeatedWhenCompactionLeavesTheLaterRecordAlone) {
  SourceProgress later = ProgressOf(1, 10);
  later.claim = LogOffset(5);
  Add(ProgressOf(2, 11), 8);
  Add(later, 100);  // its claim at 5 was compacted away
  EXPECT_EQ(claims_.OpenClaim("ml")->incarnation, MakeIncarnation(1, 1));
}

TEST_F(ClaimsTest, ClosedByAnyWriterIsClosedForGood) {
  SourceProgress first = ProgressOf(1, 10), closer = ProgressOf(1, 12);
  Add(first, 5);
  closer.claim = LogOffset(5);
  closer.closed = true;
  Add(closer, 9);
  EXPECT_FALSE(claims_.OpenClaim("ml").has_value());
  first.claim = LogOffset(5);
  Add(first, 10);  // a zombie goes on
  EXPECT_FALSE(claims_.OpenClaim("ml").has_value());
  closer.closed = false;
  Add(closer, 11);
  EXPECT_TRUE(claims_.OfSource("ml")[0].closed);
}

TEST_F(ClaimsTest, WritersOfOneIncarnationAreTakenTogether) {
  SourceProgress slow = ProgressOf(1, 10), fast = ProgressOf(1, 11);
  slow.done = MarkAt(100);
  slow.intended = MarkAt(500);
  slow.next_sequence = {5, 9};
  fast.claim = LogOffset(1);
  fast.done = MarkAt(200);
  fast.intended = MarkAt(300);
  fast.next_sequence = {7};
  fast.rejected = 3;
  Add(slow, 1);
  Add(fast, 2);
  ASSERT_EQ(claims_.All().size(), 1u);
  SourceClaims::Claim claim = claims_.All()[0];
  EXPECT_EQ(claim.furthest_done.done, MarkAt(200));
  EXPECT_EQ(claim.furthest_done.rejected, 3u);
  EXPECT_THAT(claim.furthest_done.next_sequence, ElementsAre(7, 9));
  EXPECT_EQ(claim.intended, MarkAt(500));
  EXPECT_THAT(claim.intents, ::testing::UnorderedElementsAre(MarkAt(500), MarkAt(300)));
  EXPECT_EQ(claim.claimed_at, LogOffset(1));
}

TEST_F(ClaimsTest, LiveSourcesAreMergedByTheirSequences) {
  SourceProgress one = ProgressOf(1, 10), other = ProgressOf(1, 11);
  one.repeatable = other.repeatable = false;
  one.next_sequence = {1, 4};
  other.next_sequence = {3, 2};
  other.claim = LogOffset(1);
  Add(one, 1);
  Add(other, 2);
  EXPECT_THAT(claims_.All()[0].furthest_done.next_sequence, ElementsAre(3, 4));
  EXPECT_FALSE(claims_.OpenClaim("ml").has_value());
}

TEST_F(ClaimsTest, NextOrdinalIsAboveAllClaimedOfTheSource) {
  EXPECT_EQ(claims_.NextOrdinal("ml"), 1u);
  Add(ProgressOf(7, 1), 1);
  Add(ProgressOf(3, 1), 2);
  EXPECT_EQ(claims_.NextOrdinal("ml"), 8u);
  EXPECT_EQ(claims_.NextOrdinal("m"), 1u);
}

TEST_F(ClaimsTest, DeletionForgetsAWriter) {
  Add(ProgressOf(1, 1), 1);
  ASSERT_TRUE(claims_.Add(SourceProgressKey(ProgressOf(1, 1)), std::nullopt, LogOffset(2)).ok());
  EXPECT_TRUE(claims_.All().empty());
}

TEST_F(ClaimsTest, RecordUnderAnotherKeyIsRefused) {
  EXPECT_EQ(claims_.Add("ml/1/2", EncodeSourceProgress(ProgressOf(1, 1)), LogOffset(1)).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(claims_.Add("ml/1/2", "\xff", LogOffset(1)).code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace marquee::domain
