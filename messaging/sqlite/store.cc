#include "messaging/sqlite/store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/numbers.h"
#include "base/status.h"
#include "messaging/setting_names.h"

namespace marquee::messaging {
namespace {

// How often a lock that another holds is asked for again.
constexpr absl::Duration kBusyPauseMin = absl::Microseconds(100);
constexpr absl::Duration kBusyPauseMax = absl::Milliseconds(2);
constexpr int kRecoverBusyTimeoutMs = 200;
constexpr absl::Duration kOpenBusyTimeout = absl::Seconds(10);

absl::Status NotOurs(const std::string& path, const FileKind& kind, int64_t found) {
  return absl::FailedPreconditionError(fmt::format(
      "{}: expected a Marquee {} file (application_id {:#x}), found application_id {:#x}; give "
      "another directory, or move this file away",
      path, kind.noun, kind.application_id, found));
}

absl::Status OtherVersion(const std::string& path, const FileKind& kind, int64_t found) {
  return absl::FailedPreconditionError(fmt::format(
      "{}: expected schema version {} of a {} file, found {}; use the version of marquee that made "
      "it, or another directory",
      path, kind.schema_version, kind.noun, found));
}

absl::Status MakeSchema(const Store& store, sqlite::Database& database, const FileKind& kind) {
  MARQUEE_RETURN_IF_ERROR(database.Execute(fmt::format(
      "PRAGMA page_size={}", store.settings.page_size_bytes.value_or(kind.page_size_bytes))));
  MARQUEE_RETURN_IF_ERROR(sqlite::SwitchToWal(database, store.clock, kOpenBusyTimeout));
  MARQUEE_ASSIGN_OR_RETURN(sqlite::Transaction transaction, sqlite::Transaction::Begin(database));
  // Another process may have made it in the meantime.
  MARQUEE_ASSIGN_OR_RETURN(int64_t made, database.QueryInt("PRAGMA application_id"));
  if (made != 0) return absl::OkStatus();
  MARQUEE_RETURN_IF_ERROR(database.Execute(kind.schema));
  MARQUEE_RETURN_IF_ERROR(
      database.Execute(fmt::format("PRAGMA application_id={}; PRAGMA user_version={}",
                                   kind.application_id, kind.schema_version)));
  return transaction.Commit();
}

absl::Status CheckOrMake(const Store& store, sqlite::Database& database, const FileKind& kind,
                         IfMissing if_missing) {
  MARQUEE_ASSIGN_OR_RETURN(int64_t application, database.QueryInt("PRAGMA application_id"));
  MARQUEE_ASSIGN_OR_RETURN(int64_t version, database.QueryInt("PRAGMA user_version"));
  if (application == 0) {
    // Nothing is there yet, or another process made it between the two looks: then the second look
    // has its version beside our 0, and only a third one sees both.
    MARQUEE_ASSIGN_OR_RETURN(int64_t tables,
                             database.QueryInt("SELECT count(*) FROM sqlite_schema"));
    if (tables == 0 && version == 0 && if_missing == IfMissing::kCreate)
      MARQUEE_RETURN_IF_ERROR(MakeSchema(store, database, kind));
    MARQUEE_ASSIGN_OR_RETURN(application, database.QueryInt("PRAGMA application_id"));
    MARQUEE_ASSIGN_OR_RETURN(version, database.QueryInt("PRAGMA user_version"));
  }
  if (application != kind.application_id) return NotOurs(database.path(), kind, application);
  if (version != kind.schema_version) return OtherVersion(database.path(), kind, version);
  return sqlite::SwitchToWal(database, store.clock, kOpenBusyTimeout);
}

// Copies the WAL into the database and syncs it there. Where somebody else is at work with the
// file, the index of its WAL was alive and shows nothing that was not synced, so there is nothing
// to wait for.
absl::Status Recover(sqlite::Database& database) {
  sqlite3_busy_timeout(database.handle(), kRecoverBusyTimeoutMs);
  return database.QueryInt("PRAGMA wal_checkpoint(TRUNCATE)").status();
}

absl::StatusOr<int64_t> ParseInRange(const std::string& name, const std::string& text, int64_t min,
                                     int64_t max) {
  int64_t value;
  if (!absl::SimpleAtoi(text, &value) || value < min || value > max) {
    return absl::InvalidArgumentError(fmt::format(
        "setting {}: expected a number from {} to {}, found '{}'", name, min, max, text));
  }
  return value;
}

}  // namespace

absl::StatusOr<SqliteSettings> SqliteSettings::Parse(
    const std::map<std::string, std::string>& settings) {
  SqliteSettings parsed;
  for (const auto& [name, text] : settings) {
    if (name == "sqlite.page_size_bytes") {
      MARQUEE_ASSIGN_OR_RETURN(parsed.page_size_bytes, ParseInRange(name, text, 512, 65536));
      if (!std::has_single_bit(static_cast<uint64_t>(*parsed.page_size_bytes))) {
        return absl::InvalidArgumentError(
            fmt::format("setting {}: expected a power of two, found {}", name, text));
      }
    } else if (name == "sqlite.wal_bytes") {
      MARQUEE_ASSIGN_OR_RETURN(parsed.wal_bytes, ParseInRange(name, text, 64 << 10, 1 << 30));
    } else if (name == "sqlite.tombstone_retention_seconds") {
      MARQUEE_ASSIGN_OR_RETURN(int64_t seconds,
                               ParseInRange(name, text, 0, int64_t{10} * 366 * 86400));
      parsed.tombstone_retention = absl::Seconds(seconds);
    } else {
      static const std::string kKnown[] = {
          "sqlite.page_size_bytes", "sqlite.tombstone_retention_seconds", "sqlite.wal_bytes"};
      return UnknownSetting(name, "sqlite:", kKnown);
    }
  }
  return parsed;
}

absl::StatusOr<sqlite::Database> OpenStoreFile(const Store& store, const std::string& path,
                                               const FileKind& kind, IfMissing if_missing,
                                               int64_t cache_bytes) {
  if (if_missing == IfMissing::kFail && !FileExists(store, path)) {
    return absl::DataLossError(
        fmt::format("{}: expected a {} file that this directory had before, found none; restore it "
                    "from a copy, "
                    "or delete the topic and declare it anew",
                    path, kind.noun));
  }
  sqlite::OpenOptions options;
  options.create = if_missing == IfMissing::kCreate;
  options.vfs = store.vfs;
  options.busy_timeout = kOpenBusyTimeout;
  MARQUEE_ASSIGN_OR_RETURN(sqlite::Database database, sqlite::Database::Open(path, options));
  MARQUEE_RETURN_IF_ERROR(CheckOrMake(store, database, kind, if_missing));
  if (store.MustRecover(path)) MARQUEE_RETURN_IF_ERROR(Recover(database));
  MARQUEE_RETURN_IF_ERROR(database.Execute(fmt::format(
      "PRAGMA synchronous=FULL; PRAGMA cache_size=-{}", std::max<int64_t>(1, cache_bytes / 1024))));
  return database;
}

bool FileExists(const Store& store, const std::string& path) {
  sqlite3_vfs* vfs = sqlite3_vfs_find(store.vfs.empty() ? nullptr : store.vfs.c_str());
  int found = 0;
  return vfs != nullptr &&
         vfs->xAccess(vfs, path.c_str(), SQLITE_ACCESS_EXISTS, &found) == SQLITE_OK && found != 0;
}

void DeleteStoreFile(const Store& store, const std::string& path) {
  sqlite3_vfs* vfs = sqlite3_vfs_find(store.vfs.empty() ? nullptr : store.vfs.c_str());
  if (vfs == nullptr) return;
  for (const char* suffix : {"", "-wal", "-shm"}) {
    (void)vfs->xDelete(vfs, (path + suffix).c_str(), /*syncDir=*/0);
  }
}

int64_t BytesOnDisk(const Store& store, const std::string& path) {
  if (!store.on_system_files()) return 0;
  int64_t bytes = 0;
  for (const char* suffix : {"", "-wal"}) {
    struct stat found {};
    if (stat((path + suffix).c_str(), &found) == 0) bytes += found.st_size;
  }
  return bytes;
}

absl::StatusOr<sqlite::Transaction> BeginWriting(sqlite::Database& database, Clock& clock,
                                                 absl::Duration deadline) {
  sqlite3_busy_timeout(database.handle(), 0);
  absl::Duration give_up = clock.Uptime() + deadline;
  absl::Duration pause = kBusyPauseMin;
  while (true) {
    absl::StatusOr<sqlite::Transaction> transaction = sqlite::Transaction::Begin(database);
    if (transaction.ok() || !absl::IsUnavailable(transaction.status())) return transaction;
    if (clock.Uptime() >= give_up) {
      return absl::DeadlineExceededError(fmt::format(
          "{}: waited {} for another writer to finish; see who holds it open (fuser {})",
          database.path(), absl::FormatDuration(deadline), database.path()));
    }
    clock.SleepFor(pause);
    pause = std::min(2 * pause, kBusyPauseMax);
  }
}

absl::Status PrepareDirectory(const std::string& directory) {
  std::error_code error;
  bool made = std::filesystem::create_directories(directory, error);
  if (!error && !std::filesystem::is_directory(directory, error))
    error = std::make_error_code(std::errc::not_a_directory);
  if (!error && access(directory.c_str(), R_OK | W_OK | X_OK) != 0)
    error = {errno, std::generic_category()};
  if (error) {
    return absl::FailedPreconditionError(
        fmt::format("{}: expected a directory that can be written to: {}; give another directory, "
                    "or change its "
                    "owner or permissions",
                    directory, error.message()));
  }
  if (!made) return absl::OkStatus();
  std::filesystem::path parent = std::filesystem::absolute(directory, error).parent_path();
  int fd = open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return absl::OkStatus();  // made by somebody else's rights; nothing to sync with ours
  int synced = fsync(fd);
  int failure = errno;
  close(fd);
  if (synced == 0 || failure == EINVAL) return absl::OkStatus();
  return absl::InternalError(fmt::format("{}: sync: {}", parent.string(), std::strerror(failure)));
}

}  // namespace marquee::messaging
