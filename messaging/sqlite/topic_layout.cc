#include "messaging/sqlite/topic_layout.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <array>
#include <utility>

#include "base/status.h"
#include "messaging/pack.h"

namespace marquee::messaging {
namespace {

template <size_t N>
int64_t ChecksumOf(const std::array<int64_t, N>& values) {
  return static_cast<int64_t>(XXH3_64bits(values.data(), sizeof values));
}

int64_t ChecksumOf(Shard shard, const ShardState& state) {
  return ChecksumOf(std::array<int64_t, 7>{int64_t{shard.value()}, state.begin.value(),
                                           state.end.value(), state.records, state.bytes,
                                           state.kept_records, state.kept_bytes});
}

absl::Status Damaged(const std::string& path, std::string_view what) {
  return absl::DataLossError(fmt::format(
      "{}: damaged: {}; nothing more is read or written there; restore the file from a copy", path,
      what));
}

}  // namespace

const FileKind kTopicFile = {
    .noun = "topic",
    .application_id = 0x4d515454,  // "MQTT": Marquee topic
    .schema_version = 1,
    .schema = R"(
      CREATE TABLE topic(
        topic TEXT NOT NULL, identity TEXT NOT NULL, kind TEXT NOT NULL, shards INTEGER NOT NULL,
        retention_ms INTEGER, deleted INTEGER NOT NULL);
      CREATE TABLE shards(
        shard INTEGER PRIMARY KEY, begin INTEGER NOT NULL, "end" INTEGER NOT NULL,
        records INTEGER NOT NULL, bytes INTEGER NOT NULL,
        kept_records INTEGER NOT NULL, kept_bytes INTEGER NOT NULL, checksum INTEGER NOT NULL);
      CREATE TABLE packs(
        key INTEGER PRIMARY KEY, until INTEGER NOT NULL, records INTEGER NOT NULL,
        newest_ms INTEGER NOT NULL, checksum INTEGER NOT NULL, pack BLOB NOT NULL);
    )",
};

int64_t PackRow::Checksum() const {
  return ChecksumOf(std::array<int64_t, 5>{key, until.value(), records, newest_ms,
                                           static_cast<int64_t>(PackChecksum(pack))});
}

absl::StatusOr<TopicStatements> TopicStatements::Prepare(sqlite::Database& database) {
  TopicStatements all;
  all.path_ = database.path();
  MARQUEE_ASSIGN_OR_RETURN(all.is_deleted_, database.Prepare("SELECT deleted FROM topic"));
  MARQUEE_ASSIGN_OR_RETURN(
      all.read_shard_,
      database.Prepare(
          "SELECT begin, \"end\", records, bytes, kept_records, kept_bytes, checksum FROM shards "
          "WHERE shard = ?1"));
  MARQUEE_ASSIGN_OR_RETURN(all.write_shard_,
                           database.Prepare("UPDATE shards SET begin = ?2, \"end\" = ?3, records = "
                                            "?4, bytes = ?5, kept_records = ?6, "
                                            "kept_bytes = ?7, checksum = ?8 WHERE shard = ?1"));
  MARQUEE_ASSIGN_OR_RETURN(
      all.rows_from_,
      database.Prepare("SELECT key, until, records, newest_ms, checksum, pack FROM packs "
                       "WHERE key >= ?1 AND key < ?2 ORDER BY key"));
  MARQUEE_ASSIGN_OR_RETURN(
      all.rows_covering_,
      database.Prepare(
          "SELECT key, until, records, newest_ms, checksum, pack FROM packs WHERE key >= coalesce("
          "(SELECT max(key) FROM packs WHERE key >= ?1 AND key <= ?2), ?1) AND key < ?3 ORDER BY "
          "key"));
  MARQUEE_ASSIGN_OR_RETURN(
      all.row_sizes_,
      database.Prepare("SELECT key, until, records, length(pack) FROM packs WHERE key >= ?1 AND "
                       "key < ?2 AND until > ?3 ORDER BY key LIMIT ?4"));
  MARQUEE_ASSIGN_OR_RETURN(
      all.first_not_older_,
      database.Prepare("SELECT key FROM packs WHERE key >= ?1 AND key < ?2 AND "
                       "newest_ms >= ?3 AND records > 0 ORDER BY key LIMIT 1"));
  MARQUEE_ASSIGN_OR_RETURN(all.insert_row_,
                           database.Prepare("INSERT INTO packs VALUES(?1, ?2, ?3, ?4, ?5, ?6)"));
  MARQUEE_ASSIGN_OR_RETURN(all.delete_row_, database.Prepare("DELETE FROM packs WHERE key = ?1"));
  return all;
}

