// Where a broker keeps its files, and how each of them is opened: made where it is not there,
// checked to be ours.
//
//   DIR/topics.db                   which topics there are, and the file of each
//   DIR/<topic>.<8 hex digits>.db   one topic: its shards, its rows of packs
//   DIR/groups.db                   members, who owns what, reported positions
//   DIR/groups/<member>.lock        locked as long as the member's process lives
//
// Ownership: the broker owns the Store; all that it makes refers to it.
// Threads: read from any thread once made.
#ifndef MARQUEE_MESSAGING_SQLITE_STORE_H_
#define MARQUEE_MESSAGING_SQLITE_STORE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "base/sqlite/database.h"
#include "messaging/sqlite/notifier.h"

namespace marquee::messaging {

struct SqliteSettings {
  // sqlite.page_size_bytes: of files that are made from now on; a power of two, 512 .. 65536. None:
  // as the file's kind has it.
  std::optional<int64_t> page_size_bytes;
  // sqlite.wal_bytes: a WAL of this size is copied into its database.
  int64_t wal_bytes = int64_t{16} << 20;
  // sqlite.tombstone_retention_seconds: how long a deletion stays readable in an entity topic.
  absl::Duration tombstone_retention = absl::Hours(24);

  // kInvalidArgument: a setting that is unknown, or not a number in its range.
  static absl::StatusOr<SqliteSettings> Parse(const std::map<std::string, std::string>& settings);
};

struct Store {
  const std::string directory;
  const std::string vfs;  // empty: the system's files
  const SqliteSettings settings;
  const absl::Duration deadline;
  Clock& clock;
  Notifier notifier;

  // Whether this is the first time that the broker asks about `path`: then what the file shows is
  // made durable.
  bool MustRecover(const std::string& path) const {
    MutexLock lock(recovered_mutex);
    return recovered.insert(path).second;
  }
  mutable Mutex recovered_mutex;
  mutable std::set<std::string> recovered ABSL_GUARDED_BY(recovered_mutex);

  std::string PathOf(const std::string& file) const { return directory + "/" + file; }
  bool on_system_files() const { return vfs.empty(); }
};

inline constexpr int64_t kPageBytes = 4096;

// What one kind of our files is.
struct FileKind {
  const char* noun;  // "topic"
  int64_t application_id;
  int64_t schema_version;
  const char* schema;
  int64_t page_size_bytes = kPageBytes;  // where no setting says otherwise
};

enum class IfMissing { kCreate, kFail };

// Opens a file in WAL mode with synchronous=FULL and a page cache of `cache_bytes`, and makes its
// schema where it is new. kFailedPrecondition: not ours, or of another schema version; kDataLoss:
// damaged, or missing (kFail).
absl::StatusOr<sqlite::Database> OpenStoreFile(const Store& store, const std::string& path,
                                               const FileKind& kind, IfMissing if_missing,
                                               int64_t cache_bytes);

bool FileExists(const Store& store, const std::string& path);
// The database with its WAL and WAL index. Harmless where they are not there.
void DeleteStoreFile(const Store& store, const std::string& path);
// With the WAL; 0 where the store cannot tell.
int64_t BytesOnDisk(const Store& store, const std::string& path);

// BEGIN IMMEDIATE, tried again until `deadline` has passed (kDeadlineExceeded, which names the
// file).
absl::StatusOr<sqlite::Transaction> BeginWriting(sqlite::Database& database, Clock& clock,
                                                 absl::Duration deadline);

// Makes the directory, durably. kFailedPrecondition: it cannot be made or written to.
absl::Status PrepareDirectory(const std::string& directory);

}  // namespace marquee::messaging

#endif  // MARQUEE_MESSAGING_SQLITE_STORE_H_
