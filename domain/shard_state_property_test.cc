// The state of a shard against a plain model, over random logs: repeats, late and lost messages,
// several sources and incarnations, requests that come again, and everything that is a dead letter.
#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "domain/shard_state.h"
#include "domain/test_ratings.h"
#include "gtest/gtest.h"

namespace marquee::domain {
namespace {

constexpr int kLogs = 300;
constexpr int kMessages = 400;
constexpr uint32_t kShard = 1;

Rules SmallRules() {
  Rules rules;
  rules.shards = 3;
  rules.idempotency_window_messages = 30;
  rules.sequence_distance_max = 20;
  rules.incarnations_per_source_max = 2;
  return rules;
}

// A message as the model sees it, beside its bytes.
struct Drawn {
  OwnedMessage message;
  Rating rating;  // borrows from static texts
  bool is_garbage = false;
};

// Draws what producers, brokers, twins and operators may put into a shard.
class LogWriter {
 public:
  explicit LogWriter(uint64_t seed) : random_(seed), movies_(MoviesOfShard(8, kShard, 3)) {
    movies_.push_back(MoviesOfShard(1, 2, 3)[0]);  // of another shard
  }

  std::vector<Drawn> Write(int messages) {
    std::vector<Drawn> log;
    while (static_cast<int>(log.size()) < messages) {
      offset_ += 1 + static_cast<int64_t>(random_.Below(3));
      if (!log.empty() && random_.OneIn(8)) {
        Drawn again = log[log.size() - 1 - random_.Below(std::min<size_t>(log.size(), 40))];
        again.message.offset = LogOffset(offset_);
        log.push_back(std::move(again));
      } else {
        log.push_back(Draw());
      }
    }
    return log;
  }

 private:
  Drawn Draw() {
    Drawn drawn;
    Rating& rating = drawn.rating;
    rating = RatingOf(movies_[random_.Below(random_.OneIn(20) ? 9 : 8)].value(),
                      500 * static_cast<int32_t>(1 + random_.Below(10)));
    if (random_.OneIn(25))
      rating.value = Thousandths(static_cast<int32_t>(random_.Below(8000)) - 1000);
    if (!random_.OneIn(10)) rating.stamp = DrawStamp();
    if (random_.OneIn(4)) {
      static const char* const kKeys[] = {"a", "b", "c", "d"};
      rating.idempotency = Idempotency{.key = kKeys[random_.Below(4)],
                                       .index = static_cast<uint32_t>(random_.Below(3)),
                                       .body_digest = random_.OneIn(5) ? 2u : 1u};
    }
    drawn.message = MessageAt(offset_, rating);
    if (random_.OneIn(30)) drawn.message.key = MovieKey(movies_[0]);
    if (random_.OneIn(40)) {
      drawn.is_garbage = true;
      drawn.message.value = "\xff\xff\xff";
    }
    return drawn;
  }

  Stamp DrawStamp() {
    static const char* const kSources[] = {"one", "two"};
    size_t source = random_.Below(2);
    if (random_.OneIn(60)) ++newest_[source];
    uint64_t ordinal =
        newest_[source] -
        std::min<uint64_t>(newest_[source] - 1, random_.OneIn(4) ? random_.Below(4) : 0);
    uint64_t& next = next_[{source, ordinal}];
    uint64_t flushed = next > 5 ? next - random_.Below(5) : 0;
    next += random_.OneIn(15) ? 2 : 1;  // one is missing, for good or until it comes late
    uint64_t sequence = next;
    if (random_.OneIn(10)) sequence = next - std::min(next, random_.Below(12));
    if (random_.OneIn(50)) sequence = next + random_.Below(60);
    return {.source = kSources[source],
            .incarnation = MakeIncarnation(ordinal, 7),
            .sequence = Sequence(sequence),
            .flushed_through = Sequence(flushed)};
  }

  Random random_;
  std::vector<MovieId> movies_;
  int64_t offset_ = 0;
  uint64_t newest_[2] = {1, 1};
  std::map<std::pair<size_t, uint64_t>, uint64_t> next_;
};

// The same rules, written for reading: nothing is incremental but the log itself.
class PlainModel {
 public:
  Outcome Apply(const Drawn& drawn) {
    ++messages_;
    Outcome outcome = Judge(drawn);
    ++outcomes_[outcome];
    return outcome;
  }

  struct Movie {
    std::vector<Thousandths> values;
    LogOffset as_of;
  };
  struct Kept {
    std::set<uint64_t> sequences;
    uint64_t flushed_through = 0;
  };
  using Incarnations = std::map<uint64_t, Kept>;

  const std::map<uint64_t, Movie>& movies() const { return movies_; }
  const std::map<std::string, Incarnations>& sources() const { return sources_; }
  uint64_t count(Outcome outcome) { return outcomes_[outcome]; }

