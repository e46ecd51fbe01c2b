#include "messaging/sqlite/topic_file.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "base/digest.h"
#include "base/random.h"
#include "base/status.h"

namespace marquee::messaging {
namespace {

constexpr int64_t kQueryCacheBytes = 256 << 10;
TopicIdentity MakeIdentity() {
  Random random = Random::FromSystem();
  return Digest{random.Next(), random.Next()}.ToHex();
}

}  // namespace

absl::Status TopicWasDeleted(const std::string& topic) {
  return absl::FailedPreconditionError(fmt::format(
      "topic {} was deleted; what is declared under its name by now is another topic", topic));
}

absl::StatusOr<std::string> TopicFile::Make(const Store& store, const TopicSpec& spec) {
  TopicIdentity identity = MakeIdentity();
  std::string file = fmt::format("{}.{}.db", spec.name, identity.substr(0, 8));
  FileKind kind = kTopicFile;
  if (spec.kind == TopicKind::kEvent) kind.page_size_bytes = kEventPageBytes;
  MARQUEE_ASSIGN_OR_RETURN(
      sqlite::Database database,
      OpenStoreFile(store, store.PathOf(file), kind, IfMissing::kCreate, kQueryCacheBytes));
  MARQUEE_RETURN_IF_ERROR(WriteTopicRow(database, spec, identity));
  return file;
}

absl::StatusOr<std::shared_ptr<TopicFile>> TopicFile::Open(const Store& store,
                                                           const std::string& file) {
  MARQUEE_ASSIGN_OR_RETURN(
      sqlite::Database database,
      OpenStoreFile(store, store.PathOf(file), kTopicFile, IfMissing::kFail, kQueryCacheBytes));
  MARQUEE_ASSIGN_OR_RETURN(TopicRow row, ReadTopicRow(database));
  MARQUEE_ASSIGN_OR_RETURN(TopicStatements statements, TopicStatements::Prepare(database));
  return std::shared_ptr<TopicFile>(
      new TopicFile(store, std::move(database), std::move(statements), std::move(row)));
}

TopicFile::TopicFile(const Store& store, sqlite::Database database, TopicStatements statements,
                     TopicRow row)
    : store_(store),
      path_(database.path()),
      spec_(std::move(row.spec)),
      identity_(std::move(row.identity)),
      database_(std::move(database)),
      statements_(std::move(statements)) {
  struct stat found {};
  if (store_.on_system_files() && stat(path_.c_str(), &found) == 0) {
    device_ = found.st_dev;
    inode_ = found.st_ino;
  }
}

TopicInfo TopicFile::Info() const {
  return {.spec = spec_, .identity = identity_, .bytes_on_disk = BytesOnDisk(store_, path_)};
}

absl::StatusOr<sqlite::Database> TopicFile::Connect(int64_t cache_bytes) const {
  MARQUEE_ASSIGN_OR_RETURN(sqlite::Database database,
                           OpenStoreFile(store_, path_, kTopicFile, IfMissing::kFail, cache_bytes));
  MARQUEE_ASSIGN_OR_RETURN(TopicRow row, ReadTopicRow(database));
  if (row.identity != identity_) {
    return absl::DataLossError(
        fmt::format("{}: expected topic {} with identity {}, found {}; the file was "
                    "replaced; restart to take it as it is",
                    path_, spec_.name, identity_, row.identity));
  }
  if (row.deleted) return TopicWasDeleted(spec_.name);
  return database;
}

void TopicFile::Fail(const absl::Status& why) const {
  MutexLock lock(failure_mutex_);
  if (failure_.ok()) failure_ = why;
}

absl::Status TopicFile::CheckPresent() const {
  {
    MutexLock lock(failure_mutex_);
    MARQUEE_RETURN_IF_ERROR(failure_);
  }
  if (!store_.on_system_files()) return absl::OkStatus();
  struct stat found {};
  if (stat(path_.c_str(), &found) == 0 && found.st_dev == device_ && found.st_ino == inode_)
    return absl::OkStatus();
  return absl::FailedPreconditionError(
      fmt::format("{}: the file of topic {} was deleted or replaced while in use; restore it, or "
                  "delete the topic "
                  "and declare it anew",
                  path_, spec_.name));
}

absl::Status TopicFile::CheckNotDeleted(TopicStatements& statements) const {
  MARQUEE_ASSIGN_OR_RETURN(bool deleted, statements.IsDeleted());
  return deleted ? TopicWasDeleted(spec_.name) : absl::OkStatus();
}

absl::StatusOr<bool> TopicFile::IsDeleted() {
  MutexLock lock(mutex_);
  return statements_.IsDeleted();
}

absl::Status TopicFile::MarkDeleted() {
  MutexLock lock(mutex_);
  MARQUEE_ASSIGN_OR_RETURN(sqlite::Transaction transaction,
                           BeginWriting(database_, store_.clock, store_.deadline));
  MARQUEE_RETURN_IF_ERROR(database_.Execute("UPDATE topic SET deleted = 1"));
  return transaction.Commit();
}

absl::Status TopicFile::CheckShard(Shard shard) const {
  if (shard.value() < spec_.shards) return absl::OkStatus();
  return absl::NotFoundError(fmt::format("topic {} has shards 0 to {}, not {}", spec_.name,
                                         spec_.shards - 1, shard.value()));
}

absl::StatusOr<ShardState> TopicFile::ReadShard(Shard shard) {
  MARQUEE_RETURN_IF_ERROR(CheckShard(shard));
  MutexLock lock(mutex_);
  return statements_.ReadShard(shard);
}

absl::StatusOr<Extent> TopicFile::DescribeShard(Shard shard) {
  MARQUEE_ASSIGN_OR_RETURN(ShardState state, ReadShard(shard));
  if (spec_.kind == TopicKind::kEvent) return Extent{state.begin, state.end};
  if (state.records == 0) return Extent{state.end, state.end};
  MutexLock lock(mutex_);
  MARQUEE_ASSIGN_OR_RETURN(
      std::optional<Offset> first,
      statements_.FirstRowNotOlder(shard, std::numeric_limits<int64_t>::min()));
  return Extent{first.value_or(state.end), state.end};
}

absl::StatusOr<int64_t> TopicFile::CountRecords(Shard shard, Offset from) {
  MARQUEE_ASSIGN_OR_RETURN(ShardState state, ReadShard(shard));
  if (from >= state.end) return 0;
  if (spec_.kind == TopicKind::kEvent)
    return state.end.value() - std::max(from, state.begin).value();
  MutexLock lock(mutex_);
  MARQUEE_ASSIGN_OR_RETURN(std::vector<TopicStatements::RowSize> rows,
                           statements_.RowSizes(shard, from, -1));
  int64_t records = 0;
  for (const TopicStatements::RowSize& row : rows) {
    int64_t covered = row.until.value() - OffsetOfRowKey(row.key).value();
    int64_t ahead = row.until.value() - std::max(from, OffsetOfRowKey(row.key)).value();
    // Rounded up: where a record may lie ahead the answer is not 0.
    records += covered == 0 ? 0 : (row.records * ahead + covered - 1) / covered;
  }
  return records;
}

}  // namespace marquee::messaging
