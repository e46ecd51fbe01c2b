// Writes packs into a topic's file: one transaction, one sync. Retention and compaction ride in the
// same transaction.
//
// Fail-stop: after an error of Write nothing is known of what was stored; the writer is thrown
// away, and a new one reads what is there. Threads: one at a time.
#ifndef MARQUEE_MESSAGING_SQLITE_TOPIC_WRITER_H_
#define MARQUEE_MESSAGING_SQLITE_TOPIC_WRITER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/sqlite/database.h"
#include "messaging/broker.h"
#include "messaging/pack.h"
#include "messaging/sqlite/store.h"
#include "messaging/sqlite/topic_file.h"
#include "messaging/sqlite/topic_layout.h"

namespace marquee::messaging {

// Records for one shard, without a place yet. Borrows the pack.
struct PackToWrite {
  Shard shard;
  uint32_t records = 0;
  int64_t newest_ms = 0;
  std::string_view pack;
};

class TopicWriter {
 public:
  static absl::StatusOr<std::unique_ptr<TopicWriter>> Open(const Store& store,
                                                           std::shared_ptr<TopicFile> file);
  ~TopicWriter();
  TopicWriter(const TopicWriter&) = delete;

  // ok: durable; `through` then holds for each shard the offset after its last record.
  // kDeadlineExceeded: another writer; kResourceExhausted: disk full; kFailedPrecondition: deleted;
  // kDataLoss: damaged.
  absl::Status Write(std::span<const PackToWrite> packs, FlushedThrough* through);

  // The size of the WAL after the last Write.
  int64_t wal_bytes() const { return wal_pages_ * page_size_bytes_; }
  // Copies the WAL into the database as far as readers let it; with `wait_for_readers` until all of
  // it is, so that the WAL begins anew.
  absl::Status CheckpointWal(bool wait_for_readers);

 private:
  TopicWriter(const Store& store, std::shared_ptr<TopicFile> file, sqlite::Database database,
              TopicStatements statements, int64_t page_size_bytes);
  static int OnCommit(void* self, sqlite3* handle, const char* database, int wal_pages);

  using States = std::map<Shard, ShardState>;
  absl::Status Append(std::span<const PackToWrite> packs, States* states);
  absl::Status DropOld(Shard shard, ShardState* state);
  absl::Status Compact(States* states);

  const Store& store_;
  const std::shared_ptr<TopicFile> file_;
  sqlite::Database database_;
  TopicStatements statements_;
  PackCompressor compressor_;
  const int64_t page_size_bytes_;
  int64_t wal_pages_ = 0;
};

}  // namespace marquee::messaging

#endif  // MARQUEE_MESSAGING_SQLITE_TOPIC_WRITER_H_
