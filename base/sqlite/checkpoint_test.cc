#include "base/sqlite/checkpoint.h"

#include <gtest/gtest.h>

#include <functional>

#include "absl/strings/str_cat.h"
#include "base/sqlite/fault_vfs.h"
#include "base/status.h"

namespace marquee::sqlite {
namespace {

constexpr int kRows = 20;

absl::StatusOr<Database> OpenAt(const FaultVfs& vfs) {
  OpenOptions options;
  options.vfs = vfs.name();
  MARQUEE_ASSIGN_OR_RETURN(Database database, Database::Open("/d/x.db", options));
  MARQUEE_RETURN_IF_ERROR(database.Execute(
      "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0; "
      "CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, v)"));
  return database;
}

absl::Status Insert(Database& database, int first, int last) {
  for (int id = first; id <= last; ++id) {
    MARQUEE_RETURN_IF_ERROR(
        database.Execute(absl::StrCat("INSERT INTO t VALUES(", id, ", randomblob(3000))")));
  }
  return absl::OkStatus();
}

using Checkpoint = std::function<absl::Status(Database&)>;

// A reader stops the first checkpoint halfway; the sync of the second fails; the third goes well,
// the WAL begins anew, and the power goes. True where all that was committed is there afterwards.
bool SurvivesAFailedSync(const Checkpoint& checkpoint, uint64_t seed) {
  FaultVfs vfs("checkpoint");
  {
    absl::StatusOr<Database> writer = OpenAt(vfs), other = OpenAt(vfs), reader = OpenAt(vfs);
    MARQUEE_CHECK(writer.ok() && other.ok() && reader.ok());
    MARQUEE_CHECK(checkpoint(*other).ok());
    MARQUEE_CHECK(Insert(*writer, 1, kRows).ok());
    MARQUEE_CHECK(reader->Execute("BEGIN").ok());
    MARQUEE_CHECK(reader->QueryInt("SELECT count(*) FROM t").ok());
    MARQUEE_CHECK(Insert(*writer, kRows + 1, kRows + 2).ok());
    MARQUEE_CHECK(checkpoint(*other).ok());
    MARQUEE_CHECK(reader->Execute("COMMIT").ok());
    vfs.FailAfter(Fault::kSyncError, 1, /*until_healed=*/false);  // the WAL's goes well
    MARQUEE_CHECK(!checkpoint(*other).ok());
    vfs.Heal();
    MARQUEE_CHECK(checkpoint(*other).ok());
    MARQUEE_CHECK(Insert(*writer, kRows + 3, 2 * kRows).ok());
    vfs.PowerLoss(seed);
  }
  absl::StatusOr<Database> database = OpenAt(vfs);
  if (!database.ok()) return false;
  absl::StatusOr<std::string> whole = database->QueryText("PRAGMA integrity_check");
  absl::StatusOr<int64_t> rows = database->QueryInt("SELECT count(*) FROM t");
  return whole.ok() && *whole == "ok" && rows.ok() && *rows == 2 * kRows;
}

TEST(CheckpointTest, AFailedSyncAfterOneThatStoppedHalfwayLosesNothing) {
  Checkpoint ours = [](Database& database) {
    return CheckpointWal(database, CheckpointMode::kPassive).status();
  };
  for (uint64_t seed = 1; seed <= 50; ++seed) EXPECT_TRUE(SurvivesAFailedSync(ours, seed)) << seed;
}

// That the test can fail, and why SQLite's call alone is not enough.
TEST(CheckpointTest, WithoutTheSyncInBetweenItLosesWhatWasCommitted) {
  Checkpoint bare = [](Database& database) {
    int code = sqlite3_wal_checkpoint_v2(database.handle(), "main", SQLITE_CHECKPOINT_PASSIVE,
                                         nullptr, nullptr);
    return StatusOf(code, database.handle(), database.path());
  };
  int lost = 0;
  for (uint64_t seed = 1; seed <= 50; ++seed) lost += SurvivesAFailedSync(bare, seed) ? 0 : 1;
  EXPECT_GT(lost, 0);
}

TEST(CheckpointTest, WhereThatSyncFailsItIsDataLoss) {
  FaultVfs vfs("checkpoint-fails");
  absl::StatusOr<Database> writer = OpenAt(vfs), reader = OpenAt(vfs);
  ASSERT_TRUE(writer.ok() && reader.ok());
  ASSERT_TRUE(Insert(*writer, 1, 3).ok());
  ASSERT_TRUE(reader->Execute("BEGIN").ok());
  ASSERT_TRUE(reader->QueryInt("SELECT count(*) FROM t").ok());
  ASSERT_TRUE(Insert(*writer, 4, 6).ok());
  vfs.FailAfter(Fault::kSyncError, 1, /*until_healed=*/false);  // the WAL's goes well
  absl::Status status = CheckpointWal(*writer, CheckpointMode::kPassive).status();
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
}

TEST(CheckpointTest, SaysWhetherAllOfTheWalIsInTheDatabase) {
  FaultVfs vfs("checkpoint-all");
  absl::StatusOr<Database> writer = OpenAt(vfs), reader = OpenAt(vfs);
  ASSERT_TRUE(writer.ok() && reader.ok());
  ASSERT_TRUE(Insert(*writer, 1, 3).ok());
  ASSERT_TRUE(reader->Execute("BEGIN").ok());
  ASSERT_TRUE(reader->QueryInt("SELECT count(*) FROM t").ok());
  ASSERT_TRUE(Insert(*writer, 4, 6).ok());
  EXPECT_FALSE(CheckpointWal(*writer, CheckpointMode::kPassive).value());
  sqlite3_busy_timeout(writer->handle(), 0);
  EXPECT_FALSE(CheckpointWal(*writer, CheckpointMode::kRestart).value());
  ASSERT_TRUE(reader->Execute("COMMIT").ok());
  EXPECT_TRUE(CheckpointWal(*writer, CheckpointMode::kRestart).value());
}

}  // namespace
}  // namespace marquee::sqlite