absl::StatusOr<bool> TopicStatements::IsDeleted() {
  MARQUEE_ASSIGN_OR_RETURN(bool found, is_deleted_.Step());
  if (!found) return Damaged(path_, "it does not say which topic it is");
  bool deleted = is_deleted_.Int(0) != 0;
  is_deleted_.Reset();
  return deleted;
}

absl::StatusOr<ShardState> TopicStatements::ReadShard(Shard shard) {
  MARQUEE_ASSIGN_OR_RETURN(bool found, read_shard_.Bind(1, shard.value()).Step());
  if (!found) return Damaged(path_, fmt::format("shard {} has no row", shard.value()));
  ShardState state;
  state.begin = Offset(read_shard_.Int(0));
  state.end = Offset(read_shard_.Int(1));
  state.records = read_shard_.Int(2);
  state.bytes = read_shard_.Int(3);
  state.kept_records = read_shard_.Int(4);
  state.kept_bytes = read_shard_.Int(5);
  bool whole = read_shard_.Int(6) == ChecksumOf(shard, state);
  read_shard_.Reset();
  if (!whole)
    return Damaged(path_,
                   fmt::format("the row of shard {} does not match its checksum", shard.value()));
  return state;
}

absl::Status TopicStatements::WriteShard(Shard shard, const ShardState& state) {
  return write_shard_.Bind(1, shard.value())
      .Bind(2, state.begin.value())
      .Bind(3, state.end.value())
      .Bind(4, state.records)
      .Bind(5, state.bytes)
      .Bind(6, state.kept_records)
      .Bind(7, state.kept_bytes)
      .Bind(8, ChecksumOf(shard, state))
      .Run();
}

absl::StatusOr<bool> TopicStatements::Rows::Next(PackRow* row) {
  MARQUEE_ASSIGN_OR_RETURN(bool found, statement_.Step());
  if (!found) return false;
  row->key = statement_.Int(0);
  row->until = Offset(statement_.Int(1));
  row->records = statement_.Int(2);
  row->newest_ms = statement_.Int(3);
  row->pack = statement_.Blob(5);
  if (statement_.Int(4) != row->Checksum()) {
    return Damaged(path_,
                   fmt::format("the row of shard {} at offset {} does not match its checksum",
                               row->key >> kOffsetBits, row->from().value()));
  }
  return true;
}

TopicStatements::Rows TopicStatements::RowsFrom(Shard shard, Offset first) {
  rows_from_.Reset();
  rows_from_.Bind(1, RowKey(shard, first)).Bind(2, RowKey(shard.next(), Offset(0)));
  return Rows(rows_from_, path_);
}

TopicStatements::Rows TopicStatements::RowsCovering(Shard shard, Offset offset) {
  rows_covering_.Reset();
  rows_covering_.Bind(1, RowKey(shard, Offset(0)))
      .Bind(2, RowKey(shard, offset))
      .Bind(3, RowKey(shard.next(), Offset(0)));
  return Rows(rows_covering_, path_);
}

absl::StatusOr<std::vector<TopicStatements::RowSize>> TopicStatements::RowSizes(Shard shard,
                                                                                Offset offset,
                                                                                int64_t limit) {
  row_sizes_.Bind(1, RowKey(shard, Offset(0)))
      .Bind(2, RowKey(shard.next(), Offset(0)))
      .Bind(3, offset.value())
      .Bind(4, limit);
  std::vector<RowSize> sizes;
  while (true) {
    MARQUEE_ASSIGN_OR_RETURN(bool found, row_sizes_.Step());
    if (!found) return sizes;
    sizes.push_back(
        {row_sizes_.Int(0), Offset(row_sizes_.Int(1)), row_sizes_.Int(2), row_sizes_.Int(3)});
  }
}

