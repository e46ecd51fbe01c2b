// A movie as it goes through the topic `movies` (message marquee.v1.Movie), and what is published
// of its mean (marquee.v1.MeanRating), with the watermarks between.
#ifndef MARQUEE_DOMAIN_MOVIE_H_
#define MARQUEE_DOMAIN_MOVIE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "domain/aggregate.h"
#include "domain/ids.h"

namespace marquee::domain {

struct Movie {
  MovieId id;
  std::string title;        // UTF-8, without the year
  std::optional<int> year;  // 1800 .. 2200
  std::vector<std::string> genres;
  std::string source;
  friend bool operator==(const Movie&, const Movie&) = default;
};

std::string EncodeMovie(const Movie& movie);
absl::StatusOr<Movie> DecodeMovie(std::string_view bytes);

// A record of `mean-ratings` with a movie's key.
struct MeanRating {
  MovieId movie;
  Aggregate aggregate;
  uint32_t shard = 0;
  LogOffset as_of;  // offset in the shard of `ratings` of the last message that changed the movie
  friend bool operator==(const MeanRating&, const MeanRating&) = default;
};

std::string EncodeMean(const MeanRating& mean);
absl::StatusOr<MeanRating> DecodeMean(std::string_view bytes);

// A record of `mean-ratings` with the key "shard/N": the means of everything below
// `ratings_through` are complete before this record.
struct Watermark {
  uint32_t shard = 0;
  LogOffset ratings_through;     // every message below it is in the means
  std::string ratings_identity;  // of the topic `ratings`
  int64_t last_published_ms =
      0;  // when the last message below it was published, Unix time; 0 where there is none
  friend bool operator==(const Watermark&, const Watermark&) = default;
};

std::string EncodeWatermark(const Watermark& watermark);
absl::StatusOr<Watermark> DecodeWatermark(std::string_view bytes);
std::string WatermarkKey(uint32_t shard);  // "shard/7"
std::optional<uint32_t> ParseWatermarkKey(std::string_view key);

}  // namespace marquee::domain

#endif  // MARQUEE_DOMAIN_MOVIE_H_
