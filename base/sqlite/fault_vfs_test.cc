#include "base/sqlite/fault_vfs.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/random.h"
#include "base/sqlite/database.h"
#include "base/status.h"

namespace marquee::sqlite {
namespace {

constexpr char kPath[] = "/d/x.db";

absl::StatusOr<Database> OpenAt(const FaultVfs& vfs, const std::string& journal_mode,
                                const std::string& synchronous) {
  OpenOptions options;
  options.vfs = vfs.name();
  MARQUEE_ASSIGN_OR_RETURN(Database database, Database::Open(kPath, options));
  MARQUEE_RETURN_IF_ERROR(database.Execute(absl::StrCat(
      "PRAGMA journal_mode=", journal_mode, "; PRAGMA synchronous=", synchronous,
      "; PRAGMA wal_autocheckpoint=8; CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, v)")));
  return database;
}

absl::Status Insert(Database& database, int64_t id) {
  return database.Execute(absl::StrCat("INSERT INTO t VALUES(", id, ", randomblob(1500))"));
}

// Inserts 0, 1, 2, ... until the power is cut; how many were acknowledged.
int64_t InsertUntilPowerIsCut(const FaultVfs& vfs, const std::string& mode,
                              const std::string& synchronous) {
  absl::StatusOr<Database> database = OpenAt(vfs, mode, synchronous);
  if (!database.ok()) return 0;
  int64_t acknowledged = 0;
  while (Insert(*database, acknowledged).ok()) ++acknowledged;
  return acknowledged;
}

struct Outcome {
  int lost = 0;     // runs in which an acknowledged row was missing
  int damaged = 0;  // runs after which the database was malformed
};

Outcome CrashOften(const std::string& mode, const std::string& synchronous, uint64_t seeds) {
  Outcome outcome;
  for (uint64_t seed = 1; seed <= seeds; ++seed) {
    FaultVfs vfs("fault-crash");
    Random random(seed);
    vfs.CutPowerAfter(random.Below(150));
    int64_t acknowledged = InsertUntilPowerIsCut(vfs, mode, synchronous);
    vfs.PowerLoss(seed);
    absl::StatusOr<Database> database = OpenAt(vfs, mode, synchronous);
    absl::StatusOr<std::string> check =
        database.ok() ? database->QueryText("PRAGMA integrity_check") : database.status();
    if (!check.ok() || *check != "ok") {
      ++outcome.damaged;
      continue;
    }
    absl::StatusOr<int64_t> rows = database->QueryInt("SELECT count(*) FROM t");
    if (!rows.ok() || *rows < acknowledged) ++outcome.lost;
  }
  return outcome;
}

constexpr uint64_t kSeeds = 300;

TEST(FaultVfsTest, AFullySyncedWalLosesNothing) {
  Outcome outcome = CrashOften("WAL", "FULL", kSeeds);
  EXPECT_EQ(outcome.lost, 0);
  EXPECT_EQ(outcome.damaged, 0);
}

TEST(FaultVfsTest, AFullySyncedRollbackJournalLosesNothing) {
  // EXTRA also syncs the directory after the journal is deleted; with FULL a deleted journal may
  // come back.
  Outcome outcome = CrashOften("DELETE", "EXTRA", kSeeds);
  EXPECT_EQ(outcome.lost, 0);
  EXPECT_EQ(outcome.damaged, 0);
}

TEST(FaultVfsTest, AWalThatIsNotSyncedLosesAcknowledgedRows) {
  Outcome outcome = CrashOften("WAL", "NORMAL", kSeeds);
  EXPECT_GT(outcome.lost, 0);
  EXPECT_EQ(outcome.damaged, 0);
}

TEST(FaultVfsTest, NoSyncAtAllDamagesTheDatabase) {
  EXPECT_GT(CrashOften("WAL", "OFF", kSeeds).damaged, 0);
}

TEST(FaultVfsTest, HandlesFromBeforeAPowerLossReturnErrors) {
  FaultVfs vfs("fault-stale");
  absl::StatusOr<Database> before = OpenAt(vfs, "WAL", "FULL");
  ASSERT_TRUE(before.ok()) << before.status();
  ASSERT_TRUE(Insert(*before, 1).ok());
  vfs.PowerLoss(7);
  EXPECT_FALSE(Insert(*before, 2).ok());
  EXPECT_FALSE(before->QueryInt("SELECT count(*) FROM t").ok());
  absl::StatusOr<Database> after = OpenAt(vfs, "WAL", "FULL");
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_EQ(*after->QueryInt("SELECT count(*) FROM t"), 1);
}

TEST(FaultVfsTest, WhatADeadProcessDidNotSyncIsReadableAndMayBeLostWithThePower) {
  int kept = 0;
  int lost = 0;
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    FaultVfs vfs("fault-death");
    {
      absl::StatusOr<Database> database = OpenAt(vfs, "WAL", "NORMAL");
      ASSERT_TRUE(database.ok()) << database.status();
      ASSERT_TRUE(Insert(*database, 1).ok());
      vfs.ProcessDeath();
      EXPECT_FALSE(database->QueryInt("SELECT count(*) FROM t").ok());
    }
    {
      OpenOptions options;
      options.vfs = vfs.name();
      absl::StatusOr<Database> database = Database::Open(kPath, options);
      ASSERT_TRUE(database.ok()) << database.status();
      EXPECT_EQ(*database->QueryInt("SELECT count(*) FROM t"), 1);
      vfs.PowerLoss(seed);
    }
    absl::StatusOr<Database> database = OpenAt(vfs, "WAL", "NORMAL");
    ASSERT_TRUE(database.ok()) << database.status();
    ++(*database->QueryInt("SELECT count(*) FROM t") == 1 ? kept : lost);
  }
  EXPECT_GT(kept, 0);
  EXPECT_GT(lost, 0);
}

TEST(FaultVfsTest, FaultsComeWhenAskedForAndEnd) {
  struct Case {
    Fault fault;
    absl::StatusCode code;
  };
  for (Case c : {Case{Fault::kWriteError, absl::StatusCode::kInternal},
                 Case{Fault::kSyncError, absl::StatusCode::kInternal},
                 Case{Fault::kDiskFull, absl::StatusCode::kResourceExhausted}}) {
    FaultVfs vfs("fault-faults");
    absl::StatusOr<Database> database = OpenAt(vfs, "WAL", "FULL");
    ASSERT_TRUE(database.ok()) << database.status();
    vfs.FailAfter(c.fault, 0, /*until_healed=*/true);
    EXPECT_EQ(Insert(*database, 1).code(), c.code);
    EXPECT_EQ(Insert(*database, 1).code(), c.code);
    vfs.Heal();
    EXPECT_TRUE(Insert(*database, 1).ok());
    vfs.FailAfter(c.fault, 0, /*until_healed=*/false);
    EXPECT_EQ(Insert(*database, 2).code(), c.code);
    EXPECT_TRUE(Insert(*database, 2).ok());
    EXPECT_EQ(*database->QueryInt("SELECT count(*) FROM t"), 2);
  }
}

TEST(FaultVfsTest, ConnectionsOfSeveralThreadsShareAWal) {
  FaultVfs vfs("fault-threads");
  ASSERT_TRUE(OpenAt(vfs, "WAL", "FULL").ok());
  constexpr int kThreads = 3;
  constexpr int kRows = 100;
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&vfs, thread] {
      absl::StatusOr<Database> database = OpenAt(vfs, "WAL", "FULL");
      ASSERT_TRUE(database.ok()) << database.status();
      for (int row = 0; row < kRows; ++row) {
        absl::Status status = Insert(*database, thread * kRows + row);
        ASSERT_TRUE(status.ok()) << status;
        ASSERT_GE(*database->QueryInt("SELECT count(*) FROM t"), row + 1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  absl::StatusOr<Database> database = OpenAt(vfs, "WAL", "FULL");
  ASSERT_TRUE(database.ok()) << database.status();
  EXPECT_EQ(*database->QueryInt("SELECT count(*) FROM t"), kThreads * kRows);
  EXPECT_EQ(*database->QueryText("PRAGMA integrity_check"), "ok");
}

}  // namespace
}  // namespace marquee::sqlite
