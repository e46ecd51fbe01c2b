#include "domain/shard_state.h"

#include <vector>

#include "domain/test_ratings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace marquee::domain {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A shard, and a log that is written as it is read.
class ShardStateTest : public ::testing::Test {
 protected:
  explicit ShardStateTest(const Rules& rules = OneShard()) : state_(rules, 0) {}

  Outcome Apply(const Rating& rating) { return Apply(MessageAt(offset_, rating)); }
  Outcome Apply(OwnedMessage message) {
    message.offset = LogOffset(offset_);
    offset_ += 3;  // offsets have gaps
    return state_.Apply(message.Borrow());
  }
  Outcome ApplyStamped(uint64_t sequence, uint64_t flushed_through = 0) {
    Rating rating = RatingOf(1, 4000);
    rating.stamp = StampOf(sequence, flushed_through);
    return Apply(rating);
  }
  Outcome ApplyOf(Incarnation incarnation, uint64_t sequence = 1) {
    Rating rating = RatingOf(1, 4000);
    rating.stamp = StampOf(sequence);
    rating.stamp->incarnation = incarnation;
    return Apply(rating);
  }
  Outcome ApplyNamed(std::string_view key, uint32_t index, uint64_t body_digest) {
    Rating rating = RatingOf(1, 4000);
    rating.idempotency = Idempotency{.key = key, .index = index, .body_digest = body_digest};
    return Apply(rating);
  }
  uint64_t CountOf(uint64_t movie) {
    const Aggregate* aggregate = state_.Find(MovieId(movie));
    return aggregate == nullptr ? 0 : aggregate->count;
  }

  int64_t offset_ = 5;
  ShardState state_;
};

TEST_F(ShardStateTest, RatingsAreSummedByMovie) {
  EXPECT_EQ(Apply(RatingOf(318, 4500)), Outcome::kCounted);
  EXPECT_EQ(Apply(RatingOf(318, 500)), Outcome::kCounted);
  EXPECT_EQ(Apply(RatingOf(1, 3000)), Outcome::kCounted);
  ASSERT_NE(state_.Find(MovieId(318)), nullptr);
  EXPECT_EQ(state_.Find(MovieId(318))->count, 2u);
  EXPECT_EQ(state_.Find(MovieId(318))->sum_thousandths, 5000);
  EXPECT_THAT(state_.Find(MovieId(318))->histogram, ElementsAre(1, 0, 0, 0, 0, 0, 0, 0, 1, 0));
  EXPECT_EQ(state_.AsOf(MovieId(318)), LogOffset(8));
  EXPECT_EQ(state_.next(), LogOffset(12));
  EXPECT_EQ(state_.movies(), 2u);
  EXPECT_EQ(state_.counters().unstamped, 3u);
}

TEST_F(ShardStateTest, UnratedMovieIsUnknownAlsoWhenItsMeanWasSeen) {
  state_.ObserveMean(MovieId(7), LogOffset(3));
  EXPECT_EQ(state_.Find(MovieId(7)), nullptr);
  EXPECT_EQ(state_.AsOf(MovieId(7)), LogOffset(-1));
  EXPECT_EQ(state_.movies(), 0u);
  EXPECT_TRUE(state_.AllMeans().empty());
}

TEST_F(ShardStateTest, SecondRatingByTheSameUserCounts) {
  Apply(RatingOf(1, 4000));
  EXPECT_EQ(Apply(RatingOf(1, 4000)), Outcome::kCounted);
  EXPECT_EQ(CountOf(1), 2u);
}

TEST_F(ShardStateTest, RepeatIsDropped) {
  EXPECT_EQ(ApplyStamped(1), Outcome::kCounted);
  EXPECT_EQ(ApplyStamped(1), Outcome::kRepeat);
  EXPECT_EQ(CountOf(1), 1u);
  EXPECT_EQ(state_.counters().repeats, 1u);
  EXPECT_EQ(state_.AsOf(MovieId(1)), LogOffset(5));
}

