// Movies that do not exist, with the oddities of those in the MovieLens sets. Private to the
// generator.
#ifndef MARQUEE_SOURCES_MADE_MOVIES_H_
#define MARQUEE_SOURCES_MADE_MOVIES_H_

#include <array>
#include <cstdint>
#include <string>

#include "sources/draws.h"

namespace marquee::sources {

struct MadeMovie {
  uint64_t id = 0;
  uint32_t quality = 0;  // 0 bad .. 4 good
};

// The movie that follows `last_id`, and its line in movies.csv, appended to `out`.
MadeMovie AppendMovie(uint64_t last_id, Draws& draws, std::string* out);

// A value that somebody gives to a movie of that quality, in half stars, 1 to 10.
uint32_t DrawHalfStars(uint32_t quality, Draws& draws);

}  // namespace marquee::sources

#endif  // MARQUEE_SOURCES_MADE_MOVIES_H_
