#include "catalogue/sqlite/sqlite_catalogue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <iostream>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/sqlite/database.h"
#include "base/sqlite/fault_vfs.h"
#include "catalogue/sqlite/catalogue_model.h"

namespace marquee::catalogue {
namespace {

using ::testing::HasSubstr;

class SqliteCatalogueTest : public ::testing::Test {
 protected:
  std::unique_ptr<Catalogue> Open() {
    auto catalogue = OpenSqliteCatalogue({.path = path_});
    EXPECT_TRUE(catalogue.ok()) << catalogue.status();
    return *std::move(catalogue);
  }
  std::unique_ptr<Writer> OpenWriter(Catalogue& catalogue) {
    auto writer = catalogue.OpenWriter();
    EXPECT_TRUE(writer.ok()) << writer.status();
    return *std::move(writer);
  }
  std::optional<Entry> Get(Catalogue& catalogue, uint64_t id) {
    auto reader = catalogue.OpenReader();
    EXPECT_TRUE(reader.ok()) << reader.status();
    auto entry = (*reader)->Get(domain::MovieId(id));
    EXPECT_TRUE(entry.ok()) << entry.status();
    return *entry;
  }

  TemporaryFolder folder_;
  std::string path_ = folder_.File("catalogue.db");
};

TEST_F(SqliteCatalogueTest, MovieAndMeanJoinInAnyOrderOfArrival) {
  auto catalogue = Open();
  auto writer = OpenWriter(*catalogue);
  ASSERT_TRUE(writer->Commit({.movies = {Titled(MakeMovie(1, "Heat", 1995, {"Crime"}))}}).ok());
  ASSERT_TRUE(writer->Commit({.means = {MakeMean(1, 5, 2, 4000), MakeMean(2, 6, 1, 3500)}}).ok());
  ASSERT_TRUE(writer->Commit({.movies = {Titled(MakeMovie(2, "Up"))}}).ok());

  std::optional<Entry> heat = Get(*catalogue, 1);
  ASSERT_TRUE(heat.has_value());
  EXPECT_EQ(heat->title, "Heat");
  EXPECT_EQ(heat->year, 1995);
  EXPECT_EQ(heat->genres, std::vector<std::string>{"Crime"});
  EXPECT_EQ(heat->aggregate, MakeMean(1, 5, 2, 4000).aggregate);
  EXPECT_EQ(heat->as_of, 5);
  EXPECT_EQ(Get(*catalogue, 2)->title, "Up");
  EXPECT_EQ(Get(*catalogue, 3), std::nullopt);
}

TEST_F(SqliteCatalogueTest, MeanIsTakenOnlyWhereItsAsOfIsHigher) {
  auto catalogue = Open();
  auto writer = OpenWriter(*catalogue);
  ASSERT_TRUE(writer->Commit({.means = {MakeMean(1, 5, 2, 4000), MakeMean(1, 3, 9, 1000)}}).ok());
  ASSERT_TRUE(writer->Commit({.means = {MakeMean(1, 5, 7, 5000)}}).ok());
  EXPECT_EQ(Get(*catalogue, 1)->aggregate.count, 2u);
  ASSERT_TRUE(writer->Commit({.means = {MakeMean(1, 6, 3, 4000)}}).ok());
  EXPECT_EQ(Get(*catalogue, 1)->aggregate.count, 3u);
}

TEST_F(SqliteCatalogueTest, DeletedMovieVanishesUnlessItHasRatings) {
  auto catalogue = Open();
  auto writer = OpenWriter(*catalogue);
  ASSERT_TRUE(writer
                  ->Commit({.movies = {Titled(MakeMovie(1, "A")), Titled(MakeMovie(2, "B"))},
                            .means = {MakeMean(2, 5, 1, 3000)}})
                  .ok());
  ASSERT_TRUE(writer
                  ->Commit({.movies = {{domain::MovieId(1), std::nullopt},
                                       {domain::MovieId(2), std::nullopt}}})
                  .ok());
  EXPECT_EQ(Get(*catalogue, 1), std::nullopt);
  ASSERT_TRUE(Get(*catalogue, 2).has_value());
  EXPECT_EQ(Get(*catalogue, 2)->title, std::nullopt);
  auto contents = ReadContents(*catalogue);
  ASSERT_TRUE(contents.ok()) << contents.status();
  EXPECT_EQ(contents->entries.size(), 1u);
}

TEST_F(SqliteCatalogueTest, EqualsPlainMapsAfterAnyChangesAndReopenings) {
  uint64_t seed = Random::FromSystem().Next();
  std::cout << "seed " << seed << "\n";
  Random random(seed);
  CatalogueModel model;
  auto catalogue = Open();
  auto writer = OpenWriter(*catalogue);
  uint64_t commits = 0;
  for (int64_t step = 1; step <= 300; ++step) {
    Changes changes = DrawChanges(random, step, 60);
    model.Apply(changes);
    ASSERT_TRUE(writer->Commit(changes).ok());
    EXPECT_EQ(writer->CommitNumber(), ++commits);
    if (random.OneIn(10)) {
      auto contents = ReadContents(*catalogue);
      ASSERT_TRUE(contents.ok()) << contents.status();
      ASSERT_EQ(*contents, model.contents()) << "step " << step;
    }
    if (random.OneIn(50)) {
      writer.reset();
      catalogue = Open();
      writer = OpenWriter(*catalogue);
      EXPECT_EQ(*writer->Watermarks(), model.contents().watermarks);
      EXPECT_EQ(*writer->Positions(), model.contents().positions);
    }
  }
}

TEST_F(SqliteCatalogueTest, ReaderSeesEachCommitWhole) {
  auto catalogue = Open();
  auto writer = OpenWriter(*catalogue);
  auto reader = *catalogue->OpenReader();
  EXPECT_EQ(*reader->CommitNumber(), 0u);
  ASSERT_TRUE(
      writer
          ->Commit({.means = {MakeMean(1, 1, 1, 3000)}, .positions = {{"mean-ratings", "t", 0, 2}}})
          .ok());
  EXPECT_EQ(*reader->CommitNumber(), 1u);
  EXPECT_EQ(reader->SeenCommitNumber(), 1u);
  EXPECT_EQ((*reader->Positions())[0].next, 2);
  EXPECT_EQ(reader->ReadTotals()->ratings, 1u);
}

TEST_F(SqliteCatalogueTest, SecondWriterIsRefusedAndToldWhoHasIt) {
  auto catalogue = Open();
  auto writer = OpenWriter(*catalogue);
  auto second = Open()->OpenWriter();
  EXPECT_EQ(second.status().code(), absl::StatusCode::kAborted);
  EXPECT_THAT(std::string(second.status().message()),
              HasSubstr(absl::StrCat("process ", ::getpid())));
  writer.reset();
  EXPECT_TRUE(catalogue->OpenWriter().ok());
}

TEST_F(SqliteCatalogueTest, KilledWriterLeavesNoLockBehind) {
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  pid_t child = ::fork();
  if (child == 0) {
    auto catalogue = OpenSqliteCatalogue({.path = path_});
    auto writer = (*catalogue)->OpenWriter();
    bool committed = writer.ok() && (*writer)->Commit({.means = {MakeMean(7, 1, 1, 3000)}}).ok();
    (void)!::write(ready[1], committed ? "y" : "n", 1);
    ::pause();
  }
  char answer = 0;
  ASSERT_EQ(::read(ready[0], &answer, 1), 1);
  EXPECT_EQ(answer, 'y');
  auto catalogue = Open();
  EXPECT_EQ(catalogue->OpenWriter().status().code(), absl::StatusCode::kAborted);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_TRUE(catalogue->OpenWriter().ok());
  EXPECT_EQ(Get(*catalogue, 7)->aggregate.count, 1u);
}

// As when a sink, an API and an audit are started together.
TEST_F(SqliteCatalogueTest, WhoOpensItWhileAnotherMakesItFindsNoneOrAll) {
  for (int round = 0; round < 30; ++round) {
    std::string path = folder_.File(absl::StrCat("catalogue-", round, ".db"));
    constexpr int kThreads = 4;
    std::vector<std::thread> threads;
    threads.reserve(kThreads);
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, create = i % 2 == 0] {
        SystemClock clock;
        absl::Duration until = clock.Uptime() + absl::Seconds(30);
        absl::Status status;
        do {
          status = OpenSqliteCatalogue({.path = path, .create = create}).status();
        } while (!create && absl::IsNotFound(status) && clock.Uptime() < until);
        EXPECT_TRUE(status.ok()) << status;
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
}

TEST_F(SqliteCatalogueTest, AnEmptyFileIsNoCatalogueYet) {
  std::ofstream(path_).flush();
  absl::Status status = OpenSqliteCatalogue({.path = path_, .create = false}).status();
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("no catalogue here"));
  Open();
}

TEST_F(SqliteCatalogueTest, DatabaseOfSomethingElseIsRefused) {
  {
    auto database = *sqlite::Database::Open(path_, {});
    ASSERT_TRUE(database.Execute("CREATE TABLE bookmarks(url)").ok());
  }
  auto catalogue = OpenSqliteCatalogue({.path = path_});
  EXPECT_EQ(catalogue.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(catalogue.status().message()), HasSubstr("something else"));
  EXPECT_EQ(std::string(catalogue.status().message()).find('\n'), std::string::npos);
}

TEST_F(SqliteCatalogueTest, OtherSchemaVersionIsRefused) {
  Open();
  {
    auto database = *sqlite::Database::Open(path_, {});
    ASSERT_TRUE(database.Execute("PRAGMA user_version=99").ok());
  }
  auto catalogue = OpenSqliteCatalogue({.path = path_});
  EXPECT_EQ(catalogue.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(catalogue.status().message()), HasSubstr("schema version 99"));
}

TEST_F(SqliteCatalogueTest, FileThatIsNoDatabaseIsRefused) {
  std::ofstream(path_) << std::string(8000, 'x');
  EXPECT_EQ(OpenSqliteCatalogue({.path = path_}).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(SqliteCatalogueTest, MissingFileIsNotMadeWhereThatWasNotAskedFor) {
  EXPECT_EQ(OpenSqliteCatalogue({.path = path_, .create = false}).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(SqliteCatalogueTest, RowThatWasChangedBehindItsBackIsNeitherServedNorCounted) {
  for (const char* change :
       {"UPDATE means SET sum_thousandths = sum_thousandths + 1",
        "UPDATE means SET as_of = as_of + 1", "UPDATE means SET histogram = x'01'",
        "UPDATE movies SET title = 'Heta'"}) {
    path_ += "x";
    auto catalogue = Open();
    auto writer = OpenWriter(*catalogue);
    ASSERT_TRUE(
        writer
            ->Commit({.movies = {Titled(MakeMovie(1, "Heat"))}, .means = {MakeMean(1, 1, 2, 3000)}})
            .ok());
    auto reader = *catalogue->OpenReader();
    ASSERT_TRUE(reader->Get(domain::MovieId(1)).ok());
    {
      auto database = *sqlite::Database::Open(path_, {});
      ASSERT_TRUE(database.Execute(change).ok());
    }
    EXPECT_EQ(reader->Get(domain::MovieId(1)).status().code(), absl::StatusCode::kDataLoss)
        << change;
    EXPECT_EQ(reader->List({}).status().code(), absl::StatusCode::kDataLoss) << change;
    EXPECT_EQ(OpenSqliteCatalogue({.path = path_}).status().code(), absl::StatusCode::kDataLoss)
        << change;
    absl::Status commit = writer->Commit(
        {.movies = {Titled(MakeMovie(1, "Ran"))}, .means = {MakeMean(1, 5, 3, 3000)}});
    EXPECT_EQ(commit.code(), absl::StatusCode::kDataLoss) << change;
  }
}

TEST_F(SqliteCatalogueTest, CommitIsOneSync) {
  sqlite::FaultVfs vfs("catalogue-syncs");
  auto catalogue = *OpenSqliteCatalogue(
      {.path = "/d/c.db", .vfs = vfs.name(), .lock_path = folder_.File("lock")});
  auto writer = OpenWriter(*catalogue);
  // The first commit after opening begins the log anew, which is a sync of its own.
  ASSERT_TRUE(writer->Commit({.means = {MakeMean(1, 1, 1, 3000)}}).ok());
  for (int64_t i = 2; i < 50; ++i) {
    uint64_t before = vfs.syncs();
    ASSERT_TRUE(writer
                    ->Commit({.means = {MakeMean(1, i, 1, 3000)},
                              .positions = {{"mean-ratings", "t", 0, i}}})
                    .ok());
    ASSERT_EQ(vfs.syncs() - before, 1u);
  }
}

TEST_F(SqliteCatalogueTest, LogIsMovedIntoTheFileNowAndThen) {
  auto catalogue =
      *OpenSqliteCatalogue({.path = path_, .page_bytes = 4096, .log_bytes_max = 409'600});
  auto writer = OpenWriter(*catalogue);
  for (int64_t i = 1; i < 1000; ++i) {
    ASSERT_TRUE(writer->Commit({.means = {MakeMean(static_cast<uint64_t>(i), i, 1, 3000)}}).ok());
  }
  EXPECT_LT(std::filesystem::file_size(path_ + "-wal"), 120u * 4200);
}

}  // namespace
}  // namespace marquee::catalogue
