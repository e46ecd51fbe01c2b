#include "http/routes.h"

#include <gtest/gtest.h>

namespace marquee::http {
namespace {

TEST(RoutesTest, TargetsAreTakenApart) {
  Target movie = ParseTarget("/api/v1/movies/318?wait-for=x");
  EXPECT_EQ(movie.route, Route::kMovie);
  EXPECT_EQ(movie.id, "318");
  EXPECT_EQ(movie.query, "wait-for=x");
  EXPECT_EQ(ParseTarget("http://host:80/api/v1/top?limit=1").route, Route::kTop);
  EXPECT_EQ(ParseTarget("/livez").route, Route::kLivez);
  for (const char* unknown :
       {"", "*", "host:80", "http://host", "/", "//livez", "/livez/", "/LIVEZ", "/api/v1/movies/",
        "/api/v1/movies/1/", "/api/v1/movies/{id}/x"}) {
    EXPECT_EQ(ParseTarget(unknown).route, Route::kUnknown) << unknown;
  }
}

TEST(RoutesTest, ParametersAreDecoded) {
  auto parameters = QueryParameters::Parse("a=1&b=x+y%20%c3%A9&&c", {"a", "b", "c"});
  ASSERT_TRUE(parameters.ok()) << parameters.status();
  EXPECT_EQ(parameters->Find("a"), "1");
  EXPECT_EQ(parameters->Find("b"), "x y é");
  EXPECT_EQ(parameters->Find("c"), "");
  EXPECT_EQ(parameters->Find("d"), std::nullopt);
  for (const char* bad :
       {"x=1", "a=%", "a=%4", "a=%4g", "a=%ff", "a=%0a", "a=%00", "a=1&a=1", "=1"}) {
    EXPECT_FALSE(QueryParameters::Parse(bad, {"a"}).ok()) << bad;
  }
}

TEST(RoutesTest, DecimalsArePlain) {
  EXPECT_EQ(ParseDecimal("0"), 0u);
  EXPECT_EQ(ParseDecimal("9223372036854775807"), ~uint64_t{0} >> 1);
  for (const char* bad :
       {"", "-1", "+1", "01", "1.0", " 1", "1 ", "9223372036854775808", "99999999999999999999"}) {
    EXPECT_EQ(ParseDecimal(bad), std::nullopt) << bad;
  }
}

}  // namespace
}  // namespace marquee::http
