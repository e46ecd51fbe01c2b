#include "http/ratings_body.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace marquee::http {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kNow = 1'700'000'000;

std::variant<PostedRatings, Problem> Parse(const std::string& body,
                                           const domain::Scale& scale = {}) {
  return ParseRatingsBody(body, scale, 5, kNow);
}
PostedRatings Good(const std::string& body) {
  auto parsed = Parse(body);
  auto* posted = std::get_if<PostedRatings>(&parsed);
  EXPECT_NE(posted, nullptr) << body << ": "
                             << (posted ? "" : ProblemJson(std::get<Problem>(parsed)));
  return posted ? *posted : PostedRatings();
}
Problem Bad(const std::string& body) {
  auto parsed = Parse(body);
  auto* problem = std::get_if<Problem>(&parsed);
  EXPECT_NE(problem, nullptr) << body;
  return problem ? *problem : Problem();
}
std::string One(const std::string& rating) {
  return absl::StrCat(R"({"user_id":1,"movie_id":2,"rating":)", rating, "}");
}

TEST(RatingsBodyTest, TakesOneManyOrAWrappedArray) {
  EXPECT_EQ(Good(One("4")).ratings.size(), 1u);
  EXPECT_EQ(Good(absl::StrCat("[", One("4"), ",", One("3.5"), "]")).ratings.size(), 2u);
  PostedRatings posted =
      Good(absl::StrCat(" {\"ratings\" : [", One("4"), " , ", One("3.5"), "]}\n"));
  ASSERT_EQ(posted.ratings.size(), 2u);
  EXPECT_EQ(posted.ratings[1].value.value(), 3500);
  EXPECT_EQ(posted.ratings[1].time_seconds, kNow);
  EXPECT_EQ(Good(R"({"timestamp":5,"rating":0.5,"movie_id":9223372036854775807,"user_id":0})")
                .ratings[0]
                .time_seconds,
            5);
}

TEST(RatingsBodyTest, DigestIsOfWhatWasSaidNotOfHow) {
  uint64_t digest = Good(One("4")).body_digest;
  EXPECT_EQ(Good(absl::StrCat("{\"ratings\":[", One("4.000"), "]}")).body_digest, digest);
  EXPECT_EQ(ParseRatingsBody(One("4"), {}, 5, kNow + 9).index(), 0u);
  EXPECT_EQ(std::get<0>(ParseRatingsBody(One("40e-1"), {}, 5, kNow + 9)).body_digest, digest);
  EXPECT_NE(Good(One("4.5")).body_digest, digest);
  EXPECT_NE(Good(absl::StrCat("[", One("4"), ",", One("4"), "]")).body_digest, digest);
  EXPECT_NE(Good(absl::StrCat(R"({"user_id":1,"movie_id":2,"rating":4,"timestamp":)", kNow, "}"))
                .body_digest,
            digest);
}

TEST(RatingsBodyTest, NumbersAreReadAsDecimals) {
  auto value = [](const char* text) {
    auto parsed = ThousandthsOfJsonNumber(text);
    return parsed.ok() ? parsed->value() : -999;
  };
  EXPECT_EQ(value("4.5"), 4500);
  EXPECT_EQ(value("4"), 4000);
  EXPECT_EQ(value("4.500000000000000000000000000"), 4500);
  EXPECT_EQ(value("45e-1"), 4500);
  EXPECT_EQ(value("0.0045E3"), 4500);
  EXPECT_EQ(value("0.45e+1"), 4500);
  EXPECT_EQ(value("0.001"), 1);
  EXPECT_EQ(value("0"), 0);
  EXPECT_EQ(value("-0.0"), 0);
  EXPECT_EQ(value("0e99999999999999999999"), 0);
  EXPECT_EQ(value("-4.5"), -4500);
  EXPECT_EQ(value("999999"), 999999000);
  EXPECT_EQ(value("4.5000001"), -999);
  EXPECT_EQ(value("4.4999999999999999999999"), -999) << "not the double next to it";
  EXPECT_EQ(value("0.0001"), -999);
  EXPECT_EQ(value("1e300"), -999);
  EXPECT_EQ(value("1e-300"), -999);
  EXPECT_EQ(value("1000000"), -999);
}

