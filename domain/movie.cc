#include "domain/movie.h"

#include <algorithm>
#include <charconv>

#include "base/status.h"
#include "domain/mean_wire.h"
#include "domain/message.h"
#include "domain/text.h"
#include "marquee/v1/movie.pb.h"

namespace marquee::domain {
namespace {

constexpr int kYearMin = 1800;
constexpr int kYearMax = 2200;
constexpr std::string_view kWatermarkPrefix = "shard/";

absl::Status CheckMovieId(uint64_t id) {
  if (id >= 1 && id <= kMovieIdMax) return absl::OkStatus();
  return absl::InvalidArgumentError(
      Concat("the movie id is ", id, "; expected 1 to ", kMovieIdMax));
}

// Rounded half up. REQUIRES: count > 0.
int64_t MeanMicros(const Aggregate& aggregate) {
  auto micros = static_cast<__int128>(aggregate.sum_thousandths) * 1000;
  auto count = static_cast<__int128>(aggregate.count);
  return static_cast<int64_t>((2 * micros + count) / (2 * count));
}

// The fields of a mean in any form that protobuf allows.
absl::Status ReadAnyMean(std::string_view bytes, MeanRating* mean) {
  v1::MeanRating message;
  MARQUEE_RETURN_IF_ERROR(ReadMessageFrom(bytes, &message));
  mean->movie = MovieId(message.movie_id());
  mean->aggregate.count = message.count();
  mean->aggregate.sum_thousandths = message.sum_thousandths();
  mean->aggregate.histogram.fill(0);
  mean->shard = message.shard();
  mean->as_of = LogOffset(message.as_of());
  if (message.histogram().empty()) return absl::OkStatus();
  if (message.histogram_size() != kHistogramBinsMax) {
    return absl::InvalidArgumentError(Concat("the histogram of movie ", message.movie_id(), " has ",
                                             message.histogram_size(), " bins; expected ",
                                             kHistogramBinsMax, " or none"));
  }
  std::copy(message.histogram().begin(), message.histogram().end(),
            mean->aggregate.histogram.begin());
  return absl::OkStatus();
}

absl::Status CheckMean(const MeanRating& mean) {
  const Aggregate& aggregate = mean.aggregate;
  MARQUEE_RETURN_IF_ERROR(CheckMovieId(mean.movie.value()));
  if (aggregate.count == 0 || mean.as_of.value() < 0) {
    return absl::InvalidArgumentError(
        Concat("the mean of movie ", mean.movie.value(), " has count ", aggregate.count,
               " and as_of ", mean.as_of.value(), "; expected a count and an offset"));
  }
  uint64_t total = 0, any = 0;
  for (uint64_t bin : aggregate.histogram) {
    total += bin;
    any |= bin;
  }
  if (any == 0 || total == aggregate.count) return absl::OkStatus();
  return absl::InvalidArgumentError(Concat("the histogram of movie ", mean.movie.value(),
                                           " sums to ", total, "; expected its count ",
                                           aggregate.count));
}

}  // namespace

std::string EncodeMovie(const Movie& movie) {
  v1::Movie message;
  message.set_id(movie.id.value());
  message.set_title(movie.title);
  if (movie.year.has_value()) message.set_year(*movie.year);
  for (const std::string& genre : movie.genres) message.add_genres(genre);
  message.set_source(movie.source);
  return message.SerializeAsString();
}

absl::StatusOr<Movie> DecodeMovie(std::string_view bytes) {
  v1::Movie message;
  MARQUEE_RETURN_IF_ERROR(ReadMessageFrom(bytes, &message));
  MARQUEE_RETURN_IF_ERROR(CheckMovieId(message.id()));
  Movie movie;
  movie.id = MovieId(message.id());
  movie.title = std::move(*message.mutable_title());
  if (message.has_year()) {
    if (message.year() < kYearMin || message.year() > kYearMax) {
      return absl::InvalidArgumentError(Concat("the year of movie ", message.id(), " is ",
                                               message.year(), "; expected ", kYearMin, " to ",
                                               kYearMax));
    }
    movie.year = message.year();
  }
  movie.genres.assign(message.genres().begin(), message.genres().end());
  movie.source = std::move(*message.mutable_source());
  return movie;
}

std::string EncodeMean(const MeanRating& mean) {
  MARQUEE_CHECK(mean.aggregate.count > 0 && mean.as_of.value() >= 0);
  char buffer[kMeanBytesMax];
  char* end = WriteMean(mean, MeanMicros(mean.aggregate), buffer);
  return std::string(buffer, static_cast<size_t>(end - buffer));
}

absl::StatusOr<MeanRating> DecodeMean(std::string_view bytes) {
  MeanRating mean;
  if (!ReadUsualMean(bytes, &mean)) MARQUEE_RETURN_IF_ERROR(ReadAnyMean(bytes, &mean));
  MARQUEE_RETURN_IF_ERROR(CheckMean(mean));
  return mean;
}

std::string EncodeWatermark(const Watermark& watermark) {
  v1::Watermark message;
  message.set_shard(watermark.shard);
  message.set_ratings_through(watermark.ratings_through.value());
  message.set_ratings_identity(watermark.ratings_identity);
  message.set_last_published_ms(watermark.last_published_ms);
  return message.SerializeAsString();
}

absl::StatusOr<Watermark> DecodeWatermark(std::string_view bytes) {
  v1::Watermark message;
  MARQUEE_RETURN_IF_ERROR(ReadMessageFrom(bytes, &message));
  if (message.ratings_identity().empty() || message.ratings_through() < 0) {
    return absl::InvalidArgumentError(Concat("a watermark of shard ", message.shard(),
                                             " through offset ", message.ratings_through(),
                                             " of topic identity \"", message.ratings_identity(),
                                             "\"; expected an offset and an identity"));
  }
  Watermark watermark;
  watermark.shard = message.shard();
  watermark.ratings_through = LogOffset(message.ratings_through());
  watermark.ratings_identity = std::move(*message.mutable_ratings_identity());
  watermark.last_published_ms = message.last_published_ms();
  return watermark;
}

std::string WatermarkKey(uint32_t shard) { return Concat(kWatermarkPrefix, shard); }

std::optional<uint32_t> ParseWatermarkKey(std::string_view key) {
  if (!key.starts_with(kWatermarkPrefix)) return std::nullopt;
  key.remove_prefix(kWatermarkPrefix.size());
  uint32_t shard = 0;
  auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), shard);
  if (error != std::errc() || end != key.data() + key.size()) return std::nullopt;
  if (key.size() > 1 && key[0] == '0') return std::nullopt;
  return shard;
}

}  // namespace marquee::domain