TEST_F(ShardStateTest, LateSequenceIsAccepted) {
  ApplyStamped(1);
  EXPECT_EQ(ApplyStamped(3), Outcome::kCounted);
  EXPECT_EQ(ApplyStamped(2), Outcome::kCounted);
  EXPECT_EQ(ApplyStamped(3), Outcome::kRepeat);
  EXPECT_EQ(CountOf(1), 3u);
}

TEST_F(ShardStateTest, GapIsALossOnlyBelowFlushedThrough) {
  ApplyStamped(1, 0);
  ApplyStamped(4, 0);
  EXPECT_EQ(state_.Lost(), 0u);
  ApplyStamped(5, 3);
  EXPECT_EQ(state_.Lost(), 2u);
  ApplyStamped(2, 0);
  EXPECT_EQ(state_.Lost(), 1u);
  ASSERT_EQ(state_.AllAccepted().size(), 1u);
  EXPECT_EQ(state_.AllAccepted()[0].accepted.flushed_through, Sequence(3));
}

TEST_F(ShardStateTest, RepeatRaisesFlushedThrough) {
  ApplyStamped(1, 0);
  ApplyStamped(3, 0);
  ApplyStamped(3, 2);
  EXPECT_EQ(state_.Lost(), 1u);
}

TEST_F(ShardStateTest, SequenceOf0IsADeadLetterAndAcceptsNothing) {
  EXPECT_EQ(ApplyStamped(0), Outcome::kDeadLetter);
  EXPECT_THAT(state_.reason(), HasSubstr("no sequence"));
  EXPECT_TRUE(state_.AllAccepted().empty());
  ApplyStamped(1);
  EXPECT_EQ(ApplyStamped(0), Outcome::kDeadLetter);
}

TEST_F(ShardStateTest, StampOfNothingIsADeadLetterAlsoAsTheFirstMessage) {
  OwnedMessage message = MessageAt(0, RatingOf(1, 4000));
  message.value += std::string("\x0a\x00", 2);  // a stamp with no fields
  EXPECT_EQ(Apply(message), Outcome::kDeadLetter);
  EXPECT_THAT(state_.reason(), HasSubstr("the name of the source"));
  message.value += std::string("\x0a\x02\x20\x01", 4);  // and a sequence
  EXPECT_EQ(Apply(message), Outcome::kDeadLetter);
  EXPECT_TRUE(state_.AllAccepted().empty());
}

TEST_F(ShardStateTest, DeadLettersSayWhy) {
  OwnedMessage garbage = MessageAt(0, RatingOf(1, 500));
  garbage.value = "\xff\xff";
  EXPECT_EQ(Apply(garbage), Outcome::kDeadLetter);
  EXPECT_THAT(state_.reason(), HasSubstr("not a marquee.v1.Rating: 2 bytes"));

  OwnedMessage another = MessageAt(0, RatingOf(1, 500));
  another.key = "2";
  EXPECT_EQ(Apply(another), Outcome::kDeadLetter);
  EXPECT_THAT(state_.reason(), HasSubstr("its key is of another"));

  EXPECT_EQ(Apply(RatingOf(1, 5700)), Outcome::kDeadLetter);
  EXPECT_THAT(state_.reason(), HasSubstr("the value is 5.7; expected 0.5 to 5"));
  EXPECT_EQ(Apply(RatingOf(1, 0)), Outcome::kDeadLetter);
  EXPECT_EQ(Apply(RatingOf(1, -1000)), Outcome::kDeadLetter);

  EXPECT_EQ(state_.Apply({.offset = LogOffset(1000), .key = "1", .value = std::nullopt}),
            Outcome::kDeadLetter);
  EXPECT_THAT(state_.reason(), HasSubstr("no value"));
  EXPECT_EQ(state_.counters().dead_letters, 6u);
  EXPECT_EQ(state_.counters().messages, 6u);
  EXPECT_EQ(state_.movies(), 0u);
}

