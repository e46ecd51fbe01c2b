#include "sources/generator.h"

#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/digest.h"
#include "gtest/gtest.h"
#include "sources/draws.h"
#include "sources/movie_file.h"
#include "sources/rating_file.h"
#include "sources/testing/temporary_folder.h"

namespace marquee::sources {
namespace {

TEST(Draws, AreWithinTheirBoundAndReachAllOfIt) {
  Draws draws(1);
  std::vector<int> seen(7);
  for (int i = 0; i < 1000; ++i) ++seen.at(draws.Below(7));
  for (int count : seen) EXPECT_GT(count, 90);
  EXPECT_EQ(draws.Below(1), 0u);
}

TEST(WeightedDraw, DrawsInProportionToTheWeights) {
  Draws draws(1);
  std::vector<uint64_t> weights = {5, 0, 1, 14, 80};
  WeightedDraw weighted(weights);
  std::vector<int> seen(weights.size());
  for (int i = 0; i < 100'000; ++i) ++seen.at(weighted.Draw(draws));
  for (size_t i = 0; i < weights.size(); ++i)
    EXPECT_NEAR(seen[i], static_cast<double>(weights[i]) * 1000, 600) << i;
  EXPECT_EQ(seen[1], 0);
  EXPECT_EQ(WeightedDraw({3}).Draw(draws), 0u);
}

class GeneratorTest : public ::testing::Test {
 protected:
  void Generate(const GeneratorOptions& options) {
    absl::Status status = GenerateMovieLens(options, folder_.path(), nullptr);
    ASSERT_TRUE(status.ok()) << status;
  }
  std::string TextOf(const std::string& name) {
    std::ifstream file(folder_.At(name), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  RowBatch Rows() {
    RowBatch rows;
    auto file = RatingFile::Open(folder_.At("ratings.csv"), {});
    EXPECT_TRUE(file.ok()) << file.status();
    EXPECT_TRUE((*file)->Read(UINT64_MAX, SIZE_MAX, &rows).ok());
    EXPECT_TRUE(rows.rejected.empty());
    return rows;
  }
  MovieRows Movies() {
    auto movies = ReadMovieFile(folder_.At("movies.csv"));
    EXPECT_TRUE(movies.ok()) << movies.status();
    EXPECT_TRUE(movies->rejected.empty());
    return *std::move(movies);
  }

  testing::TemporaryFolder folder_;
};

// The digests change with the generator: then the data sets that people keep are others than those
// of the same seed.
TEST_F(GeneratorTest, TheSameSeedGivesTheSameBytesOnEveryMachine) {
  Generate({.seed = 7, .ratings = 5000, .movies = 300});
  EXPECT_EQ(DigestOf(TextOf("ratings.csv")).ToHex(), "7ba7b92cc90f6251ac38b7e58d77f156");
  EXPECT_EQ(DigestOf(TextOf("movies.csv")).ToHex(), "d7cfcaba5ff7d07d288f2f7429b438ac");
  std::string first = TextOf("ratings.csv");
  Generate({.seed = 8, .ratings = 5000, .movies = 300});
  EXPECT_NE(TextOf("ratings.csv"), first);
}

TEST_F(GeneratorTest, EveryRowIsReadAndIsOfAMovieThatIsThereOnceForEachUser) {
  Generate({.seed = 1, .ratings = 50'000, .movies = 2'000});
  RowBatch rows = Rows();
  EXPECT_EQ(rows.ratings.size(), 50'000u);
  std::set<uint64_t> known;
  for (const domain::Movie& movie : Movies().movies) known.insert(movie.id.value());
  EXPECT_EQ(known.size(), 2'000u);
  auto place = [](const RatingRow& row) { return std::pair(row.user, row.movie); };
  for (size_t i = 0; i < rows.ratings.size(); ++i) {
    ASSERT_TRUE(known.contains(rows.ratings[i].movie.value()));
    if (i == 0) continue;
    ASSERT_LT(place(rows.ratings[i - 1]), place(rows.ratings[i]))
        << "ordered by user and movie, row " << i;
  }
}

TEST_F(GeneratorTest, ValuesPopularityUsersAndTimesAreDistributedAsInTheRealSets) {
  Generate({.seed = 1, .ratings = 400'000, .movies = 10'000});
  std::map<int, int> values;
  std::map<uint64_t, int> movies, users;
  double sum = 0;
  for (const RatingRow& row : Rows().ratings) {
    ++values[row.value.value()];
    ++movies[row.movie.value()];
    ++users[row.user.value()];
    sum += row.value.value();
    ASSERT_GE(row.time_seconds, 820'454'400);    // 1996
    ASSERT_LT(row.time_seconds, 1'704'067'200);  // 2024
  }
  EXPECT_NEAR(sum / 1000 / 400'000, 3.5, 0.1);
  EXPECT_EQ(values.size(), 10u);
  for (const auto& [value, count] : values) EXPECT_LE(count, values[4000]) << value;
  EXPECT_GT(values[3000], values[3500]);
  EXPECT_GT(values[5000], values[4500]);
  std::vector<int> counts;
  counts.reserve(movies.size());
  for (const auto& [movie, count] : movies) counts.push_back(count);
  std::sort(counts.begin(), counts.end());
  EXPECT_NEAR(counts.back(), 400'000 * 0.0035,
              400);                          // the best known movie has a third of a percent
  EXPECT_LT(counts[counts.size() / 2], 20);  // half of the movies have a handful; the average is 40
  EXPECT_EQ(counts.front(), 1);
  users.erase(std::prev(users.end()));  // the last one has what is left
  int most = 0, fewest = INT32_MAX;
  for (const auto& [user, count] : users) {
    most = std::max(most, count);
    fewest = std::min(fewest, count);
  }
  EXPECT_GE(fewest, 20);
  EXPECT_LT(fewest, 25);
  EXPECT_GT(most, 1000);
  EXPECT_NEAR(400'000.0 / static_cast<double>(users.size()), 140, 40);
}

TEST_F(GeneratorTest, MoviesHaveTheOdditiesOfTheRealSets) {
  Generate({.seed = 1, .ratings = 100, .movies = 20'000});
  std::string text = TextOf("movies.csv");
  MovieRows rows = Movies();
  ASSERT_EQ(rows.movies.size(), 20'000u);
  EXPECT_NEAR(static_cast<double>(rows.movies.back().id.value()), 40'000, 2'000);
  auto count = [&](auto predicate) {
    return std::count_if(rows.movies.begin(), rows.movies.end(), predicate);
  };
  auto holds = [&](std::string_view what) {
    return count(
        [what](const domain::Movie& m) { return m.title.find(what) != std::string::npos; });
  };
  for (const char* what : {",", "\"", "&", "&amp;", "<", ">", "é", "七"})
    EXPECT_GT(holds(what), 0) << what;
  EXPECT_GT(count([](const domain::Movie& m) { return !m.year; }), 0);
  EXPECT_GT(count([](const domain::Movie& m) { return m.title.starts_with('+'); }), 0);
  EXPECT_GT(count([](const domain::Movie& m) { return m.genres.empty(); }), 0);
  EXPECT_NE(text.find(",\"\"\"Great "), std::string::npos);
  EXPECT_NE(text.find(") ,"), std::string::npos);     // a trailing space
  EXPECT_NE(text.find("\u2013"), std::string::npos);  // two years
}

TEST_F(GeneratorTest, SmallSetsAreMadeToo) {
  for (auto [ratings, movies] :
       {std::pair(0, 1), std::pair(1, 1), std::pair(30, 1), std::pair(500, 3)}) {
    Generate({.seed = 1,
              .ratings = static_cast<uint64_t>(ratings),
              .movies = static_cast<uint64_t>(movies)});
    EXPECT_EQ(Rows().ratings.size(), static_cast<size_t>(ratings));
    EXPECT_EQ(Movies().movies.size(), static_cast<size_t>(movies));
  }
}

TEST_F(GeneratorTest, ProgressGrowsAndEndsWithinTheRatings) {
  uint64_t last = 0;
  ASSERT_TRUE(GenerateMovieLens({.seed = 1, .ratings = 1'000'000, .movies = 1'000}, folder_.path(),
                                [&](uint64_t written) {
                                  EXPECT_GT(written, last);
                                  last = written;
                                })
                  .ok());
  EXPECT_GT(last, 500'000u);
  EXPECT_LE(last, 1'000'000u);
}

TEST_F(GeneratorTest, WhatIsOutOfRangeOrCannotBeWrittenIsRefusedAndLeavesNothing) {
  EXPECT_TRUE(absl::IsInvalidArgument(GenerateMovieLens({.movies = 0}, folder_.path(), nullptr)));
  EXPECT_TRUE(
      absl::IsInvalidArgument(GenerateMovieLens({.ratings = UINT64_MAX}, folder_.path(), nullptr)));
  folder_.Write("file", "");
  EXPECT_TRUE(absl::IsInvalidArgument(
      GenerateMovieLens({.ratings = 1, .movies = 1}, folder_.At("file"), nullptr)));
}

// The limit on a file's size stands for a full disk.
TEST_F(GeneratorTest, AFullDiskIsSaidAndLeavesNoFileThatIsNotWhole) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  auto ignored = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 100'000;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  absl::Status status =
      GenerateMovieLens({.seed = 1, .ratings = 50'000, .movies = 100}, folder_.path(), nullptr);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, ignored);
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_TRUE(std::filesystem::exists(folder_.At("movies.csv")));
  EXPECT_FALSE(std::filesystem::exists(folder_.At("ratings.csv")));
  EXPECT_FALSE(std::filesystem::exists(folder_.At("ratings.csv.part")));
}

}  // namespace
}  // namespace marquee::sources
