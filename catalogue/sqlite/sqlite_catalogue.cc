#include "catalogue/sqlite/sqlite_catalogue.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/sqlite/database.h"
#include "base/status.h"
#include "catalogue/sqlite/rows.h"
#include "catalogue/sqlite/sqlite_reader.h"
#include "catalogue/sqlite/sqlite_writer.h"
#include "catalogue/sqlite/writer_lock.h"

namespace marquee::catalogue {
namespace {

constexpr absl::Duration kOpenPatience = absl::Seconds(10);

absl::Status NoCatalogue(const std::string& path) {
  return absl::NotFoundError(absl::StrCat(
      path, ": no catalogue here; start moviedatasink (or run) with this --data folder first"));
}

absl::StatusOr<sqlite::Database> OpenFile(const SqliteCatalogueOptions& options, bool create) {
  sqlite::OpenOptions open;
  open.create = create;
  open.vfs = options.vfs;
  absl::StatusOr<sqlite::Database> database = sqlite::Database::Open(options.path, open);
  if (!database.ok() && !create && absl::IsInvalidArgument(database.status())) {
    return NoCatalogue(options.path);
  }
  return database;
}

// True where the file is empty and has to be given the schema. In a transaction: others may be
// making it.
absl::StatusOr<bool> IsFresh(sqlite::Database& database) {
  MARQUEE_ASSIGN_OR_RETURN(int64_t application_id, database.QueryInt("PRAGMA application_id"));
  MARQUEE_ASSIGN_OR_RETURN(int64_t version, database.QueryInt("PRAGMA user_version"));
  if (application_id == kApplicationId && version == kSchemaVersion) return false;
  if (application_id == kApplicationId) {
    return absl::FailedPreconditionError(
        absl::StrCat(database.path(), ": the catalogue has schema version ", version,
                     ", this build reads version ", kSchemaVersion,
                     "; use the build that wrote it, or move the file away: the catalogue is built "
                     "again from the log"));
  }
  MARQUEE_ASSIGN_OR_RETURN(int64_t tables, database.QueryInt("SELECT count(*) FROM sqlite_schema"));
  if (application_id == 0 && version == 0 && tables == 0) return true;
  return absl::FailedPreconditionError(absl::StrCat(
      database.path(), ": this is an SQLite database of something else (application_id ",
      application_id, ", expected ", kApplicationId, "); name another file or --data folder"));
}

absl::StatusOr<bool> IsFreshNow(sqlite::Database& database) {
  MARQUEE_ASSIGN_OR_RETURN(auto transaction, sqlite::Transaction::BeginReading(database));
  return IsFresh(database);
}

absl::Status WriteSchema(sqlite::Database& database) {
  MARQUEE_ASSIGN_OR_RETURN(sqlite::Transaction transaction, sqlite::Transaction::Begin(database));
  // Somebody else may have been first.
  MARQUEE_ASSIGN_OR_RETURN(bool fresh, IsFresh(database));
  if (!fresh) return absl::OkStatus();
  MARQUEE_RETURN_IF_ERROR(database.Execute(kSchema));
  MARQUEE_RETURN_IF_ERROR(database.Execute(absl::StrCat(
      "INSERT INTO state VALUES(0, 0, 0, 0, 0, 0, ", static_cast<int64_t>(ChecksumOf(State())),
      "); PRAGMA application_id=", kApplicationId, "; PRAGMA user_version=", kSchemaVersion)));
  return transaction.Commit();
}

// The pages of the trees, also the inner ones: a key that is damaged there hides rows from whoever
// looks them up, and from nobody who reads all.
absl::Status CheckTrees(sqlite::Database& database) {
  MARQUEE_ASSIGN_OR_RETURN(std::string found, database.QueryText("PRAGMA quick_check(1)"));
  if (found == "ok") return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(
      database.path(), ": damaged: ", found,
      ". Move this file away and start again: the catalogue is built again from the log"));
}

class SqliteCatalogue final : public Catalogue {
 public:
  explicit SqliteCatalogue(SqliteCatalogueOptions options) : options_(std::move(options)) {}

  absl::Status Prepare() {
    MARQUEE_ASSIGN_OR_RETURN(sqlite::Database database, OpenFile(options_, options_.create));
    MARQUEE_ASSIGN_OR_RETURN(bool fresh, IsFreshNow(database));
    if (fresh && !options_.create) return NoCatalogue(options_.path);
    MARQUEE_ASSIGN_OR_RETURN(std::string mode, database.QueryText("PRAGMA journal_mode"));
    if (mode != "wal") {
      MARQUEE_RETURN_IF_ERROR(
          database.Execute(absl::StrCat("PRAGMA page_size=", options_.page_bytes)));
      SystemClock clock;
      MARQUEE_RETURN_IF_ERROR(sqlite::SwitchToWal(database, clock, kOpenPatience));
    }
    if (fresh) {
      MARQUEE_RETURN_IF_ERROR(database.Execute("PRAGMA synchronous=FULL"));
      MARQUEE_RETURN_IF_ERROR(WriteSchema(database));
    }
    MARQUEE_RETURN_IF_ERROR(CheckTrees(database));
    MARQUEE_ASSIGN_OR_RETURN(auto reader, SqliteReader::Open(std::move(database)));
    return reader->ForEach([](const Entry&) {});
  }

  absl::StatusOr<std::unique_ptr<Writer>> OpenWriter() override {
    std::string lock_path =
        options_.lock_path.empty() ? options_.path + ".lock" : options_.lock_path;
    MARQUEE_ASSIGN_OR_RETURN(WriterLock lock, WriterLock::Take(lock_path));
    MARQUEE_ASSIGN_OR_RETURN(sqlite::Database database, OpenFile(options_, false));
    // Of a file that was made with other pages, too.
    MARQUEE_ASSIGN_OR_RETURN(int64_t page_bytes, database.QueryInt("PRAGMA page_size"));
    auto log_pages_max = static_cast<int>(options_.log_bytes_max / page_bytes);
    return SqliteWriter::Open(std::move(database), std::move(lock), log_pages_max);
  }

  absl::StatusOr<std::unique_ptr<Reader>> OpenReader() override {
    MARQUEE_ASSIGN_OR_RETURN(sqlite::Database database, OpenFile(options_, false));
    return SqliteReader::Open(std::move(database));
  }

  std::string name() const override { return options_.path; }

 private:
  SqliteCatalogueOptions options_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Catalogue>> OpenSqliteCatalogue(
    const SqliteCatalogueOptions& options) {
  auto catalogue = std::make_unique<SqliteCatalogue>(options);
  MARQUEE_RETURN_IF_ERROR(catalogue->Prepare());
  return catalogue;
}

}  // namespace marquee::catalogue