TEST_F(ShardStateTest, StampOfADeadLetterIsAccepted) {
  Rating wrong = RatingOf(1, 5700);
  wrong.stamp = StampOf(1);
  EXPECT_EQ(Apply(wrong), Outcome::kDeadLetter);
  ApplyStamped(2, 1);
  EXPECT_EQ(state_.Lost(), 0u);
  EXPECT_EQ(Apply(wrong), Outcome::kRepeat);
}

TEST_F(ShardStateTest, StampOfADeadLetterWithoutAMovieIsAccepted) {
  OwnedMessage message;
  Rating wrong = RatingOf(0, 4000);
  wrong.stamp = StampOf(1);
  AppendRating(wrong, &message.value);
  EXPECT_EQ(Apply(message), Outcome::kDeadLetter);
  EXPECT_EQ(Apply(message), Outcome::kRepeat);
}

TEST_F(ShardStateTest, SkippingAGapMovesNextAlone) {
  Apply(RatingOf(1, 500));
  state_.SkipTo(LogOffset(100));
  EXPECT_EQ(state_.next(), LogOffset(100));
  EXPECT_EQ(state_.counters().messages, 1u);
}

TEST_F(ShardStateTest, SameStampOfAnotherSourceOrIncarnationIsAnother) {
  ApplyStamped(1);
  Rating rating = RatingOf(1, 4000);
  rating.stamp = StampOf(1);
  rating.stamp->source = "movielen";
  EXPECT_EQ(Apply(rating), Outcome::kCounted);
  EXPECT_EQ(ApplyOf(Incarnation(kIncarnation.value() + 1)), Outcome::kCounted);
  EXPECT_EQ(state_.AllAccepted().size(), 3u);
}

TEST_F(ShardStateTest, ApplyAllTellsOfEachThatWasNotCountedWithItsReason) {
  std::vector<OwnedMessage> log;
  for (int64_t i = 0; i < 100; ++i) {
    Rating rating = RatingOf(1 + static_cast<uint64_t>(i % 7), i == 50 ? 5700 : 4000);
    rating.stamp = StampOf(i == 70 ? 3 : static_cast<uint64_t>(i) + 1);
    log.push_back(MessageAt(i, rating));
  }
  std::vector<LogMessage> messages;
  messages.reserve(log.size());
  for (const OwnedMessage& message : log) messages.push_back(message.Borrow());
  std::vector<std::pair<int64_t, Outcome>> told;
  state_.ApplyAll(messages, [&](const LogMessage& message, Outcome outcome) {
    told.push_back({message.offset.value(), outcome});
    if (outcome == Outcome::kDeadLetter) {
      EXPECT_THAT(state_.reason(), HasSubstr("5.7"));
    }
    EXPECT_EQ(state_.next(), message.offset.next());
  });
  EXPECT_THAT(told,
              ElementsAre(std::pair(50, Outcome::kDeadLetter), std::pair(70, Outcome::kRepeat)));

  ShardState one_by_one(OneShard(), 0);
  for (const LogMessage& message : messages) one_by_one.Apply(message);
  EXPECT_EQ(state_.Encode(), one_by_one.Encode());
}

TEST(ShardStateShards, MovieOfAnotherShardIsADeadLetter) {
  Rules rules;
  ShardState state(rules, 3);
  MovieId foreign = MoviesOfShard(1, 4, rules.shards)[0];
  MovieId own = MoviesOfShard(1, 3, rules.shards)[0];
  state.ObserveMean(foreign, LogOffset(1));  // a record that another shard's owner put here
  OwnedMessage message = MessageAt(0, RatingOf(foreign.value(), 4000));
  EXPECT_EQ(state.Apply(message.Borrow()), Outcome::kDeadLetter);
  EXPECT_THAT(state.reason(), HasSubstr("belongs to shard 4, not to 3"));
  OwnedMessage good = MessageAt(1, RatingOf(own.value(), 4000));
  EXPECT_EQ(state.Apply(good.Borrow()), Outcome::kCounted);
}

Rules FewIncarnations() {
  Rules rules = OneShard();
  rules.incarnations_per_source_max = 3;
  return rules;
}

