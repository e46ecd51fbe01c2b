#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>

#include "catalogue/sqlite/catalogue_model.h"
#include "catalogue/sqlite/entry_order.h"
#include "catalogue/sqlite/sqlite_catalogue.h"

namespace marquee::catalogue {
namespace {

using ::testing::ElementsAre;

constexpr SortBy kSorts[] = {SortBy::kBayesianMean, SortBy::kMean, SortBy::kCount,
                             SortBy::kTitle,        SortBy::kYear, SortBy::kId};

class SqliteListTest : public ::testing::Test {
 protected:
  SqliteListTest() {
    catalogue_ = *OpenSqliteCatalogue({.path = folder_.File("c.db")});
    writer_ = *catalogue_->OpenWriter();
    reader_ = *catalogue_->OpenReader();
  }
  std::vector<uint64_t> Ids(const ListQuery& query) {
    auto page = reader_->List(query);
    EXPECT_TRUE(page.ok()) << page.status();
    std::vector<uint64_t> ids;
    if (page.ok()) {
      for (const Entry& entry : page->entries) ids.push_back(entry.id.value());
    }
    return ids;
  }
  void Commit(const Changes& changes) { ASSERT_TRUE(writer_->Commit(changes).ok()); }

  TemporaryFolder folder_;
  std::unique_ptr<Catalogue> catalogue_;
  std::unique_ptr<Writer> writer_;
  std::unique_ptr<Reader> reader_;
};

TEST_F(SqliteListTest, SearchTakesBeginningsOfWordsInAnyCaseAndWithoutAccents) {
  Commit({.movies = {Titled(MakeMovie(1, "Le Fabuleux Destin d'Amélie Poulain")),
                     Titled(MakeMovie(2, "AMELIA")), Titled(MakeMovie(3, "Camelot")),
                     Titled(MakeMovie(4, "Схватка"))}});
  ListQuery query{.sort = SortBy::kId, .descending = false};
  query.text = "ameli";
  EXPECT_THAT(Ids(query), ElementsAre(2));
  query.text = "AMÉL";
  EXPECT_THAT(Ids(query), ElementsAre(2));
  query.text = "poulain DESTIN";
  EXPECT_THAT(Ids(query), ElementsAre(1));
  query.text = "damélie";
  EXPECT_THAT(Ids(query), ElementsAre(1));
  query.text = "схваТКА";
  EXPECT_THAT(Ids(query), ElementsAre(4));
  query.text = "elot";
  EXPECT_THAT(Ids(query), ElementsAre());
}

TEST_F(SqliteListTest, GenreIsExactInAnyCase) {
  Commit({.movies = {Titled(MakeMovie(1, "A", 1990, {"Film-Noir", "Drama"})),
                     Titled(MakeMovie(2, "B", 1991, {"Film"}))},
          .means = {MakeMean(3, 1, 1, 3000)}});
  ListQuery query{.sort = SortBy::kId, .descending = false};
  query.genre = "film-noir";
  EXPECT_THAT(Ids(query), ElementsAre(1));
  query.genre = "FILM";
  EXPECT_THAT(Ids(query), ElementsAre(2));
  query.genre = "noir";
  EXPECT_THAT(Ids(query), ElementsAre());
  query.genre = "";
  EXPECT_THAT(Ids(query), ElementsAre(1, 2, 3));
}

TEST_F(SqliteListTest, BayesianMeanPutsManyGoodRatingsBeforeOneOfFive) {
  Commit(
      {.means = {MakeMean(1, 1, 1, 5000), MakeMean(2, 2, 400, 4500), MakeMean(3, 3, 400, 2000)}});
  ListQuery query{.prior = {.number = 1, .mean = 3.3, .weight = 50}};
  EXPECT_THAT(Ids(query), ElementsAre(2, 1, 3));
  query.sort = SortBy::kMean;
  EXPECT_THAT(Ids(query), ElementsAre(1, 2, 3));
}

// What the list has to be, from all entries, by a sort that knows nothing of heaps and statements.
std::vector<uint64_t> Expected(const std::map<uint64_t, Entry>& entries, const ListQuery& query) {
  struct Row {
    bool none;
    double number;
    std::string text;
    uint64_t id;
  };
  std::vector<Row> rows;
  for (const auto& [id, entry] : entries) {
    const domain::Aggregate& aggregate = entry.aggregate;
    bool rated = aggregate.count > 0;
    if (query.rated_only && !rated) continue;
    Row row{.none = false, .number = 0, .text = {}, .id = id};
    auto sum = static_cast<double>(aggregate.sum_thousandths);
    auto count = static_cast<double>(aggregate.count);
    if (query.sort == SortBy::kMean) row.none = !rated, row.number = rated ? sum / 1000 / count : 0;
    if (query.sort == SortBy::kBayesianMean) {
      row.none = !rated;
      row.number = rated ? (sum / 1000 + query.prior.mean * query.prior.weight) /
                               (count + query.prior.weight)
                         : 0;
    }
    if (query.sort == SortBy::kCount) row.number = count;
    if (query.sort == SortBy::kYear) row.none = !entry.year, row.number = entry.year.value_or(0);
    if (query.sort == SortBy::kTitle) row.none = !entry.title, row.text = entry.title.value_or("");
    if (query.sort == SortBy::kId) row.number = static_cast<double>(id);
    rows.push_back(row);
  }
  std::stable_sort(rows.begin(), rows.end(), [&](const Row& a, const Row& b) {
    if (a.none != b.none) return b.none;
    if (a.none) return false;
    if (std::abs(a.number - b.number) > 1e-12)
      return query.descending ? a.number > b.number : a.number < b.number;
    return query.descending ? a.text > b.text : a.text < b.text;
  });
  std::vector<uint64_t> ids;
  ids.reserve(rows.size());
  for (const Row& row : rows) ids.push_back(row.id);
  return ids;
}

TEST_F(SqliteListTest, PagesOfEverySortHaveEveryEntryOnceInOrder) {
  uint64_t seed = Random::FromSystem().Next();
  std::cout << "seed " << seed << "\n";
  Random random(seed);
  for (int64_t step = 1; step <= 60; ++step) Commit(DrawChanges(random, step, 120));
  auto contents = ReadContents(*catalogue_);
  ASSERT_TRUE(contents.ok());
  ASSERT_GT(contents->entries.size(), 50u);
  for (SortBy sort : kSorts) {
    for (bool descending : {false, true}) {
      for (bool rated_only : {false, true}) {
        ListQuery query{.sort = sort,
                        .descending = descending,
                        .rated_only = rated_only,
                        .limit = 1 + random.Below(20),
                        .prior = {.number = 1, .mean = 3.141, .weight = 50}};
        std::vector<uint64_t> ids;
        while (true) {
          auto page = reader_->List(query);
          ASSERT_TRUE(page.ok()) << page.status();
          for (const Entry& entry : page->entries) {
            EXPECT_EQ(entry, contents->entries[entry.id.value()]);
            ids.push_back(entry.id.value());
          }
          if (!page->end) break;
          ASSERT_EQ(page->entries.size(), query.limit);
          query.after = page->end;
        }
        EXPECT_EQ(ids, Expected(contents->entries, query))
            << "sort " << static_cast<int>(sort) << " descending " << descending << " rated "
            << rated_only;
      }
    }
  }
}

TEST(EntryOrderTest, SortValuesComeBackExactly) {
  Random random(7);
  for (int i = 0; i < 1000; ++i) {
    double number =
        static_cast<double>(random.Next() >> 11) / static_cast<double>(1 + random.Below(1 << 20));
    SortKey key{.none = false, .number = number, .text = {}, .id = domain::MovieId(3)};
    auto back =
        DecodeSortValue({EncodeSortValue(key, SortBy::kMean), domain::MovieId(3)}, SortBy::kMean);
    ASSERT_TRUE(back.ok());
    EXPECT_EQ(back->number, number);
  }
  for (const char* bad : {"", "x", "=12", "=zzzzzzzzzzzzzzzz", "=7ff0000000000000", "--"}) {
    EXPECT_FALSE(DecodeSortValue({bad, domain::MovieId(1)}, SortBy::kMean).ok()) << bad;
  }
}

TEST_F(SqliteListTest, WrongQueriesAreRefused) {
  EXPECT_EQ(reader_->List({.limit = 0}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(reader_->List({.limit = kListLimitMax + 1}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(reader_->List({.text = "a b c d e f g h i j k l m n o p q"}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace marquee::catalogue
