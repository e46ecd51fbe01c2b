#include "base/sqlite/database.h"

#include <fmt/format.h>

#include <utility>

#include "base/status.h"

namespace marquee::sqlite {
namespace {

constexpr absl::Duration kSwitchPause = absl::Milliseconds(2);

}  // namespace

absl::Status StatusOf(int code, sqlite3* handle, std::string_view where) {
  if (code == SQLITE_OK || code == SQLITE_DONE || code == SQLITE_ROW) return absl::OkStatus();
  std::string text = fmt::format("{}: {}", where,
                                 handle != nullptr ? sqlite3_errmsg(handle) : sqlite3_errstr(code));
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::UnavailableError(text);
    case SQLITE_FULL:
      return absl::ResourceExhaustedError(text);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::DataLossError(text);
    case SQLITE_CANTOPEN:
      return absl::InvalidArgumentError(text);
    case SQLITE_READONLY:
    case SQLITE_PERM:
      return absl::PermissionDeniedError(text);
    case SQLITE_CONSTRAINT:
      return absl::AlreadyExistsError(text);
    default:
      return absl::InternalError(text);
  }
}

absl::StatusOr<Database> Database::Open(const std::string& path, const OpenOptions& options) {
  int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  if (options.read_only) {
    flags |= SQLITE_OPEN_READONLY;
  } else {
    flags |= SQLITE_OPEN_READWRITE | (options.create ? SQLITE_OPEN_CREATE : 0);
  }
  sqlite3* raw = nullptr;
  int code = sqlite3_open_v2(path.c_str(), &raw, flags,
                             options.vfs.empty() ? nullptr : options.vfs.c_str());
  Database database(raw, path);
  if (code != SQLITE_OK) return StatusOf(code, raw, path);
  sqlite3_busy_timeout(raw, static_cast<int>(absl::ToInt64Milliseconds(options.busy_timeout)));
  return database;
}

absl::Status Database::Execute(const std::string& sql) {
  return StatusOf(sqlite3_exec(handle(), sql.c_str(), nullptr, nullptr, nullptr), handle(), path_);
}

absl::StatusOr<Statement> Database::Prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  int code = sqlite3_prepare_v3(handle(), sql.data(), static_cast<int>(sql.size()),
                                SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (code != SQLITE_OK) return StatusOf(code, handle(), path_);
  return Statement(statement);
}

absl::StatusOr<int64_t> Database::QueryInt(std::string_view sql) {
  MARQUEE_ASSIGN_OR_RETURN(Statement statement, Prepare(sql));
  MARQUEE_ASSIGN_OR_RETURN(bool row, statement.Step());
  if (!row) return absl::NotFoundError(fmt::format("{}: no row for {}", path_, sql));
  return statement.Int(0);
}

absl::StatusOr<std::string> Database::QueryText(std::string_view sql) {
  MARQUEE_ASSIGN_OR_RETURN(Statement statement, Prepare(sql));
  MARQUEE_ASSIGN_OR_RETURN(bool row, statement.Step());
  if (!row) return absl::NotFoundError(fmt::format("{}: no row for {}", path_, sql));
  return std::string(statement.Text(0));
}

int64_t Database::changes() const { return sqlite3_changes64(handle()); }

Statement& Statement::Bind(int index, int64_t value) {
  MARQUEE_CHECK(sqlite3_bind_int64(statement_.get(), index, value) == SQLITE_OK);
  return *this;
}

Statement& Statement::BindText(int index, std::string_view value) {
  MARQUEE_CHECK(sqlite3_bind_text64(statement_.get(), index, value.data() ? value.data() : "",
                                    value.size(), SQLITE_STATIC, SQLITE_UTF8) == SQLITE_OK);
  return *this;
}

Statement& Statement::BindBlob(int index, std::string_view value) {
  MARQUEE_CHECK(sqlite3_bind_blob64(statement_.get(), index, value.data() ? value.data() : "",
                                    value.size(), SQLITE_STATIC) == SQLITE_OK);
  return *this;
}

Statement& Statement::BindNull(int index) {
  MARQUEE_CHECK(sqlite3_bind_null(statement_.get(), index) == SQLITE_OK);
  return *this;
}

absl::StatusOr<bool> Statement::Step() {
  int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  sqlite3* handle = sqlite3_db_handle(statement_.get());
  absl::Status status;
  if (code != SQLITE_DONE) {
    const char* path = sqlite3_db_filename(handle, "main");
    status = StatusOf(code, handle, path != nullptr ? path : "sqlite");
  }
  sqlite3_reset(statement_.get());
  if (!status.ok()) return status;
  return false;
}

absl::Status Statement::Run() {
  while (true) {
    MARQUEE_ASSIGN_OR_RETURN(bool row, Step());
    if (!row) return absl::OkStatus();
  }
}

void Statement::Reset() { sqlite3_reset(statement_.get()); }

int64_t Statement::Int(int column) const { return sqlite3_column_int64(statement_.get(), column); }
double Statement::Real(int column) const { return sqlite3_column_double(statement_.get(), column); }

std::string_view Statement::Text(int column) const {
  auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
  return {text != nullptr ? text : "",
          static_cast<size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

std::string_view Statement::Blob(int column) const {
  auto* blob = static_cast<const char*>(sqlite3_column_blob(statement_.get(), column));
  return {blob != nullptr ? blob : "",
          static_cast<size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

bool Statement::IsNull(int column) const {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}

absl::StatusOr<Transaction> Transaction::Begin(Database& database) {
  MARQUEE_RETURN_IF_ERROR(database.Execute("BEGIN IMMEDIATE"));
  return Transaction(database);
}

absl::StatusOr<Transaction> Transaction::BeginReading(Database& database) {
  MARQUEE_RETURN_IF_ERROR(database.Execute("BEGIN"));
  return Transaction(database);
}

Transaction::~Transaction() {
  if (database_ != nullptr)
    (void)sqlite3_exec(database_->handle(), "ROLLBACK", nullptr, nullptr, nullptr);
}

absl::Status Transaction::Commit() {
  // A COMMIT that failed may leave the transaction open: the destructor then rolls it back.
  MARQUEE_RETURN_IF_ERROR(database_->Execute("COMMIT"));
  database_ = nullptr;
  return absl::OkStatus();
}

absl::Status SwitchToWal(Database& database, Clock& clock, absl::Duration patience) {
  absl::Duration give_up = clock.Uptime() + patience;
  while (true) {
    // SQLite itself does not wait here.
    absl::StatusOr<std::string> mode = database.QueryText("PRAGMA journal_mode=WAL");
    if (mode.ok() && *mode == "wal") return absl::OkStatus();
    if (mode.ok()) {
      return absl::FailedPreconditionError(fmt::format(
          "{}: expected journal mode wal, found {}; the file system may not support shared memory "
          "(a network share?): put the folder on a local disk",
          database.path(), *mode));
    }
    if (!absl::IsUnavailable(mode.status()) || clock.Uptime() >= give_up) return mode.status();
    clock.SleepFor(kSwitchPause);
  }
}

}  // namespace marquee::sqlite
