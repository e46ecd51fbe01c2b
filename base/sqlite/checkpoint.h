// Copying a WAL into its database so that a sync that fails loses nothing.
//
// SQLite syncs the database only where a checkpoint reaches the WAL's end. After one that stopped
// before it (a reader, or a writer beside it) the pages it copied wait for the next checkpoint's
// sync; if that sync fails, they count as clean, the one after it does not copy them again, and its
// success says nothing of them: they are lost with the power once the WAL is used anew. So a
// checkpoint that stopped early is synced here at once.
//
// Threads: as the database.
#ifndef MARQUEE_BASE_SQLITE_CHECKPOINT_H_
#define MARQUEE_BASE_SQLITE_CHECKPOINT_H_

#include "absl/status/statusor.h"
#include "base/sqlite/database.h"

namespace marquee::sqlite {

enum class CheckpointMode {
  kPassive,  // as far as readers allow; waits for nobody
  kRestart,  // waits for readers, as long as the database's busy timeout, and lets the WAL begin
             // anew
};

// Whether all of the WAL is in the database. False as well where others are in the way: try again
// later. kDataLoss: that sync failed, so the file must not be written any more; once every process
// has let go of it, whoever opens it first copies all of the WAL again.
absl::StatusOr<bool> CheckpointWal(Database& database, CheckpointMode mode);

}  // namespace marquee::sqlite

#endif  // MARQUEE_BASE_SQLITE_CHECKPOINT_H_