class IncarnationsTest : public ShardStateTest {
 protected:
  IncarnationsTest() : ShardStateTest(FewIncarnations()) {
    for (uint64_t ordinal : {4, 2, 6}) ApplyOf(MakeIncarnation(ordinal, 9));
  }
  std::vector<uint64_t> Kept() {
    std::vector<uint64_t> ordinals;
    for (const auto& entry : state_.AllAccepted()) ordinals.push_back(OrdinalOf(entry.incarnation));
    return ordinals;
  }
};

TEST_F(IncarnationsTest, OldestIsDroppedWhenANewerOneComes) {
  EXPECT_EQ(ApplyOf(MakeIncarnation(5, 9)), Outcome::kCounted);
  EXPECT_THAT(Kept(), ElementsAre(4, 5, 6));
}

TEST_F(IncarnationsTest, OlderThanThoseKeptIsADeadLetter) {
  EXPECT_EQ(ApplyOf(MakeIncarnation(1, 9)), Outcome::kDeadLetter);
  EXPECT_THAT(state_.reason(), HasSubstr("older than the 3 newest"));
  EXPECT_THAT(Kept(), ElementsAre(2, 4, 6));
}

TEST_F(IncarnationsTest, OneThatWasDroppedIsADeadLetterWhenItComesBack) {
  ApplyOf(MakeIncarnation(7, 9));
  EXPECT_EQ(ApplyOf(MakeIncarnation(2, 9), 2), Outcome::kDeadLetter);
  EXPECT_EQ(ApplyOf(MakeIncarnation(7, 9), 2), Outcome::kCounted);
}

TEST_F(IncarnationsTest, RefusedStampDropsNone) {
  EXPECT_EQ(ApplyOf(MakeIncarnation(9, 9), 0), Outcome::kDeadLetter);
  EXPECT_EQ(ApplyOf(MakeIncarnation(9, 9), UINT64_MAX), Outcome::kDeadLetter);
  EXPECT_THAT(Kept(), ElementsAre(2, 4, 6));
}

TEST_F(IncarnationsTest, AreCountedForEachSource) {
  Rating rating = RatingOf(1, 4000);
  rating.stamp = StampOf(1);
  rating.stamp->source = "another";
  EXPECT_EQ(Apply(rating), Outcome::kCounted);
  EXPECT_EQ(state_.AllAccepted().size(), 4u);
}

Rules ShortDistance() {
  Rules rules = OneShard();
  rules.sequence_distance_max = 10;
  return rules;
}

class DistanceTest : public ShardStateTest {
 protected:
  DistanceTest() : ShardStateTest(ShortDistance()) {}
};

TEST_F(DistanceTest, SequenceTooFarBeyondTheFirstMissingOneIsADeadLetter) {
  EXPECT_EQ(ApplyStamped(12), Outcome::kDeadLetter);
  EXPECT_THAT(state_.reason(),
              HasSubstr("sequence 12 is more than 10 beyond the first missing one, 1"));
  EXPECT_TRUE(state_.AllAccepted().empty());
  EXPECT_EQ(ApplyStamped(11), Outcome::kCounted);
  EXPECT_EQ(ApplyStamped(1), Outcome::kCounted);
  EXPECT_EQ(ApplyStamped(12), Outcome::kCounted);
  EXPECT_EQ(ApplyStamped(13), Outcome::kDeadLetter);
}

TEST_F(DistanceTest, IntervalsAreBounded) {
  for (uint64_t sequence = 2; sequence < 1000; sequence += 2) ApplyStamped(sequence);
  EXPECT_LE(state_.AllAccepted()[0].accepted.sequences.intervals().size(), 6u);
}

Rules ShortWindow() {
  Rules rules = OneShard();
  rules.idempotency_window_messages = 10;
  return rules;
}

class IdempotencyTest : public ShardStateTest {
 protected:
  IdempotencyTest() : ShardStateTest(ShortWindow()) {}
  void Pass(int messages) {
    for (int i = 0; i < messages; ++i) Apply(RatingOf(2, 4000));
  }
};

