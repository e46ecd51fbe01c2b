// Ratings and logs for the tests of domain/.
#ifndef MARQUEE_DOMAIN_TEST_RATINGS_H_
#define MARQUEE_DOMAIN_TEST_RATINGS_H_

#include <cstdlib>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "base/murmur2.h"
#include "base/random.h"
#include "domain/rating.h"
#include "domain/rules.h"
#include "domain/shard_state.h"

namespace marquee::domain {

// A message that owns its bytes.
struct OwnedMessage {
  LogOffset offset;
  std::string key;
  std::string value;

  LogMessage Borrow() const { return {.offset = offset, .key = key, .value = value}; }
};

inline constexpr char kSource[] = "movielens";
inline constexpr Incarnation kIncarnation{(uint64_t{1} << kIncarnationRandomBits) | 0x1234};

inline Stamp StampOf(uint64_t sequence, uint64_t flushed_through = 0) {
  return {.source = kSource,
          .incarnation = kIncarnation,
          .sequence = Sequence(sequence),
          .flushed_through = Sequence(flushed_through)};
}

inline Rating RatingOf(uint64_t movie, int32_t thousandths) {
  Rating rating;
  rating.user = UserId(7);
  rating.movie = MovieId(movie);
  rating.value = Thousandths(thousandths);
  rating.time_seconds = 1'000'000'000;
  return rating;
}

inline OwnedMessage MessageAt(int64_t offset, const Rating& rating) {
  OwnedMessage message{LogOffset(offset), MovieKey(rating.movie), ""};
  AppendRating(rating, &message.value);
  return message;
}

// Rules with one shard, to which every movie belongs.
inline Rules OneShard() {
  Rules rules;
  rules.shards = 1;
  return rules;
}

// The first `count` movies of the shard.
inline std::vector<MovieId> MoviesOfShard(size_t count, uint32_t shard, uint32_t shards) {
  std::vector<MovieId> movies;
  for (uint64_t id = 1; movies.size() < count; ++id) {
    if (ShardNumberOfKey(MovieKey(MovieId(id)), shards) == shard) movies.push_back(MovieId(id));
  }
  return movies;
}

// From MARQUEE_SEED, or new; printed.
inline uint64_t SeedOfRun() {
  const char* given = std::getenv("MARQUEE_SEED");
  uint64_t seed =
      given != nullptr ? std::strtoull(given, nullptr, 10) : Random::FromSystem().Next();
  std::cout << "MARQUEE_SEED=" << seed << "\n";
  return seed;
}

}  // namespace marquee::domain

#endif  // MARQUEE_DOMAIN_TEST_RATINGS_H_