TEST(RatingsBodyTest, EachWrongRatingIsNamedByItsIndex) {
  Problem problem = Bad(absl::StrCat("[", One("4"), ",", One("5.7"), ",3,", One("\"4\""), ",{}]"));
  EXPECT_EQ(problem.status, 400);
  ASSERT_EQ(problem.errors.size(), 4u);
  EXPECT_EQ(problem.errors[0].first, 1u);
  EXPECT_THAT(problem.errors[0].second, HasSubstr("5.7"));
  EXPECT_EQ(problem.errors[1].first, 2u);
  EXPECT_THAT(problem.errors[2].second, HasSubstr("a string"));
  EXPECT_THAT(problem.errors[3].second, HasSubstr("user_id is missing"));
  EXPECT_THAT(problem.detail, HasSubstr("4 ratings"));
}

TEST(RatingsBodyTest, WrongFieldsAreRefused) {
  for (const char* bad : {
           R"({"user_id":1,"movie_id":2})",
           R"({"user_id":-1,"movie_id":2,"rating":4})",
           R"({"user_id":1,"movie_id":0,"rating":4})",
           R"({"user_id":1.0,"movie_id":2,"rating":4})",
           R"({"user_id":1,"movie_id":9223372036854775808,"rating":4})",
           R"({"user_id":1,"movie_id":99999999999999999999999999,"rating":4})",
           R"({"user_id":1,"movie_id":2,"rating":0})",
           R"({"user_id":1,"movie_id":2,"rating":-1})",
           R"({"user_id":1,"movie_id":2,"rating":4.25})",
           R"({"user_id":1,"movie_id":2,"rating":null})",
           R"({"user_id":1,"movie_id":2,"rating":[4]})",
           R"({"user_id":1,"movie_id":2,"rating":{"value":4}})",
           R"({"user_id":1,"movie_id":2,"rating":4,"rating":5})",
           R"({"user_id":1,"movie_id":2,"rating":4,"timestamp":-1})",
           R"({"user_id":1,"movie_id":2,"rating":4,"timestamp":253402300800})",
           R"({"user_id":1,"movie_id":2,"rating":4,"stars":4})",
           R"({"user_id":1,"movie_id":2,"rating":4,"ratings":[]})",
           R"({"user_id":true,"movie_id":2,"rating":4})",
           R"([[{"user_id":1,"movie_id":2,"rating":4}]])",
       }) {
    EXPECT_EQ(Bad(bad).status, 400) << bad;
  }
}

TEST(RatingsBodyTest, WrongBodiesAreRefused) {
  for (const char* bad : {"",
                          " ",
                          "{",
                          "[",
                          "4",
                          "\"x\"",
                          "null",
                          "[]",
                          "{}",
                          "{\"ratings\":[]}",
                          "{\"ratings\":4}",
                          "{\"ratings\":{}}",
                          "{\"ratings\":[],\"x\":1}",
                          "[1e999]",
                          "[01]",
                          "[NaN]",
                          "// x\n[]",
                          "\xef\xbb\xbf[]",
                          "[\"\xff\"]",
                          "[,]"}) {
    EXPECT_EQ(Bad(bad).status, 400) << bad;
  }
  EXPECT_EQ(Bad(One("4") + " x").status, 400);
  EXPECT_EQ(Bad(One("4") + One("4")).status, 400);
  EXPECT_EQ(Bad(std::string(100'000, '[')).status, 400);
}

TEST(RatingsBodyTest, MoreThanTheLimitAreTooMany) {
  std::string five = One("4");
  for (int i = 1; i < 5; ++i) five += "," + One("4");
  EXPECT_EQ(Good("[" + five + "]").ratings.size(), 5u);
  EXPECT_EQ(Bad("[" + five + "," + One("4") + "]").status, 413);
}

TEST(RatingsBodyTest, ErrorsListedAreBounded) {
  std::string many = "[1";
  for (int i = 0; i < 99; ++i) many += ",1";
  auto parsed = ParseRatingsBody(many + "]", {}, 1000, kNow);
  EXPECT_EQ(std::get<Problem>(parsed).errors.size(), kBodyErrorsMax);
  EXPECT_THAT(std::get<Problem>(parsed).detail, HasSubstr("100 ratings"));
}

}  // namespace
}  // namespace marquee::http
