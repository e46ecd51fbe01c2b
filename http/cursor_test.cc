#include "http/cursor.h"

#include <gtest/gtest.h>

#include <iostream>

#include "base/random.h"

namespace marquee::http {
namespace {

catalogue::ListQuery Query() {
  catalogue::ListQuery query;
  query.text = "heat";
  query.genre = "Crime";
  query.prior = {.number = 17, .mean = 3.5015569, .weight = 50};
  return query;
}

TEST(CursorTest, ComesBackExactlyWithItsPrior) {
  catalogue::ListQuery::After end{.sort_value = std::string("=\0\xff x", 5),
                                  .id = domain::MovieId(~uint64_t{0} >> 1)};
  std::string cursor = EncodeCursor(Query(), end);
  EXPECT_EQ(
      cursor.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
      std::string::npos);
  catalogue::ListQuery query = Query();
  query.prior = {.number = 99, .mean = 1, .weight = 50};
  query.limit = 3;  // may change from page to page
  ASSERT_TRUE(ApplyCursor(cursor, &query).ok());
  EXPECT_EQ(query.after->sort_value, end.sort_value);
  EXPECT_EQ(query.after->id, end.id);
  EXPECT_EQ(query.prior.number, 17u);
  EXPECT_EQ(query.prior.mean, 3.5015569);
}

TEST(CursorTest, OfAnotherQueryIsRefused) {
  std::string cursor = EncodeCursor(Query(), {.sort_value = "=", .id = domain::MovieId(1)});
  auto refused = [&](auto change) {
    catalogue::ListQuery query = Query();
    change(query);
    return ApplyCursor(cursor, &query).code() == absl::StatusCode::kFailedPrecondition &&
           !query.after;
  };
  EXPECT_TRUE(refused([](auto& query) { query.text = "heats"; }));
  EXPECT_TRUE(refused([](auto& query) { query.genre = "Drama"; }));
  EXPECT_TRUE(refused([](auto& query) { query.sort = catalogue::SortBy::kId; }));
  EXPECT_TRUE(refused([](auto& query) { query.descending = false; }));
  EXPECT_TRUE(refused([](auto& query) { query.rated_only = true; }));
  EXPECT_TRUE(refused([](auto& query) { query.prior.weight = 10; }));
  EXPECT_FALSE(refused([](auto&) {}));
}

TEST(CursorTest, ChangedTextsAreRefused) {
  std::string cursor =
      EncodeCursor(Query(), {.sort_value = "=400c000000000000", .id = domain::MovieId(1)});
  uint64_t seed = Random::FromSystem().Next();
  std::cout << "seed " << seed << "\n";
  Random random(seed);
  for (int i = 0; i < 2000; ++i) {
    std::string bad = cursor;
    size_t at = random.Below(bad.size());
    if (random.OneIn(3)) {
      bad.resize(at);
    } else {
      char c = static_cast<char>(random.Below(256));
      if (bad[at] == c) continue;
      bad[at] = c;
    }
    catalogue::ListQuery query = Query();
    EXPECT_EQ(ApplyCursor(bad, &query).code(), absl::StatusCode::kInvalidArgument) << bad;
  }
}

}  // namespace
}  // namespace marquee::http