 private:
  Outcome Judge(const Drawn& drawn) {
    if (drawn.is_garbage) return Outcome::kDeadLetter;
    if (drawn.rating.stamp.has_value()) {
      std::optional<Outcome> outcome = JudgeStamp(*drawn.rating.stamp);
      if (outcome.has_value()) return *outcome;
    }
    const Rating& rating = drawn.rating;
    uint64_t id = rating.movie.value();
    bool is_in_order = drawn.message.key == std::to_string(id) &&
                       rules_.scale.Contains(rating.value) &&
                       ShardNumberOfKey(drawn.message.key, rules_.shards) == kShard;
    if (!is_in_order) return Outcome::kDeadLetter;
    if (rating.idempotency.has_value()) {
      std::optional<Outcome> outcome = JudgeRequest(*rating.idempotency);
      if (outcome.has_value()) return *outcome;
    }
    movies_[id].values.push_back(rating.value);
    movies_[id].as_of = drawn.message.offset;
    return Outcome::kCounted;
  }

  std::optional<Outcome> JudgeStamp(const Stamp& stamp) {
    Incarnations& incarnations = sources_[std::string(stamp.source)];
    uint64_t incarnation = stamp.incarnation.value(), sequence = stamp.sequence.value();
    Kept kept = incarnations.contains(incarnation) ? incarnations[incarnation] : Kept();
    uint64_t missing = 1;
    while (kept.sequences.contains(missing)) ++missing;
    if (sequence == 0 || sequence > missing + rules_.sequence_distance_max)
      return Outcome::kDeadLetter;
    if (!incarnations.contains(incarnation) &&
        incarnations.size() == rules_.incarnations_per_source_max) {
      if (incarnation < incarnations.begin()->first) return Outcome::kDeadLetter;
      incarnations.erase(incarnations.begin());
    }
    kept.flushed_through = std::max(kept.flushed_through, stamp.flushed_through.value());
    bool is_new = kept.sequences.insert(sequence).second;
    incarnations[incarnation] = kept;
    if (!is_new) return Outcome::kRepeat;
    return std::nullopt;
  }

  std::optional<Outcome> JudgeRequest(const Idempotency& idempotency) {
    bool is_repeat = false;
    for (auto seen = seen_.rbegin(); seen != seen_.rend(); ++seen) {
      if (messages_ - seen->first > rules_.idempotency_window_messages) break;
      if (seen->second.key != idempotency.key) continue;
      if (seen->second.body_digest != idempotency.body_digest) return Outcome::kDeadLetter;
      is_repeat |= seen->second.index == idempotency.index;
    }
    seen_.push_back({messages_, idempotency});
    if (is_repeat) return Outcome::kRepeat;
    return std::nullopt;
  }

