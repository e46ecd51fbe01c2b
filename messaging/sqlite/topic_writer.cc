#include "messaging/sqlite/topic_writer.h"

#include <fmt/format.h>

#include <optional>
#include <utility>
#include <vector>

#include "base/crash_point.h"
#include "base/sqlite/checkpoint.h"
#include "base/status.h"
#include "messaging/sqlite/compaction.h"

namespace marquee::messaging {
namespace {

constexpr int64_t kWriterCacheBytes = int64_t{2} << 20;
constexpr int kCheckpointBusyTimeoutMs = 1000;
// Bounds on what rides in one transaction beside the records.
constexpr int kRowsDroppedMax = 64;
constexpr int64_t kCompactedRecordsMax = 500'000;

}  // namespace

absl::StatusOr<std::unique_ptr<TopicWriter>> TopicWriter::Open(const Store& store,
                                                               std::shared_ptr<TopicFile> file) {
  MARQUEE_RETURN_IF_ERROR(file->CheckPresent());
  MARQUEE_ASSIGN_OR_RETURN(sqlite::Database database, file->Connect(kWriterCacheBytes));
  MARQUEE_ASSIGN_OR_RETURN(int64_t page_size_bytes, database.QueryInt("PRAGMA page_size"));
  MARQUEE_ASSIGN_OR_RETURN(TopicStatements statements, TopicStatements::Prepare(database));
  return std::unique_ptr<TopicWriter>(new TopicWriter(store, std::move(file), std::move(database),
                                                      std::move(statements), page_size_bytes));
}

TopicWriter::TopicWriter(const Store& store, std::shared_ptr<TopicFile> file,
                         sqlite::Database database, TopicStatements statements,
                         int64_t page_size_bytes)
    : store_(store),
      file_(std::move(file)),
      database_(std::move(database)),
      statements_(std::move(statements)),
      page_size_bytes_(page_size_bytes) {
  // Replaces SQLite's own checkpoint within the commit.
  sqlite3_wal_hook(database_.handle(), OnCommit, this);
}

TopicWriter::~TopicWriter() { sqlite3_wal_hook(database_.handle(), nullptr, nullptr); }

int TopicWriter::OnCommit(void* self, sqlite3*, const char*, int wal_pages) {
  static_cast<TopicWriter*>(self)->wal_pages_ = wal_pages;
  return SQLITE_OK;
}

absl::Status TopicWriter::Write(std::span<const PackToWrite> packs, FlushedThrough* through) {
  MARQUEE_RETURN_IF_ERROR(file_->CheckPresent());
  MARQUEE_ASSIGN_OR_RETURN(sqlite::Transaction transaction,
                           BeginWriting(database_, store_.clock, store_.deadline));
  MARQUEE_RETURN_IF_ERROR(file_->CheckNotDeleted(statements_));
  States states;
  MARQUEE_RETURN_IF_ERROR(Append(packs, &states));
  if (file_->spec().kind == TopicKind::kEntity) MARQUEE_RETURN_IF_ERROR(Compact(&states));
  for (auto& [shard, state] : states) {
    if (file_->spec().retention != absl::InfiniteDuration())
      MARQUEE_RETURN_IF_ERROR(DropOld(shard, &state));
    MARQUEE_RETURN_IF_ERROR(statements_.WriteShard(shard, state));
  }
  MARQUEE_CRASH_POINT("sqlite.before-commit");
  MARQUEE_RETURN_IF_ERROR(transaction.Commit());
  MARQUEE_CRASH_POINT("sqlite.after-commit");
  for (const auto& [shard, state] : states) (*through)[shard] = state.end;
  return absl::OkStatus();
}

absl::Status TopicWriter::Append(std::span<const PackToWrite> packs, States* states) {
  for (const PackToWrite& pack : packs) {
    auto [found, is_new] = states->try_emplace(pack.shard);
    ShardState& state = found->second;
    if (is_new) {
      MARQUEE_ASSIGN_OR_RETURN(state, statements_.ReadShard(pack.shard));
    }
    if (state.end.value() > kOffsetsPerShardMax - int64_t{pack.records}) {
      return absl::ResourceExhaustedError(
          fmt::format("{}: shard {} has used all of its {} offsets; declare another topic",
                      file_->path(), pack.shard.value(), kOffsetsPerShardMax));
    }
    PackRow row{.key = RowKey(pack.shard, state.end),
                .until = Offset(state.end.value() + pack.records),
                .records = pack.records,
                .newest_ms = pack.newest_ms,
                .pack = pack.pack};
    MARQUEE_RETURN_IF_ERROR(statements_.InsertRow(row));
    state.end = row.until;
    state.records += row.records;
    state.bytes += static_cast<int64_t>(row.pack.size());
  }
  return absl::OkStatus();
}

absl::Status TopicWriter::DropOld(Shard shard, ShardState* state) {
  int64_t oldest_ms = absl::ToUnixMillis(store_.clock.Now() - file_->spec().retention);
  for (int i = 0; i < kRowsDroppedMax; ++i) {
    MARQUEE_ASSIGN_OR_RETURN(std::vector<TopicStatements::RowSize> first,
                             statements_.RowSizes(shard, state->begin, /*limit=*/1));
    if (first.empty()) return absl::OkStatus();
    MARQUEE_ASSIGN_OR_RETURN(std::optional<Offset> kept,
                             statements_.FirstRowNotOlder(shard, oldest_ms));
    if (kept.has_value() && *kept <= OffsetOfRowKey(first[0].key)) return absl::OkStatus();
    MARQUEE_RETURN_IF_ERROR(statements_.DeleteRow(first[0].key));
    state->begin = first[0].until;
    state->records -= first[0].records;
    state->bytes -= first[0].bytes;
  }
  return absl::OkStatus();
}

absl::Status TopicWriter::Compact(States* states) {
  int64_t tombstones_before_ms =
      absl::ToUnixMillis(store_.clock.Now() - store_.settings.tombstone_retention);
  int64_t budget = kCompactedRecordsMax;
  for (auto& [shard, state] : *states) {
    if (budget <= 0) return absl::OkStatus();
    if (!NeedsCompaction(state)) continue;
    budget -= state.records;
    Compaction compaction(statements_, compressor_);
    MARQUEE_RETURN_IF_ERROR(compaction.Run(shard, tombstones_before_ms, &state));
  }
  return absl::OkStatus();
}

absl::Status TopicWriter::CheckpointWal(bool wait_for_readers) {
  sqlite3_busy_timeout(database_.handle(), wait_for_readers ? kCheckpointBusyTimeoutMs : 0);
  absl::StatusOr<bool> all =
      sqlite::CheckpointWal(database_, wait_for_readers ? sqlite::CheckpointMode::kRestart
                                                        : sqlite::CheckpointMode::kPassive);
  if (absl::IsDataLoss(all.status())) file_->Fail(all.status());
  MARQUEE_RETURN_IF_ERROR(all.status());
  if (*all) wal_pages_ = 0;  // else somebody else is at it, or still reads: next time
  return absl::OkStatus();
}

}  // namespace marquee::messaging
