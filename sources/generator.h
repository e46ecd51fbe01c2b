// Makes a data set like MovieLens from a seed: the same options give the same bytes on every
// machine. Movies' popularity, users' numbers of ratings, and values are distributed as in the real
// sets; ratings come ordered by user, as there.
#ifndef MARQUEE_SOURCES_GENERATOR_H_
#define MARQUEE_SOURCES_GENERATOR_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"

namespace marquee::sources {

struct GeneratorOptions {
  uint64_t seed = 1;
  uint64_t ratings = 1'000'000;
  uint64_t movies = 20'000;
};

// Writes ratings.csv and movies.csv into `folder` (made where it is missing), each under a
// temporary name first, so that a file that is there is whole. `progress` is told the ratings
// written so far, now and then. kResourceExhausted: disk full; kInvalidArgument: an option out of
// range.
absl::Status GenerateMovieLens(const GeneratorOptions& options, const std::string& folder,
                               const std::function<void(uint64_t)>& progress);

}  // namespace marquee::sources

#endif  // MARQUEE_SOURCES_GENERATOR_H_
