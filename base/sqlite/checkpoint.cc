#include "base/sqlite/checkpoint.h"

#include <fmt/format.h>

#include "base/status.h"

namespace marquee::sqlite {
namespace {

absl::Status SyncFile(Database& database) {
  sqlite3_file* file = nullptr;
  int code = sqlite3_file_control(database.handle(), "main", SQLITE_FCNTL_FILE_POINTER, &file);
  if (code == SQLITE_OK && file != nullptr && file->pMethods != nullptr)
    code = file->pMethods->xSync(file, SQLITE_SYNC_NORMAL);
  if (code == SQLITE_OK) return absl::OkStatus();
  return absl::DataLossError(
      fmt::format("{}: sync: {}; what was copied out of the write-ahead log may not be durable. "
                  "Nothing more is written there: end all processes that use it, see to the disk, "
                  "and start them again",
                  database.path(), sqlite3_errstr(code)));
}

}  // namespace

absl::StatusOr<bool> CheckpointWal(Database& database, CheckpointMode mode) {
  int pages = 0;
  int copied = 0;
  int code = sqlite3_wal_checkpoint_v2(
      database.handle(), "main",
      mode == CheckpointMode::kRestart ? SQLITE_CHECKPOINT_RESTART : SQLITE_CHECKPOINT_PASSIVE,
      &pages, &copied);
  bool busy = (code & 0xff) == SQLITE_BUSY;
  if (!busy) MARQUEE_RETURN_IF_ERROR(StatusOf(code, database.handle(), database.path()));
  if (!busy && copied >= pages) return true;
  if (copied > 0) MARQUEE_RETURN_IF_ERROR(SyncFile(database));
  return false;
}

}  // namespace marquee::sqlite
