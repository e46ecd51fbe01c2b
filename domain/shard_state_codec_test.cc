#include <functional>

#include "domain/shard_state.h"
#include "domain/test_ratings.h"
#include "gmock/gmock.h"
#include "google/protobuf/stubs/logging.h"
#include "gtest/gtest.h"
#include "marquee/v1/checkpoint.pb.h"

namespace marquee::domain {
namespace {

using ::testing::HasSubstr;

// A state with some of everything.
ShardState FullState(const Rules& rules = OneShard()) {
  ShardState state(rules, 0);
  int64_t offset = 10;
  auto apply = [&](const Rating& rating) {
    OwnedMessage message = MessageAt(offset, rating);
    offset += 2;
    state.Apply(message.Borrow());
  };
  for (uint64_t sequence : {1, 2, 3, 3, 7, 9}) {
    Rating rating = RatingOf(300 - 7 * sequence, 500 * static_cast<int32_t>(sequence));
    rating.stamp = StampOf(sequence, sequence / 2);
    apply(rating);
  }
  for (uint32_t index : {1, 0, 0}) {
    Rating rating = RatingOf(5, 4000);
    rating.idempotency = Idempotency{.key = "key", .index = index, .body_digest = 99};
    apply(rating);
  }
  apply(RatingOf(5, 5700));
  state.SkipTo(LogOffset(40));
  return state;
}

using Change = std::function<void(v1::Checkpoint*)>;

absl::Status StatusAfter(const Change& change) {
  v1::Checkpoint message;
  EXPECT_TRUE(message.ParseFromString(FullState().Encode()));
  change(&message);
  return ShardState::Decode(message.SerializeAsString(), OneShard(), 0).status();
}

TEST(EncodedState, IsReadAsItWasWritten) {
  ShardState state = FullState();
  absl::StatusOr<ShardState> read = ShardState::Decode(state.Encode(), OneShard(), 0);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->Encode(), state.Encode());
  EXPECT_EQ(read->AllMeans(), state.AllMeans());
  EXPECT_EQ(read->counters(), state.counters());
  EXPECT_EQ(read->next(), LogOffset(40));
  EXPECT_EQ(read->movies(), state.movies());
  EXPECT_EQ(read->Lost(), state.Lost());
}

TEST(EncodedState, OfAnEmptyLogIsReadToo) {
  ShardState state(OneShard(), 0);
  EXPECT_EQ(ShardState::Decode(state.Encode(), OneShard(), 0)->Encode(), state.Encode());
}

TEST(EncodedState, HoldsNothingOfWhatIsKnownOfMeans) {
  ShardState state = FullState();
  std::string before = state.Encode();
  state.ObserveMean(MovieId(12345), LogOffset(1));
  state.TakeDue(2);
  EXPECT_EQ(state.Encode(), before);
}

TEST(EncodedState, WithoutAHistogramIsReadToo) {
  Rules rules = OneShard();
  rules.scale.step = Thousandths(100);
  ShardState state = FullState(rules);
  absl::StatusOr<ShardState> read = ShardState::Decode(state.Encode(), rules, 0);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->Encode(), state.Encode());
}

TEST(EncodedState, OfOtherRulesIsAFailedPreconditionThatShowsTheDifference) {
  Rules other = OneShard();
  other.sequence_distance_max = 5;
  absl::Status status = ShardState::Decode(FullState().Encode(), other, 0).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("sequence_distance_max: 1048576 recorded, 5 here"));
}

TEST(EncodedState, OfAnotherShardOrANewerFormatIsAFailedPrecondition) {
  Rules two = OneShard();
  two.shards = 2;
  ShardState state(two, 1);
  EXPECT_EQ(ShardState::Decode(state.Encode(), two, 0).status().code(),
            absl::StatusCode::kFailedPrecondition);
  absl::Status newer = StatusAfter([](v1::Checkpoint* message) { message->set_format(2); });
  EXPECT_EQ(newer.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(newer.message()), HasSubstr("its format is 2, and this version reads 1"));
}