  const Rules rules_ = SmallRules();
  uint64_t messages_ = 0;
  std::map<uint64_t, Movie> movies_;
  std::map<std::string, Incarnations> sources_;
  std::vector<std::pair<uint64_t, Idempotency>> seen_;
  std::map<Outcome, uint64_t> outcomes_;
};

void ExpectSameMovies(const ShardState& state, const PlainModel& model) {
  ASSERT_EQ(state.movies(), model.movies().size());
  std::vector<MeanRating> means = state.AllMeans();
  size_t i = 0;
  for (const auto& [id, movie] : model.movies()) {
    const MeanRating& mean = means[i++];
    Aggregate expected;
    for (Thousandths value : movie.values) expected.Add(value, state.rules().scale);
    EXPECT_EQ(mean.movie, MovieId(id));
    EXPECT_EQ(mean.aggregate, expected);
    EXPECT_EQ(mean.as_of, movie.as_of);
    EXPECT_EQ(mean.shard, kShard);
  }
}

void ExpectSameSources(const ShardState& state, const PlainModel& model) {
  uint64_t lost = 0;
  std::vector<ShardState::AcceptedEntry> all = state.AllAccepted();
  size_t i = 0;
  for (const auto& [source, incarnations] : model.sources()) {
    for (const auto& [incarnation, kept] : incarnations) {
      ASSERT_LT(i, all.size());
      const ShardState::AcceptedEntry& entry = all[i++];
      EXPECT_EQ(entry.source, source);
      EXPECT_EQ(entry.incarnation.value(), incarnation);
      EXPECT_EQ(entry.accepted.flushed_through.value(), kept.flushed_through);
      std::set<uint64_t> sequences;
      for (const Interval& interval : entry.accepted.sequences.intervals()) {
        for (uint64_t n = interval.first; n <= interval.last; ++n) sequences.insert(n);
      }
      EXPECT_EQ(sequences, kept.sequences);
      for (uint64_t n = 1; n <= kept.flushed_through; ++n) lost += !kept.sequences.contains(n);
    }
  }
  EXPECT_EQ(i, all.size());
  EXPECT_EQ(state.Lost(), lost);
}

TEST(ShardStateProperty, EveryOutcomeAndTheWholeStateAreThoseOfThePlainModel) {
  uint64_t seed = SeedOfRun();
  std::map<Outcome, uint64_t> total;
  for (int i = 0; i < kLogs; ++i) {
    SCOPED_TRACE(testing::Message() << "log " << i);
    ShardState state(SmallRules(), kShard);
    PlainModel model;
    for (const Drawn& drawn : LogWriter(seed + static_cast<uint64_t>(i)).Write(kMessages)) {
      Outcome outcome = state.Apply(drawn.message.Borrow());
      ASSERT_EQ(outcome, model.Apply(drawn))
          << "offset " << drawn.message.offset << ": " << state.reason();
      ++total[outcome];
    }
    ExpectSameMovies(state, model);
    ExpectSameSources(state, model);
    EXPECT_EQ(state.counters().counted, model.count(Outcome::kCounted));
    EXPECT_EQ(state.counters().repeats, model.count(Outcome::kRepeat));
    EXPECT_EQ(state.counters().dead_letters, model.count(Outcome::kDeadLetter));
    if (testing::Test::HasFailure()) return;
  }
  for (Outcome outcome : {Outcome::kCounted, Outcome::kRepeat, Outcome::kDeadLetter}) {
    EXPECT_GT(total[outcome],
              static_cast<uint64_t>(kLogs * kMessages / 50));  // the logs hold some of each
  }
}

// Reads a part of the log, at once or one by one.
void ApplyPart(std::span<const Drawn> part, bool at_once, ShardState* state) {
  std::vector<LogMessage> messages;
  for (const Drawn& drawn : part) messages.push_back(drawn.message.Borrow());
  if (at_once) {
    state->ApplyAll(messages, [](const LogMessage&, Outcome) {});
  } else {
    for (const LogMessage& message : messages) state->Apply(message);
  }
}

TEST(ShardStateProperty, AnySplitAndAnyRestartFromACheckpointGiveEqualBytes) {
  uint64_t seed = SeedOfRun();
  Random random(seed);
  for (int i = 0; i < kLogs; ++i) {
    std::vector<Drawn> log = LogWriter(seed + static_cast<uint64_t>(i)).Write(kMessages);
    ShardState whole(SmallRules(), kShard);
    ApplyPart(log, false, &whole);
    ShardState parts(SmallRules(), kShard);
    for (size_t begin = 0; begin < log.size();) {
      size_t size = std::min<size_t>(log.size() - begin, 1 + random.Below(60));
      ApplyPart(std::span(log).subspan(begin, size), random.OneIn(2), &parts);
      begin += size;
      if (random.OneIn(3)) {
        absl::StatusOr<ShardState> restored =
            ShardState::Decode(parts.Encode(), SmallRules(), kShard);
        ASSERT_TRUE(restored.ok()) << restored.status() << " log " << i;
        parts = *std::move(restored);
      }
      // What is known of means is no part of the state.
      if (random.OneIn(3)) parts.TakeDue(random.Below(5));
      if (random.OneIn(3)) parts.ObserveMean(MoviesOfShard(1, kShard, 3)[0], LogOffset(1));
    }
    ASSERT_EQ(parts.Encode(), whole.Encode()) << "log " << i;
  }
}

TEST(ShardStateProperty, AnyOrderAndAnyRepetitionOfTheSameRatingsGivesEqualAggregates) {
  Random random(SeedOfRun());
  Rules rules = OneShard();
  for (int round = 0; round < kLogs; ++round) {
    std::vector<Rating> ratings;
    for (uint64_t sequence = 1; sequence <= 200; ++sequence) {
      Rating rating =
          RatingOf(1 + random.Below(20), 500 * static_cast<int32_t>(1 + random.Below(10)));
      rating.stamp = StampOf(sequence);
      ratings.push_back(rating);
    }
    std::map<uint64_t, Aggregate> expected;
    for (const Rating& rating : ratings)
      expected[rating.movie.value()].Add(rating.value, rules.scale);
    for (int repeats = 0; repeats < 100; ++repeats) ratings.push_back(ratings[random.Below(200)]);
    for (size_t i = ratings.size(); i > 1; --i) std::swap(ratings[i - 1], ratings[random.Below(i)]);

    ShardState state(rules, 0);
    for (size_t i = 0; i < ratings.size(); ++i) {
      OwnedMessage message = MessageAt(static_cast<int64_t>(i), ratings[i]);
      state.Apply(message.Borrow());
    }
    ASSERT_EQ(state.movies(), expected.size());
    for (const MeanRating& mean : state.AllMeans())
      ASSERT_EQ(mean.aggregate, expected[mean.movie.value()]);
    ASSERT_EQ(state.counters().repeats, 100u);
    ASSERT_EQ(state.AllAccepted()[0].accepted.sequences.intervals().size(), 1u);
  }
}

}  // namespace
}  // namespace marquee::domain
