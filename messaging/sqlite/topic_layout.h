// What a topic's file holds. docs/formats.md shows it to people.
//
// Each shard is a row of `shards` and a chain of rows of `packs`: a row covers the offsets from its
// own to `until` (exclusive), and the next row begins where it ends, so that a row that is missing
// is seen. In an event topic a pack holds a record for each offset that it covers; in an entity
// topic compaction takes superseded records out and merges rows, and the chain stays whole.
//
// Every row carries a checksum over its own columns, because SQLite has none of its own.
#ifndef MARQUEE_MESSAGING_SQLITE_TOPIC_LAYOUT_H_
#define MARQUEE_MESSAGING_SQLITE_TOPIC_LAYOUT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/sqlite/database.h"
#include "messaging/broker.h"
#include "messaging/record.h"
#include "messaging/sqlite/store.h"

namespace marquee::messaging {

extern const FileKind kTopicFile;
// Of event topics: a full pack has 50 to 100 KB, and each page of it costs the same on its way.
// Entity topics are written in small pieces, and compacted.
inline constexpr int64_t kEventPageBytes = 16384;

// The key of a row of `packs`: the shard above, the first offset that the row covers below.
inline constexpr int kOffsetBits = 50;
inline constexpr int64_t kOffsetsPerShardMax = int64_t{1} << kOffsetBits;
inline int64_t RowKey(Shard shard, Offset offset) {
  return static_cast<int64_t>(shard.value()) << kOffsetBits | offset.value();
}
inline Offset OffsetOfRowKey(int64_t key) { return Offset(key & (kOffsetsPerShardMax - 1)); }

// A row of `shards`.
struct ShardState {
  Offset begin;  // event topics: retention has dropped what is below
  Offset end;
  int64_t records = 0;       // in packs now
  int64_t bytes = 0;         // of packs now
  int64_t kept_records = 0;  // after the last compaction
  int64_t kept_bytes = 0;
  friend bool operator==(const ShardState&, const ShardState&) = default;
};

// A row of `packs`. Borrows the pack.
struct PackRow {
  int64_t key = 0;
  Offset until;
  int64_t records = 0;
  int64_t newest_ms = 0;
  std::string_view pack;

  Offset from() const { return OffsetOfRowKey(key); }
  int64_t Checksum() const;
};

// The statements that both readers and writers use, on one connection.
class TopicStatements {
 public:
  static absl::StatusOr<TopicStatements> Prepare(sqlite::Database& database);

  absl::StatusOr<bool> IsDeleted();
  // kDataLoss: not as written.
  absl::StatusOr<ShardState> ReadShard(Shard shard);
  absl::Status WriteShard(Shard shard, const ShardState& state);

  // Rows in order of offset, from the first whose key is at least `key`, within its shard.
  class Rows {
   public:
    // False at the end. Checked: a row that is not as written is kDataLoss. `row` borrows until the
    // next call.
    absl::StatusOr<bool> Next(PackRow* row);
    ~Rows() { statement_.Reset(); }
    Rows(const Rows&) = delete;

   private:
    friend class TopicStatements;
    Rows(sqlite::Statement& statement, const std::string& path)
        : statement_(statement), path_(path) {}
    sqlite::Statement& statement_;
    const std::string& path_;
  };
  Rows RowsFrom(Shard shard, Offset first);
  // The rows that cover `offset` and what follows; from the first of the shard where none covers
  // it.
  Rows RowsCovering(Shard shard, Offset offset);
  // A row without its pack, which is not read: nothing but the database vouches for the numbers.
  struct RowSize {
    int64_t key = 0;
    Offset until;
    int64_t records = 0;
    int64_t bytes = 0;  // of the pack
  };
  // Of the rows that end after `offset`, in order, at most `limit` (all: -1).
  absl::StatusOr<std::vector<RowSize>> RowSizes(Shard shard, Offset offset, int64_t limit);
  // The first row whose newest record is not older than `ms`: its first offset. nullopt where there
  // is none.
  absl::StatusOr<std::optional<Offset>> FirstRowNotOlder(Shard shard, int64_t ms);
  absl::Status InsertRow(const PackRow& row);
  absl::Status DeleteRow(int64_t key);

  const std::string& path() const { return path_; }

 private:
  std::string path_;
  sqlite::Statement is_deleted_;
  sqlite::Statement read_shard_;
  sqlite::Statement write_shard_;
  sqlite::Statement rows_from_;
  sqlite::Statement rows_covering_;
  sqlite::Statement row_sizes_;
  sqlite::Statement first_not_older_;
  sqlite::Statement insert_row_;
  sqlite::Statement delete_row_;
};

// The row of `topic`.
struct TopicRow {
  TopicSpec spec;
  TopicIdentity identity;
  bool deleted = false;
};
absl::StatusOr<TopicRow> ReadTopicRow(sqlite::Database& database);
// Fills a new file. Durable once the database is closed.
absl::Status WriteTopicRow(sqlite::Database& database, const TopicSpec& spec,
                           const TopicIdentity& identity);

}  // namespace marquee::messaging

#endif  // MARQUEE_MESSAGING_SQLITE_TOPIC_LAYOUT_H_