TEST_F(IdempotencyTest, RatingOfARepeatedRequestCountsOnce) {
  EXPECT_EQ(ApplyNamed("k", 0, 77), Outcome::kCounted);
  EXPECT_EQ(ApplyNamed("k", 1, 77), Outcome::kCounted);
  EXPECT_EQ(ApplyNamed("k", 0, 77), Outcome::kRepeat);
  EXPECT_EQ(ApplyNamed("k", 1, 77), Outcome::kRepeat);
  EXPECT_EQ(ApplyNamed("l", 0, 77), Outcome::kCounted);
  EXPECT_EQ(CountOf(1), 3u);
}

TEST_F(IdempotencyTest, SameKeyWithAnotherBodyIsADeadLetter) {
  ApplyNamed("k", 0, 77);
  EXPECT_EQ(ApplyNamed("k", 0, 78), Outcome::kDeadLetter);
  EXPECT_THAT(state_.reason(), HasSubstr("the idempotency key k was used with another body"));
  EXPECT_EQ(ApplyNamed("k", 5, 78), Outcome::kDeadLetter);
  EXPECT_EQ(ApplyNamed("k", 0, 77), Outcome::kRepeat);
}

TEST_F(IdempotencyTest, KeyIsForgottenAfterTheWindow) {
  ApplyNamed("k", 0, 77);
  Pass(9);
  EXPECT_EQ(ApplyNamed("k", 0, 77), Outcome::kRepeat);  // 10 messages later
  Pass(10);
  EXPECT_EQ(ApplyNamed("k", 0, 78), Outcome::kCounted);  // 11 messages after it was seen last
}

TEST_F(IdempotencyTest, RepeatIsSeenToo) {
  ApplyNamed("k", 0, 77);
  Pass(7);
  EXPECT_EQ(ApplyNamed("k", 0, 77), Outcome::kRepeat);
  Pass(7);
  EXPECT_EQ(ApplyNamed("k", 0, 77), Outcome::kRepeat);
  EXPECT_EQ(CountOf(1), 1u);
}

TEST_F(IdempotencyTest, DroppedRepeatEntersTheIntervals) {
  Rating rating = RatingOf(1, 4000);
  rating.idempotency = Idempotency{.key = "k", .index = 0, .body_digest = 77};
  rating.stamp = StampOf(1);
  EXPECT_EQ(Apply(rating), Outcome::kCounted);
  rating.stamp = StampOf(2);
  EXPECT_EQ(Apply(rating), Outcome::kRepeat);
  rating.stamp = StampOf(4, 3);
  Apply(rating);
  EXPECT_EQ(state_.Lost(), 1u);  // 3 alone
}

TEST_F(IdempotencyTest, DeadLetterIsNotRemembered) {
  Rating wrong = RatingOf(1, 5700);
  wrong.idempotency = Idempotency{.key = "k", .index = 0, .body_digest = 77};
  EXPECT_EQ(Apply(wrong), Outcome::kDeadLetter);
  EXPECT_EQ(ApplyNamed("k", 0, 78), Outcome::kCounted);
}

TEST(ShardStateMemory, OneMillionMoviesIn12ShardsTakeAtMost180MiB) {
  Rules rules;
  ShardState state(rules, 0);
  int64_t offset = 0;
  for (MovieId movie : MoviesOfShard(1'000'000 / 12, 0, 12)) {
    OwnedMessage message = MessageAt(offset++, RatingOf(movie.value(), 4000));
    state.Apply(message.Borrow());
  }
  EXPECT_LT(12 * state.MemoryBytes(), size_t{180} << 20);
}

using ShardStateDeathTest = ShardStateTest;

TEST_F(ShardStateDeathTest, GoingBackInTheLogIsABug) {
  Apply(RatingOf(1, 500));
  OwnedMessage before = MessageAt(4, RatingOf(1, 500));
  EXPECT_DEATH(state_.Apply(before.Borrow()), "offset >= next");
}

}  // namespace
}  // namespace marquee::domain
