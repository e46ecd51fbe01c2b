#include "sources/generator.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include "base/status.h"
#include "sources/draws.h"
#include "sources/made_movies.h"
#include "sources/output_file.h"

namespace marquee::sources {
namespace {

constexpr uint64_t kRatingsMax = 1'000'000'000;
constexpr uint64_t kMoviesMax = 10'000'000;
constexpr uint64_t kProgressEveryRatings = 1 << 18;

// A user has 20 ratings or up to 256 times as many, half as many users each time it doubles: about
// 150 on average, as in the real sets.
constexpr uint64_t kRatingsPerUserMin = 20;
constexpr int kUserDoublingsMax = 7;

// The chance of the movie of rank r is proportional to 1 / (r + kFlatRanks) and falls faster beyond
// about kTailRanks (or an eighth of all): the real sets' best known movie has 0.3 % of all ratings,
// and half of the movies have a handful.
constexpr uint64_t kFlatRanks = 20;
constexpr uint64_t kTailRanks = 6000;

// Sessions of up to three hours, from 1996-01-09 to 2023-10-12; about one for every hundred
// ratings.
constexpr uint64_t kFirstSecond = 821'145'600;
constexpr uint64_t kLastSecond = 1'697'068'800;
constexpr uint64_t kSessionSeconds = 3 * 3600;
constexpr uint64_t kRatingsPerSession = 100;

std::vector<uint64_t> WeightsByRank(uint64_t ranks) {
  const uint64_t tail = std::max(kTailRanks, ranks / 8);
  std::vector<uint64_t> weights(ranks);
  for (uint64_t r = 0; r < ranks; ++r) {
    unsigned __int128 head = (uint64_t{1} << 44) / (r + kFlatRanks);
    weights[r] = static_cast<uint64_t>(head * tail * tail / (tail * tail + r * r));
  }
  return weights;
}

class RatingsWriter {
 public:
  RatingsWriter(const std::vector<MadeMovie>& movies, Draws& draws)
      : movies_(movies),
        draws_(draws),
        ranks_(WeightsByRank(movies.size())),
        by_rank_(movies.size()),
        rated_by_(movies.size()) {
    // Well-known movies lie anywhere among the ids.
    std::iota(by_rank_.begin(), by_rank_.end(), 0);
    for (size_t i = by_rank_.size(); i > 1; --i)
      std::swap(by_rank_[i - 1], by_rank_[draws_.Below(i)]);
  }

  absl::Status Write(uint64_t ratings, OutputFile& output,
                     const std::function<void(uint64_t)>& progress) {
    uint64_t written = 0, told = 0;
    for (uint32_t user = 1; written < ratings; ++user) {
      DrawMovies(user, ratings - written);
      DrawSessions();
      AppendRows(user, &output.text());
      written += chosen_.size();
      MARQUEE_RETURN_IF_ERROR(output.WriteIfLarge());
      if (written - told < kProgressEveryRatings) continue;
      told = written;
      if (progress) progress(written);
    }
    return absl::OkStatus();
  }

 private:
  // The movies that the user rates, each once, by id.
  void DrawMovies(uint32_t user, uint64_t at_most) {
    uint64_t base = kRatingsPerUserMin;
    for (int i = 0; i < kUserDoublingsMax && draws_.OneIn(2); ++i) base *= 2;
    uint64_t some = std::max<uint64_t>(1, movies_.size() / 3);
    uint64_t count = std::min({base + draws_.Below(base), at_most, some});
    chosen_.clear();
    while (chosen_.size() < count) {
      uint32_t movie = by_rank_[ranks_.Draw(draws_)];
      if (std::exchange(rated_by_[movie], user) != user) chosen_.push_back(movie);
    }
    std::sort(chosen_.begin(), chosen_.end());
  }

  void DrawSessions() {
    sessions_.resize(1 + chosen_.size() / kRatingsPerSession);
    for (uint64_t& begin : sessions_) {
      begin = kFirstSecond + draws_.Below(kLastSecond - kSessionSeconds - kFirstSecond);
    }
  }

  void AppendRows(uint32_t user, std::string* out) {
    constexpr size_t kRowBytesRoom = 64;
    char user_cell[16];
    const size_t user_bytes =
        static_cast<size_t>(std::to_chars(user_cell, std::end(user_cell), user).ptr - user_cell);
    const size_t before = out->size();
    out->resize(before + chosen_.size() * kRowBytesRoom);
    char* at = out->data() + before;
    char* end = out->data() + out->size();
    for (uint32_t movie : chosen_) {
      at = std::copy_n(user_cell, user_bytes, at);
      *at++ = ',';
      at = std::to_chars(at, end, movies_[movie].id).ptr;
      uint32_t half_stars = DrawHalfStars(movies_[movie].quality, draws_);
      *at++ = ',';
      *at++ = static_cast<char>('0' + half_stars / 2);
      *at++ = '.';
      *at++ = half_stars % 2 == 0 ? '0' : '5';
      *at++ = ',';
      uint64_t time = sessions_[draws_.Below(sessions_.size())] + draws_.Below(kSessionSeconds);
      at = std::to_chars(at, end, time).ptr;
      *at++ = '\n';
    }
    out->resize(static_cast<size_t>(at - out->data()));
  }

  const std::vector<MadeMovie>& movies_;
  Draws& draws_;
  WeightedDraw ranks_;
  std::vector<uint32_t> by_rank_;
  std::vector<uint32_t> rated_by_;  // the last user who rated each movie
  std::vector<uint32_t> chosen_;
  std::vector<uint64_t> sessions_;
};

absl::StatusOr<std::vector<MadeMovie>> WriteMovies(uint64_t count, Draws& draws,
                                                   const std::string& path) {
  MARQUEE_ASSIGN_OR_RETURN(std::unique_ptr<OutputFile> output, OutputFile::Open(path));
  output->text() = "movieId,title,genres\n";
  std::vector<MadeMovie> movies;
  movies.reserve(count);
  uint64_t last_id = 0;
  while (movies.size() < count) {
    movies.push_back(AppendMovie(last_id, draws, &output->text()));
    last_id = movies.back().id;
    MARQUEE_RETURN_IF_ERROR(output->WriteIfLarge());
  }
  MARQUEE_RETURN_IF_ERROR(output->Finish());
  return movies;
}

}  // namespace

absl::Status GenerateMovieLens(const GeneratorOptions& options, const std::string& folder,
                               const std::function<void(uint64_t)>& progress) {
  if (options.ratings > kRatingsMax || options.movies < 1 || options.movies > kMoviesMax) {
    return absl::InvalidArgumentError(
        fmt::format("expected 0 to {} ratings of 1 to {} movies, found {} ratings of {} movies",
                    kRatingsMax, kMoviesMax, options.ratings, options.movies));
  }
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) {
    return absl::InvalidArgumentError(
        fmt::format("{}: cannot be made: {}; choose another folder", folder, error.message()));
  }
  Draws draws(options.seed);
  const std::filesystem::path path(folder);
  MARQUEE_ASSIGN_OR_RETURN(std::vector<MadeMovie> movies,
                           WriteMovies(options.movies, draws, path / "movies.csv"));
  MARQUEE_ASSIGN_OR_RETURN(std::unique_ptr<OutputFile> output,
                           OutputFile::Open(path / "ratings.csv"));
  output->text() = "userId,movieId,rating,timestamp\n";
  MARQUEE_RETURN_IF_ERROR(RatingsWriter(movies, draws).Write(options.ratings, *output, progress));
  return output->Finish();
}

}  // namespace marquee::sources
