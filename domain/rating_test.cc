#include "domain/rating.h"

#include "domain/test_ratings.h"
#include "domain/utf8.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace marquee::domain {
namespace {

using ::testing::HasSubstr;

std::string Encode(const Rating& rating) {
  std::string bytes;
  AppendRating(rating, &bytes);
  return bytes;
}

Rating FullRating() {
  Rating rating = RatingOf(318, 4500);
  rating.stamp = StampOf(42, 40);
  rating.idempotency = Idempotency{.key = "a-key", .index = 3, .body_digest = 0x1122334455667788};
  return rating;
}

std::string ErrorOf(const Rating& rating) {
  Rating parsed;
  std::string bytes = Encode(rating);
  absl::Status status = ParseRating(bytes, &parsed);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  return std::string(status.message());
}

TEST(Rating, IsReadAsItWasWritten) {
  for (const Rating& rating : {FullRating(), RatingOf(1, 500), RatingOf(1, -5)}) {
    std::string bytes = Encode(rating);
    Rating parsed;
    ASSERT_TRUE(ParseRating(bytes, &parsed).ok());
    EXPECT_EQ(parsed, rating);
  }
}

TEST(Rating, IsAppended) {
  std::string bytes = "before";
  AppendRating(RatingOf(1, 500), &bytes);
  EXPECT_EQ(bytes, "before" + Encode(RatingOf(1, 500)));
}

TEST(Rating, LongestFieldsFit) {
  std::string source(kSourceNameBytesMax, 's');
  std::string key(kIdempotencyKeyBytesMax, 'k');
  Rating rating;
  rating.user = UserId(INT64_MAX);
  rating.movie = MovieId(INT64_MAX);
  rating.value = Thousandths(INT32_MIN);
  rating.time_seconds = INT64_MIN;
  rating.stamp = Stamp{.source = source,
                       .incarnation = Incarnation(UINT64_MAX),
                       .sequence = Sequence(UINT64_MAX),
                       .flushed_through = Sequence(UINT64_MAX)};
  rating.idempotency = Idempotency{.key = key, .index = UINT32_MAX, .body_digest = UINT64_MAX};
  std::string bytes = Encode(rating);
  Rating parsed;
  ASSERT_TRUE(ParseRating(bytes, &parsed).ok());
  EXPECT_EQ(parsed, rating);
}

TEST(Rating, EveryTruncationIsRefusedOrIsAnotherRating) {
  Rating rating = FullRating();
  std::string bytes = Encode(rating);
  for (size_t size = 0; size < bytes.size(); ++size) {
    std::string cut = bytes.substr(0, size);  // its end is the end of an allocation
    Rating parsed;
    EXPECT_FALSE(ParseRating(cut, &parsed).ok() && parsed == rating) << size;
  }
}

TEST(Rating, MissingMovieIsRefused) {
  EXPECT_THAT(ErrorOf(RatingOf(0, 500)), HasSubstr("movie id is missing"));
}

TEST(Rating, IdsBeyond63BitsAreRefused) {
  EXPECT_THAT(ErrorOf(RatingOf(uint64_t{1} << 63, 500)),
              HasSubstr("movie id is 9223372036854775808"));
  Rating rating = RatingOf(1, 500);
  rating.user = UserId(uint64_t{1} << 63);
  EXPECT_THAT(ErrorOf(rating), HasSubstr("user id is"));
}

TEST(Rating, StampWithoutIncarnationOrWithAWrongSourceIsRefused) {
  Rating rating = FullRating();
  rating.stamp->incarnation = Incarnation(0);
  EXPECT_THAT(ErrorOf(rating), HasSubstr("no incarnation"));
  rating = FullRating();
  rating.stamp->source = "movie lens";
  EXPECT_THAT(ErrorOf(rating), HasSubstr("name of the source holds byte 32"));
}

TEST(Rating, IdempotencyKeyIsVisibleAscii) {
  Rating rating = FullRating();
  rating.idempotency->key = "a key";
  EXPECT_THAT(ErrorOf(rating), HasSubstr("not visible ASCII"));
}

TEST(MovieKey, IsTheCanonicalDecimalId) {
  EXPECT_EQ(MovieKey(MovieId(318)), "318");
  EXPECT_EQ(ParseMovieKey("318"), MovieId(318));
  EXPECT_EQ(ParseMovieKey("9223372036854775807"), MovieId(INT64_MAX));
  for (const char* wrong :
       {"", "0", "01", "+1", "-1", " 1", "1 ", "1a", "9223372036854775808", "9999999999999999999",
        "10000000000000000000", "99999999999999999999"}) {
    EXPECT_EQ(ParseMovieKey(wrong), std::nullopt) << wrong;
  }
}

TEST(MovieKey, FormatsIntoABufferOf20Bytes) {
  char buffer[20];
  EXPECT_EQ(FormatMovieKey(MovieId(INT64_MAX), buffer), "9223372036854775807");
  EXPECT_EQ(FormatMovieKey(MovieId(7), buffer), "7");
}

TEST(SourceName, HoldsLettersDigitsAndFewOthers) {
  EXPECT_TRUE(ValidateSourceName("ml-32m_v1.0").ok());
  EXPECT_TRUE(ValidateSourceName(std::string(64, 'x')).ok());
  for (const std::string& wrong : {std::string(), std::string(65, 'x'), std::string("a/b"),
                                   std::string("a\0b", 3), std::string("ä")}) {
    EXPECT_EQ(ValidateSourceName(wrong).code(), absl::StatusCode::kInvalidArgument) << wrong;
  }
}

TEST(Utf8, IllFormedBytesAreFoundAndReplaced) {
  for (const char* valid : {"", "Amélie", "\xf0\x9f\x8e\xac", "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(IsValidUtf8(valid)) << valid;
    EXPECT_EQ(ToValidUtf8(valid), valid);
  }
  // A lone continuation, overlong forms, a surrogate, beyond U+10FFFF, cut off.
  for (const char* wrong : {"\x80", "\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xed\xa0\x80",
                            "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xe2\x82", "\xff"}) {
    EXPECT_FALSE(IsValidUtf8(wrong));
    EXPECT_TRUE(IsValidUtf8(ToValidUtf8(wrong)));
  }
  EXPECT_EQ(ToValidUtf8("a\xff"
                        "b"),
            "a\xef\xbf\xbd"
            "b");
}

}  // namespace
}  // namespace marquee::domain
