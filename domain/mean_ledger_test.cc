// The one rule that publishes means, case by case.
#include <vector>

#include "domain/shard_state.h"
#include "domain/test_ratings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace marquee::domain {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Offsets of `ratings` are 100, 101, ...; offsets of `mean-ratings` are 0, 1, ...
class DueMeansTest : public ::testing::Test {
 protected:
  LogOffset Rate(uint64_t movie) {
    OwnedMessage message = MessageAt(offset_++, RatingOf(movie, 4000));
    EXPECT_EQ(state_.Apply(message.Borrow()), Outcome::kCounted);
    return message.offset;
  }
  std::vector<uint64_t> Take(size_t max = 100) {
    std::vector<uint64_t> movies;
    for (const MeanRating& mean : state_.TakeDue(max)) {
      EXPECT_EQ(mean.as_of, state_.AsOf(mean.movie));
      EXPECT_EQ(mean.aggregate, *state_.Find(mean.movie));
      movies.push_back(mean.movie.value());
    }
    return movies;
  }
  // The record at `at` of mean-ratings is read.
  void Read(int64_t at, uint64_t movie, LogOffset as_of) {
    state_.ObserveMean(MovieId(movie), as_of);
    state_.ObservedMeansThrough(LogOffset(at + 1));
  }

  int64_t offset_ = 100;
  ShardState state_{OneShard(), 0};
};

TEST_F(DueMeansTest, ChangedMovieIsDueOnceInTheOrderOfChanges) {
  Rate(3);
  Rate(1);
  Rate(3);
  EXPECT_EQ(state_.due(), 2u);
  EXPECT_EQ(state_.conflated(), 1u);
  EXPECT_THAT(Take(), ElementsAre(3, 1));
  EXPECT_EQ(state_.due(), 0u);
  EXPECT_THAT(Take(), IsEmpty());
}

TEST_F(DueMeansTest, NoMoreAreTakenThanAsked) {
  for (uint64_t movie : {1, 2, 3}) Rate(movie);
  EXPECT_THAT(Take(2), ElementsAre(1, 2));
  EXPECT_THAT(Take(2), ElementsAre(3));
}

TEST_F(DueMeansTest, RecordThatIsAsNewAsTheStateMakesNotDue) {
  LogOffset as_of = Rate(1);
  Read(0, 1, as_of);
  EXPECT_THAT(Take(), IsEmpty());
}

TEST_F(DueMeansTest, MovieThatFormerOwnersPublishedIsNotDueAfterRestore) {
  state_.ObserveMean(MovieId(1), LogOffset(100));
  state_.ObserveMean(MovieId(2), LogOffset(50));
  Rate(1);
  Rate(2);
  EXPECT_THAT(Take(), ElementsAre(2));
}

TEST_F(DueMeansTest, RecordBeyondTheStateIsLeftUntilTheStatePassesIt) {
  Read(0, 1, LogOffset(101));
  Rate(1);  // 100
  EXPECT_THAT(Take(), IsEmpty());
  Rate(1);  // 101
  EXPECT_THAT(Take(), IsEmpty());
  Rate(1);  // 102
  EXPECT_THAT(Take(), ElementsAre(1));
}

TEST_F(DueMeansTest, MeanInFlightIsNotPublishedAgain) {
  LogOffset as_of = Rate(1);
  Take();
  EXPECT_EQ(state_.due(), 0u);
  state_.MeansFlushed(LogOffset(1));
  EXPECT_EQ(state_.due(), 0u);
  Read(0, 1, as_of);
  EXPECT_EQ(state_.due(), 0u);
}

TEST_F(DueMeansTest, ChangeWhileInFlightIsDue) {
  Rate(1);
  Take();
  Rate(1);
  EXPECT_THAT(Take(), ElementsAre(1));
}

TEST_F(DueMeansTest, SlowerWritersRecordBeforeOursChangesNothing) {
  LogOffset as_of = Rate(1);
  Take();
  Read(0, 1, LogOffset(50));  // while it is on its way
  EXPECT_EQ(state_.due(), 0u);
  state_.MeansFlushed(LogOffset(3));
  Read(1, 1, LogOffset(50));  // flushed, not read back
  EXPECT_EQ(state_.due(), 0u);
  Read(2, 1, as_of);
  EXPECT_EQ(state_.due(), 0u);
}