absl::StatusOr<std::optional<Offset>> TopicStatements::FirstRowNotOlder(Shard shard, int64_t ms) {
  first_not_older_.Bind(1, RowKey(shard, Offset(0)))
      .Bind(2, RowKey(shard.next(), Offset(0)))
      .Bind(3, ms);
  MARQUEE_ASSIGN_OR_RETURN(bool found, first_not_older_.Step());
  std::optional<Offset> from;
  if (found) from = OffsetOfRowKey(first_not_older_.Int(0));
  first_not_older_.Reset();
  return from;
}

absl::Status TopicStatements::InsertRow(const PackRow& row) {
  absl::Status status = insert_row_.Bind(1, row.key)
                            .Bind(2, row.until.value())
                            .Bind(3, row.records)
                            .Bind(4, row.newest_ms)
                            .Bind(5, row.Checksum())
                            .BindBlob(6, row.pack)
                            .Run();
  if (!absl::IsAlreadyExists(status)) return status;
  return Damaged(path_,
                 fmt::format("there are records of shard {} at offset {}, beyond its recorded end",
                             row.key >> kOffsetBits, row.from().value()));
}

absl::Status TopicStatements::DeleteRow(int64_t key) { return delete_row_.Bind(1, key).Run(); }

absl::StatusOr<TopicRow> ReadTopicRow(sqlite::Database& database) {
  MARQUEE_ASSIGN_OR_RETURN(
      sqlite::Statement select,
      database.Prepare("SELECT topic, identity, kind, shards, retention_ms, deleted FROM topic"));
  MARQUEE_ASSIGN_OR_RETURN(bool found, select.Step());
  if (!found) return Damaged(database.path(), "it does not say which topic it is");
  TopicRow row;
  row.spec.name = std::string(select.Text(0));
  row.identity = std::string(select.Text(1));
  row.spec.kind = select.Text(2) == "entity" ? TopicKind::kEntity : TopicKind::kEvent;
  row.spec.shards = static_cast<uint32_t>(select.Int(3));
  row.spec.retention =
      select.IsNull(4) ? absl::InfiniteDuration() : absl::Milliseconds(select.Int(4));
  row.deleted = select.Int(5) != 0;
  if (row.spec.shards == 0 || row.spec.shards > kShardsMax) {
    return Damaged(database.path(), fmt::format("it says that it has {} shards", row.spec.shards));
  }
  return row;
}

absl::Status WriteTopicRow(sqlite::Database& database, const TopicSpec& spec,
                           const TopicIdentity& identity) {
  MARQUEE_ASSIGN_OR_RETURN(sqlite::Transaction transaction, sqlite::Transaction::Begin(database));
  {
    MARQUEE_ASSIGN_OR_RETURN(sqlite::Statement insert,
                             database.Prepare("INSERT INTO topic VALUES(?1, ?2, ?3, ?4, ?5, 0)"));
    insert.BindText(1, spec.name)
        .BindText(2, identity)
        .BindText(3, spec.kind == TopicKind::kEntity ? "entity" : "event")
        .Bind(4, spec.shards);
    if (spec.retention != absl::InfiniteDuration())
      insert.Bind(5, absl::ToInt64Milliseconds(spec.retention));
    MARQUEE_RETURN_IF_ERROR(insert.Run());
    MARQUEE_ASSIGN_OR_RETURN(
        sqlite::Statement shard,
        database.Prepare("INSERT INTO shards VALUES(?1, 0, 0, 0, 0, 0, 0, ?2)"));
    for (uint32_t i = 0; i < spec.shards; ++i) {
      MARQUEE_RETURN_IF_ERROR(shard.Bind(1, i).Bind(2, ChecksumOf(Shard(i), ShardState())).Run());
    }
  }
  return transaction.Commit();
}

}  // namespace marquee::messaging
