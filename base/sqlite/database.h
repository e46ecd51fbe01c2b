// SQLite as values and statuses: a connection, and prepared statements on it.
//
// Ownership: a Database owns its connection; a Statement must not outlive its Database.
// Threads: a Database and its Statements are used by one thread at a time.
// Errors (StatusOf): kUnavailable busy or locked; kResourceExhausted full disk; kDataLoss corrupt
// or not a database; kInvalidArgument cannot be opened; kPermissionDenied read-only; kAlreadyExists
// a constraint; kInternal the rest, each with SQLite's own words and the path.
#ifndef MARQUEE_BASE_SQLITE_DATABASE_H_
#define MARQUEE_BASE_SQLITE_DATABASE_H_

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"

namespace marquee::sqlite {

struct OpenOptions {
  bool read_only = false;
  bool create = true;
  std::string vfs;  // empty: the default one
  absl::Duration busy_timeout = absl::Seconds(10);
};

class Statement;

class Database {
 public:
  static absl::StatusOr<Database> Open(const std::string& path, const OpenOptions& options);
  Database(Database&&) noexcept = default;
  Database& operator=(Database&&) noexcept = default;

  // Runs statements that return no rows, separated by semicolons.
  absl::Status Execute(const std::string& sql);
  // Prepared to be kept (SQLITE_PREPARE_PERSISTENT).
  absl::StatusOr<Statement> Prepare(std::string_view sql);
  // The first column of the first row; kNotFound where there is none.
  absl::StatusOr<int64_t> QueryInt(std::string_view sql);
  absl::StatusOr<std::string> QueryText(std::string_view sql);

  int64_t changes() const;
  const std::string& path() const { return path_; }
  sqlite3* handle() const { return handle_.get(); }

 private:
  struct Close {
    void operator()(sqlite3* handle) const { sqlite3_close_v2(handle); }
  };
  Database(sqlite3* handle, std::string path) : handle_(handle), path_(std::move(path)) {}

  std::unique_ptr<sqlite3, Close> handle_;
  std::string path_;
};

class Statement {
 public:
  Statement() = default;

  // Parameters from 1. Texts and blobs are borrowed until the next Reset.
  Statement& Bind(int index, int64_t value);
  Statement& BindText(int index, std::string_view value);
  Statement& BindBlob(int index, std::string_view value);
  Statement& BindNull(int index);

  // True where there is a row; false at the end, after which the statement is reset.
  absl::StatusOr<bool> Step();
  // Runs to the end, passing over rows, and resets.
  absl::Status Run();
  void Reset();

  // Columns from 0 of the row Step stopped at. Views are valid until the next Step or Reset.
  int64_t Int(int column) const;
  double Real(int column) const;
  std::string_view Text(int column) const;
  std::string_view Blob(int column) const;
  bool IsNull(int column) const;

 private:
  friend class Database;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  explicit Statement(sqlite3_stmt* statement) : statement_(statement) {}

  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

// The status of a result code on a connection (`handle` may be null).
absl::Status StatusOf(int code, sqlite3* handle, std::string_view where);

// BEGIN IMMEDIATE … COMMIT; rolls back where it was not committed.
class Transaction {
 public:
  static absl::StatusOr<Transaction> Begin(Database& database);
  // BEGIN: one that only reads. All that it reads is of one state.
  static absl::StatusOr<Transaction> BeginReading(Database& database);
  Transaction(Transaction&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();
  absl::Status Commit();

 private:
  explicit Transaction(Database& database) : database_(&database) {}
  Database* database_;
};

// Puts the file into WAL mode, for which it needs it for itself for a moment: waits up to
// `patience` for others, kUnavailable then. kFailedPrecondition: it cannot be done where the file
// is.
absl::Status SwitchToWal(Database& database, Clock& clock, absl::Duration patience);

}  // namespace marquee::sqlite

#endif  // MARQUEE_BASE_SQLITE_DATABASE_H_
