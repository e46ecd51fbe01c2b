#include "domain/movie.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "marquee/v1/movie.pb.h"

namespace marquee::domain {
namespace {

using ::testing::HasSubstr;

MeanRating MeanOf3Ratings() {
  MeanRating mean;
  mean.movie = MovieId(318);
  mean.aggregate.count = 3;
  mean.aggregate.sum_thousandths = 11'000;
  mean.aggregate.histogram[4] = 1;
  mean.aggregate.histogram[7] = 1;
  mean.aggregate.histogram[8] = 1;
  mean.shard = 4;
  mean.as_of = LogOffset(77);
  return mean;
}

TEST(Movie, IsReadAsItWasWritten) {
  Movie movie{.id = MovieId(1),
              .title = "Amélie",
              .year = 2001,
              .genres = {"Comedy", "Romance"},
              .source = "ml"};
  EXPECT_EQ(DecodeMovie(EncodeMovie(movie)).value(), movie);
  Movie bare{
      .id = MovieId(INT64_MAX), .title = "", .year = std::nullopt, .genres = {}, .source = ""};
  EXPECT_EQ(DecodeMovie(EncodeMovie(bare)).value(), bare);
}

TEST(Movie, WrongIdOrYearIsRefused) {
  Movie movie{.id = MovieId(0), .title = "t", .year = std::nullopt, .genres = {}, .source = ""};
  EXPECT_THAT(std::string(DecodeMovie(EncodeMovie(movie)).status().message()),
              HasSubstr("movie id is 0"));
  movie.id = MovieId(5);
  movie.year = 1799;
  EXPECT_THAT(std::string(DecodeMovie(EncodeMovie(movie)).status().message()),
              HasSubstr("year of movie 5 is 1799"));
  EXPECT_FALSE(DecodeMovie("\xff").ok());
}

TEST(MeanRating, IsReadAsItWasWritten) {
  EXPECT_EQ(DecodeMean(EncodeMean(MeanOf3Ratings())).value(), MeanOf3Ratings());
  MeanRating without_histogram = MeanOf3Ratings();
  without_histogram.aggregate.histogram = {};
  EXPECT_EQ(DecodeMean(EncodeMean(without_histogram)).value(), without_histogram);
}

TEST(MeanRating, MeanForPeopleIsRounded) {
  v1::MeanRating message;
  ASSERT_TRUE(message.ParseFromString(EncodeMean(MeanOf3Ratings())));
  EXPECT_EQ(message.mean_micros(), 3'666'667);
}

TEST(MeanRating, AggregateThatDisagreesWithItselfIsRefused) {
  MeanRating mean = MeanOf3Ratings();
  mean.aggregate.histogram[0] = 1;
  EXPECT_THAT(std::string(DecodeMean(EncodeMean(mean)).status().message()),
              HasSubstr("sums to 4; expected its count 3"));
  v1::MeanRating message;
  message.set_movie_id(1);
  EXPECT_FALSE(DecodeMean(message.SerializeAsString()).ok());  // no count
  message.set_count(1);
  message.add_histogram(1);
  EXPECT_FALSE(DecodeMean(message.SerializeAsString()).ok());  // one bin
}

TEST(Watermark, IsReadAsItWasWritten) {
  Watermark watermark{.shard = 7,
                      .ratings_through = LogOffset(99),
                      .ratings_identity = "id",
                      .last_published_ms = 5};
  EXPECT_EQ(DecodeWatermark(EncodeWatermark(watermark)).value(), watermark);
  EXPECT_FALSE(DecodeWatermark("").ok());
}

TEST(Watermark, KeyNamesTheShard) {
  EXPECT_EQ(WatermarkKey(7), "shard/7");
  EXPECT_EQ(ParseWatermarkKey("shard/7"), 7u);
  EXPECT_EQ(ParseWatermarkKey("shard/0"), 0u);
  for (const char* key :
       {"7", "shard/", "shard/07", "shard/-1", "shard/7x", "shard/4294967296", "Shard/7"}) {
    EXPECT_EQ(ParseWatermarkKey(key), std::nullopt) << key;
  }
}

}  // namespace
}  // namespace marquee::domain
