#include "base/intervals.h"

#include <set>

#include "base/random.h"
#include "gtest/gtest.h"

namespace marquee {
namespace {

TEST(IntervalSet, DenseValuesAreOneInterval) {
  IntervalSet set;
  for (uint64_t value = 1; value <= 1000; ++value) EXPECT_TRUE(set.Insert(value));
  EXPECT_EQ(set.intervals(), (std::vector<Interval>{{1, 1000}}));
  EXPECT_EQ(set.FirstMissing(), 1001u);
}

TEST(IntervalSet, AGapThatIsFilledJoinsItsNeighbours) {
  IntervalSet set;
  for (uint64_t value : {1, 2, 4, 5}) set.Insert(value);
  EXPECT_EQ(set.intervals().size(), 2u);
  EXPECT_EQ(set.FirstMissing(), 3u);
  EXPECT_TRUE(set.Insert(3));
  EXPECT_EQ(set.intervals(), (std::vector<Interval>{{1, 5}}));
}

TEST(IntervalSet, RepeatsAreNoticed) {
  IntervalSet set;
  EXPECT_TRUE(set.Insert(7));
  EXPECT_FALSE(set.Insert(7));
}

TEST(IntervalSet, TheLargestValueHasNoSuccessor) {
  IntervalSet set;
  EXPECT_TRUE(set.Insert(UINT64_MAX));
  EXPECT_TRUE(set.Insert(0));
  EXPECT_FALSE(set.Insert(UINT64_MAX));
  EXPECT_FALSE(set.Insert(0));
  EXPECT_EQ(set.intervals().size(), 2u);
}

TEST(IntervalSet, IsMadeAgainFromItsIntervals) {
  std::vector<Interval> intervals = {{1, 3}, {5, 5}, {9, UINT64_MAX}};
  IntervalSet set(intervals);
  EXPECT_EQ(set.intervals(), intervals);
  EXPECT_TRUE(set.Insert(4));
  EXPECT_EQ(set.intervals(), (std::vector<Interval>{{1, 5}, {9, UINT64_MAX}}));
  EXPECT_FALSE(set.Insert(UINT64_MAX));
}

TEST(IntervalSetDeathTest, IsNotMadeFromWhatIsNotValid) {
  EXPECT_DEATH(IntervalSet({{3, 4}, {1, 1}}), "Valid");
}

TEST(IntervalSet, WhatIsNotOrderedApartIsNotValid) {
  EXPECT_TRUE(IntervalSet::Valid({{1, 2}, {4, 4}}));
  EXPECT_FALSE(IntervalSet::Valid({{1, 2}, {3, 4}}));
  EXPECT_FALSE(IntervalSet::Valid({{3, 4}, {1, 1}}));
  EXPECT_FALSE(IntervalSet::Valid({{2, 1}}));
}

TEST(IntervalSet, AgreesWithAPlainSetOnRandomValues) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    Random random(seed);
    IntervalSet set;
    std::set<uint64_t> model;
    uint64_t range = 1 + random.Below(60);
    for (int i = 0; i < 100; ++i) {
      uint64_t value = random.Below(range);
      ASSERT_EQ(set.Insert(value), model.insert(value).second) << "seed " << seed;
      ASSERT_TRUE(IntervalSet::Valid(set.intervals())) << "seed " << seed;
      ASSERT_EQ(set.Count(), model.size()) << "seed " << seed;
    }
    uint64_t first_missing = 1;
    while (model.contains(first_missing)) ++first_missing;
    EXPECT_EQ(set.FirstMissing(), first_missing) << "seed " << seed;
    for (uint64_t through = 0; through <= range + 1; ++through) {
      EXPECT_EQ(set.Contains(through), model.contains(through)) << "seed " << seed;
      uint64_t missing = 0;
      for (uint64_t value = 1; value <= through; ++value) missing += model.contains(value) ? 0 : 1;
      EXPECT_EQ(set.MissingThrough(through), missing) << "seed " << seed;
    }
  }
}

}  // namespace
}  // namespace marquee