TEST(EncodedState, ThatNoLogCanGiveIsDataLoss) {
  const std::pair<const char*, Change> kChanges[] = {
      {"no format", [](auto* m) { m->set_format(0); }},
      {"a negative end", [](auto* m) { m->set_next(-1); }},
      {"a movie beyond the end", [](auto* m) { m->set_next(15); }},
      {"counters", [](auto* m) { m->mutable_counters()->set_messages(1); }},
      {"unstamped", [](auto* m) { m->mutable_counters()->set_unstamped(1000); }},
      {"counts", [](auto* m) { m->mutable_movies()->set_counts(0, 3); }},
      {"no count", [](auto* m) { m->mutable_movies()->set_counts(0, 0); }},
      {"sum", [](auto* m) { m->mutable_movies()->set_sums_thousandths(0, 4999); }},
      {"histogram", [](auto* m) { m->mutable_movies()->set_histograms(0, 3); }},
      {"list length", [](auto* m) { m->mutable_movies()->add_as_of(1); }},
      {"histogram length", [](auto* m) { m->mutable_movies()->add_histograms(1); }},
      {"negative as_of", [](auto* m) { m->mutable_movies()->set_as_of(0, -1); }},
      {"id twice", [](auto* m) { m->mutable_movies()->set_id_deltas(1, 0); }},
      {"id overflow", [](auto* m) { m->mutable_movies()->set_id_deltas(1, UINT64_MAX); }},
      {"movies missing", [](auto* m) { m->clear_movies(); }},
      {"odd intervals", [](auto* m) { m->mutable_accepted(0)->add_intervals(1); }},
      {"touching intervals", [](auto* m) { m->mutable_accepted(0)->set_intervals(2, 1); }},
      {"interval of 0", [](auto* m) { m->mutable_accepted(0)->set_intervals(0, 0); }},
      {"interval overflow", [](auto* m) { m->mutable_accepted(0)->set_intervals(2, UINT64_MAX); }},
      {"interval too far", [](auto* m) { m->mutable_accepted(0)->set_intervals(2, 1 << 21); }},
      {"no intervals", [](auto* m) { m->mutable_accepted(0)->clear_intervals(); }},
      {"source name", [](auto* m) { m->mutable_accepted(0)->set_source("a b"); }},
      {"no incarnation", [](auto* m) { m->mutable_accepted(0)->set_incarnation(0); }},
      {"source twice", [](auto* m) { *m->add_accepted() = m->accepted(0); }},
      {"key twice", [](auto* m) { m->mutable_remembered(1)->set_index(1); }},
      {"key out of order", [](auto* m) { m->mutable_remembered(1)->set_message(1); }},
      {"key of the future", [](auto* m) { m->mutable_remembered(1)->set_message(1000); }},
      {"key of two bodies", [](auto* m) { m->mutable_remembered(1)->set_body_digest(1); }},
      {"empty key", [](auto* m) { m->mutable_remembered(1)->set_key(""); }},
  };
  EXPECT_TRUE(StatusAfter([](auto*) {}).ok());
  for (const auto& [what, change] : kChanges) {
    EXPECT_EQ(StatusAfter(change).code(), absl::StatusCode::kDataLoss)
        << what << ": " << StatusAfter(change);
  }
}

TEST(EncodedState, TruncatedOrWithFlippedBitsNeverCrashesAndIsWholeWhereItIsRead) {
  google::protobuf::LogSilencer silencer;
  std::string bytes = FullState().Encode();
  auto check = [](const std::string& damaged) {
    absl::StatusOr<ShardState> read = ShardState::Decode(damaged, OneShard(), 0);
    if (!read.ok()) return;
    uint64_t counted = 0;
    for (const MeanRating& mean : read->AllMeans()) counted += mean.aggregate.count;
    EXPECT_EQ(counted, read->counters().counted);
    EXPECT_EQ(ShardState::Decode(read->Encode(), OneShard(), 0)->Encode(), read->Encode());
  };
  for (size_t size = 0; size < bytes.size(); ++size) check(bytes.substr(0, size));
  for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    check(flipped);
  }
}

}  // namespace
}  // namespace marquee::domain
