// What one rating costs in the domain: writing, reading, and reading with counting, over movies
// whose popularity is skewed as in MovieLens (Zipf), all in one shard.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/status.h"
#include "domain/rating.h"
#include "domain/shard_state.h"

namespace marquee::domain {
namespace {

constexpr size_t kRatings = 4'000'000;
constexpr size_t kBatch = 1000;
constexpr uint64_t kRatingsInFlushedPart = 2'000'000;

// Draws movie numbers 0 .. movies - 1 with probabilities 1 / (rank + 50), in no order of their ids.
class SkewedMovies {
 public:
  SkewedMovies(size_t movies, uint64_t seed) : random_(seed), ids_(movies), sums_(movies) {
    double sum = 0;
    for (size_t i = 0; i < movies; ++i) {
      sum += 1.0 / (static_cast<double>(i) + 50);
      sums_[i] = sum;
      ids_[i] = 1 + i * 3;
    }
    for (size_t i = movies; i > 1; --i) std::swap(ids_[i - 1], ids_[random_.Below(i)]);
  }

  MovieId Draw() {
    double at = sums_.back() * static_cast<double>(random_.Below(1 << 30)) / (1 << 30);
    auto rank = std::lower_bound(sums_.begin(), sums_.end(), at) - sums_.begin();
    return MovieId(ids_[static_cast<size_t>(rank)]);
  }

 private:
  Random random_;
  std::vector<uint64_t> ids_;
  std::vector<double> sums_;
};

// A log in memory: keys and values one after another, as in a pack.
class Log {
 public:
  explicit Log(size_t movies) {
    Random random(7);
    SkewedMovies skewed(movies, 11);
    ends_.reserve(2 * kRatings);
    for (size_t i = 0; i < kRatings; ++i) {
      Rating rating;
      rating.movie = skewed.Draw();
      rating.user = UserId(1 + i / 160);
      rating.value = Thousandths(static_cast<int32_t>(500 * (1 + random.Below(10))));
      rating.time_seconds = static_cast<int64_t>(1'000'000'000 + random.Below(500'000'000));
      rating.stamp = Stamp{.source = "movielens",
                           .incarnation = MakeIncarnation(1, 0x5a5a),
                           .sequence = Sequence(i + 1),
                           .flushed_through = Sequence(i / 10'000 * 10'000)};
      bytes_ += MovieKey(rating.movie);
      ends_.push_back(bytes_.size());
      AppendRating(rating, &bytes_);
      ends_.push_back(bytes_.size());
    }
  }

  size_t bytes() const { return bytes_.size(); }

  LogMessage At(size_t i) const {
    size_t begin = i == 0 ? 0 : ends_[2 * i - 1];
    std::string_view all = bytes_;
    return {.offset = LogOffset(static_cast<int64_t>(i)),
            .key = all.substr(begin, ends_[2 * i] - begin),
            .value = all.substr(ends_[2 * i], ends_[2 * i + 1] - ends_[2 * i])};
  }

 private:
  std::string bytes_;
  std::vector<size_t> ends_;
};

const Log& LogOf(size_t movies) {
  static std::map<size_t, Log*>* logs = new std::map<size_t, Log*>();
  Log*& log = (*logs)[movies];
  if (log == nullptr) log = new Log(movies);
  return *log;
}

void SetItems(benchmark::State& state) {
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kRatings));
}

void BM_Append(benchmark::State& state) {
  const Log& log = LogOf(20'000);
  std::vector<Rating> ratings(kRatings);
  for (size_t i = 0; i < kRatings; ++i)
    MARQUEE_CHECK(ParseRating(*log.At(i).value, &ratings[i]).ok());
  std::string out;
  for (auto _ : state) {
    for (const Rating& rating : ratings) {
      if (out.size() > 1 << 16) out.clear();
      AppendRating(rating, &out);
    }
    benchmark::DoNotOptimize(out.data());
  }
  SetItems(state);
}
BENCHMARK(BM_Append)->Unit(benchmark::kMillisecond);

void BM_Parse(benchmark::State& state) {
  const Log& log = LogOf(static_cast<size_t>(state.range(0)));
  for (auto _ : state) {
    for (size_t i = 0; i < kRatings; ++i) {
      Rating rating;
      MARQUEE_CHECK(ParseRating(*log.At(i).value, &rating).ok());
      benchmark::DoNotOptimize(rating);
    }
  }
  SetItems(state);
  state.counters["bytes_per_rating"] = static_cast<double>(log.bytes()) / kRatings;
}
BENCHMARK(BM_Parse)->Arg(20'000)->Unit(benchmark::kMillisecond);

// With the means taken as in a backfill: everything that is due, every half second or so.
template <bool kAtOnce>
void BM_ParseAndApply(benchmark::State& state) {
  const Log& log = LogOf(static_cast<size_t>(state.range(0)));
  Rules rules;
  rules.shards = 1;
  for (auto _ : state) {
    ShardState shard(rules, 0);
    size_t means = 0;
    std::vector<LogMessage> batch;
    for (size_t i = 0; i < kRatings; ++i) {
      if constexpr (kAtOnce) {
        batch.push_back(log.At(i));
        if (batch.size() == kBatch) {
          shard.ApplyAll(batch, [](const LogMessage&, Outcome) { MARQUEE_CHECK(false); });
          batch.clear();
        }
      } else {
        MARQUEE_CHECK(shard.Apply(log.At(i)) == Outcome::kCounted);
      }
      if ((i + 1) % kRatingsInFlushedPart == 0) {
        means += shard.TakeDue(shard.due()).size();
        shard.MeansFlushed(LogOffset(static_cast<int64_t>(means)));
      }
    }
    state.counters["means"] = static_cast<double>(means);
    state.counters["memory_bytes"] = static_cast<double>(shard.MemoryBytes());
  }
  SetItems(state);
}
BENCHMARK(BM_ParseAndApply<false>)->Arg(20'000)->Arg(87'585)->Unit(benchmark::kMillisecond);
BENCHMARK(BM_ParseAndApply<true>)
    ->Arg(1'000)
    ->Arg(20'000)
    ->Arg(87'585)
    ->Unit(benchmark::kMillisecond);

void BM_EncodeDecode(benchmark::State& state) {
  const Log& log = LogOf(static_cast<size_t>(state.range(0)));
  Rules rules;
  rules.shards = 1;
  ShardState shard(rules, 0);
  for (size_t i = 0; i < kRatings; ++i) shard.Apply(log.At(i));
  for (auto _ : state) {
    std::string bytes = shard.Encode();
    MARQUEE_CHECK(ShardState::Decode(bytes, rules, 0).ok());
    state.counters["bytes"] = static_cast<double>(bytes.size());
  }
  state.counters["movies"] = static_cast<double>(shard.movies());
}
BENCHMARK(BM_EncodeDecode)->Arg(87'585)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace marquee::domain

BENCHMARK_MAIN();
