#include "base/sqlite/database.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/sqlite/fault_vfs.h"

namespace marquee::sqlite {
namespace {

class DatabaseTest : public testing::Test {
 protected:
  Database Open() {
    OpenOptions options;
    options.vfs = vfs_.name();
    options.busy_timeout = absl::ZeroDuration();
    absl::StatusOr<Database> database = Database::Open("/d/x.db", options);
    EXPECT_TRUE(database.ok()) << database.status();
    return *std::move(database);
  }

  FaultVfs vfs_{"database-test"};
};

TEST_F(DatabaseTest, ValuesComeBackAsTheyWereBound) {
  Database database = Open();
  ASSERT_TRUE(database.Execute("CREATE TABLE t(a, b, c, d)").ok());
  Statement insert = *database.Prepare("INSERT INTO t VALUES(?1, ?2, ?3, ?4)");
  insert.Bind(1, -5).BindText(2, "text").BindBlob(3, std::string_view("\0b", 2)).BindNull(4);
  ASSERT_TRUE(insert.Run().ok());
  EXPECT_EQ(database.changes(), 1);
  Statement select = *database.Prepare("SELECT a, b, c, d FROM t");
  ASSERT_TRUE(*select.Step());
  EXPECT_EQ(select.Int(0), -5);
  EXPECT_EQ(select.Text(1), "text");
  EXPECT_EQ(select.Blob(2), std::string_view("\0b", 2));
  EXPECT_TRUE(select.IsNull(3));
  EXPECT_FALSE(*select.Step());
}

TEST_F(DatabaseTest, NoRowIsNotFound) {
  Database database = Open();
  EXPECT_EQ(database.QueryInt("SELECT 1 WHERE 0").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(DatabaseTest, ATransactionThatIsNotCommittedIsRolledBack) {
  Database database = Open();
  ASSERT_TRUE(database.Execute("CREATE TABLE t(a)").ok());
  {
    absl::StatusOr<Transaction> transaction = Transaction::Begin(database);
    ASSERT_TRUE(transaction.ok());
    ASSERT_TRUE(database.Execute("INSERT INTO t VALUES(1)").ok());
  }
  EXPECT_EQ(*database.QueryInt("SELECT count(*) FROM t"), 0);
}

TEST_F(DatabaseTest, ASecondWriterIsUnavailableUntilTheFirstHasCommitted) {
  Database first = Open();
  Database second = Open();
  ASSERT_TRUE(first.Execute("PRAGMA journal_mode=WAL").ok());
  absl::StatusOr<Transaction> transaction = Transaction::Begin(first);
  ASSERT_TRUE(transaction.ok());
  EXPECT_EQ(Transaction::Begin(second).status().code(), absl::StatusCode::kUnavailable);
  ASSERT_TRUE(transaction->Commit().ok());
  EXPECT_TRUE(Transaction::Begin(second).ok());
}

TEST_F(DatabaseTest, AnErrorNamesTheFile) {
  Database database = Open();
  EXPECT_THAT(std::string(database.Execute("nonsense").message()), testing::HasSubstr("/d/x.db"));
}

}  // namespace
}  // namespace marquee::sqlite