TEST_F(DueMeansTest, SlowerWritersRecordAfterOursMakesDueAgain) {
  LogOffset as_of = Rate(1);
  Take();
  state_.MeansFlushed(LogOffset(1));
  Read(0, 1, as_of);
  EXPECT_EQ(state_.due(), 0u);
  Read(1, 1, LogOffset(50));
  EXPECT_THAT(Take(), ElementsAre(1));
}

TEST_F(DueMeansTest, SlowerWritersRecordBetweenOursAndItsFlushMakesDueOnceItIsReadThrough) {
  LogOffset as_of = Rate(1);
  Take();
  state_.MeansFlushed(LogOffset(3));
  Read(0, 1, as_of);
  Read(1, 1, LogOffset(50));  // below 3: as far as is known, ours may come at 2
  EXPECT_EQ(state_.due(), 0u);
  state_.ObservedMeansThrough(LogOffset(3));
  EXPECT_THAT(Take(), ElementsAre(1));
}

TEST_F(DueMeansTest, WhatWasReadBeforeTheFlushReturnedCounts) {
  LogOffset as_of = Rate(1);
  Take();
  Read(0, 1, as_of);
  Read(1, 1, LogOffset(50));
  EXPECT_EQ(state_.due(), 0u);
  state_.MeansFlushed(LogOffset(1));
  EXPECT_THAT(Take(), ElementsAre(1));
}

TEST_F(DueMeansTest, EarlierFlightReadBackDoesNotDisturbTheLater) {
  LogOffset first = Rate(1);
  Take();
  state_.MeansFlushed(LogOffset(1));
  LogOffset second = Rate(1);
  Take();
  Read(0, 1, first);
  EXPECT_EQ(state_.due(), 0u);
  state_.MeansFlushed(LogOffset(2));
  EXPECT_EQ(state_.due(), 0u);
  Read(1, 1, second);
  EXPECT_EQ(state_.due(), 0u);
}

TEST_F(DueMeansTest, FailedMeansAreDueAgainUnlessSeen) {
  LogOffset seen = Rate(1);
  Rate(2);
  Take();
  Read(0, 1, seen);
  state_.MeansFailed();
  EXPECT_THAT(Take(), ElementsAre(2));
}

TEST_F(DueMeansTest, FailureLeavesEarlierFlightsAlone) {
  Rate(1);
  Take();
  state_.MeansFlushed(LogOffset(1));
  Rate(2);
  Take();
  state_.MeansFailed();
  EXPECT_THAT(Take(), ElementsAre(2));
}

TEST_F(DueMeansTest, MeansAreDurableWhenNothingIsDueOrUnflushed) {
  EXPECT_TRUE(state_.MeansAreDurable());
  Rate(1);
  EXPECT_FALSE(state_.MeansAreDurable());
  Take();
  EXPECT_FALSE(state_.MeansAreDurable());
  state_.MeansFlushed(LogOffset(1));
  EXPECT_TRUE(state_.MeansAreDurable());
  Rate(1);
  Take();
  state_.MeansFailed();
  EXPECT_FALSE(state_.MeansAreDurable());
}

TEST_F(DueMeansTest, DecodedStateIsDueInTheOrderOfItsChanges) {
  Rate(5);
  Rate(2);
  Rate(9);
  Rate(5);
  absl::StatusOr<ShardState> restored = ShardState::Decode(state_.Encode(), OneShard(), 0);
  ASSERT_TRUE(restored.ok()) << restored.status();
  restored->ObserveMean(MovieId(2), LogOffset(101));
  std::vector<uint64_t> due;
  for (const MeanRating& mean : restored->TakeDue(10)) due.push_back(mean.movie.value());
  EXPECT_THAT(due, ElementsAre(9, 5));
}

TEST_F(DueMeansTest, NeitherReadingNorFlushingLateMakesItGrowWithoutBound) {
  constexpr int kRounds = 20'000;
  size_t before = 0;
  for (int i = 0; i < kRounds; ++i) {
    LogOffset as_of = Rate(1 + static_cast<uint64_t>(i % 10));
    if (i % 2 == 0) {
      Take();
      state_.MeansFlushed(LogOffset(1'000'000 + i));
    } else {
      // Seen from another owner: no longer due, without being taken.
      state_.ObserveMean(MovieId(1 + static_cast<uint64_t>(i % 10)), as_of);
    }
    if (i == kRounds / 4) before = state_.MemoryBytes();
  }
  EXPECT_LT(state_.MemoryBytes(), before + 40'000);
}

}  // namespace
}  // namespace marquee::domain
