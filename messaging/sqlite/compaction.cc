#include "messaging/sqlite/compaction.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <utility>

#include "absl/container/flat_hash_set.h"
#include "base/digest.h"
#include "base/random.h"
#include "base/status.h"

namespace marquee::messaging {
namespace {

// Rows are rewritten together up to about this size, so that many small ones become few.
constexpr int64_t kGroupRecords = 4096;
constexpr int64_t kGroupBytes = 128 << 10;
constexpr size_t kPackRawBytes = size_t{256} << 10;
// As many whole rows are merged even where none of their records goes.
constexpr size_t kMergeRowsMin = 4;

}  // namespace

bool NeedsCompaction(const ShardState& state) {
  return state.records > 2 * state.kept_records + kCompactionSlackRecords ||
         state.bytes > 2 * state.kept_bytes + kCompactionSlackBytes;
}

// Keys by 128-bit digest, seeded afresh each time, so that nobody can prepare two keys that look
// equal.
class Compaction::SeenKeys {
 public:
  SeenKeys() : seed_(Random::FromSystem().Next()) {}
  // False where it was seen before.
  bool Insert(std::string_view key) {
    XXH128_hash_t hash = XXH3_128bits_withSeed(key.data(), key.size(), seed_);
    return seen_.insert({hash.high64, hash.low64}).second;
  }

 private:
  const uint64_t seed_;
  absl::flat_hash_set<std::pair<uint64_t, uint64_t>> seen_;
};

// Neighbouring rows, in order.
struct Compaction::Group {
  Shard shard;
  std::span<const TopicStatements::RowSize> rows;
  Offset from() const { return OffsetOfRowKey(rows.front().key); }
  Offset until() const { return rows.back().until; }
};

absl::Status Compaction::Run(Shard shard, int64_t tombstones_before_ms, ShardState* state) {
  MARQUEE_ASSIGN_OR_RETURN(std::vector<TopicStatements::RowSize> rows,
                           statements_.RowSizes(shard, Offset(0), /*limit=*/-1));
  SeenKeys seen;
  records_ = bytes_ = 0;
  // From the newest to the oldest: what was seen before is newer.
  size_t end = rows.size();
  while (end > 0) {
    size_t begin = end - 1;
    int64_t records = rows[begin].records;
    int64_t bytes = rows[begin].bytes;
    while (begin > 0 && records + rows[begin - 1].records <= kGroupRecords &&
           bytes + rows[begin - 1].bytes <= kGroupBytes) {
      --begin;
      records += rows[begin].records;
      bytes += rows[begin].bytes;
    }
    Group group{shard, std::span(rows).subspan(begin, end - begin)};
    MARQUEE_RETURN_IF_ERROR(CompactGroup(group, tombstones_before_ms, seen));
    end = begin;
  }
  decoder_.Clear();
  state->records = state->kept_records = records_;
  state->bytes = state->kept_bytes = bytes_;
  return absl::OkStatus();
}

absl::Status Compaction::CompactGroup(const Group& group, int64_t tombstones_before_ms,
                                      SeenKeys& seen) {
  MARQUEE_RETURN_IF_ERROR(ReadGroup(group));
  std::span<const Record> records = decoder_.records();
  std::vector<bool> keeps(records.size());
  absl::Time tombstones_before = absl::FromUnixMillis(tombstones_before_ms);
  size_t kept = 0;
  for (size_t i = records.size(); i-- > 0;) {
    bool newest = seen.Insert(records[i].key);
    keeps[i] =
        newest && (records[i].value.has_value() || records[i].published >= tombstones_before);
    kept += keeps[i] ? 1 : 0;
  }
  if (kept == records.size() && group.rows.size() < kMergeRowsMin) {
    for (const TopicStatements::RowSize& row : group.rows) {
      records_ += row.records;
      bytes_ += row.bytes;
    }
    return absl::OkStatus();
  }
  return WriteGroup(group, keeps);
}

absl::Status Compaction::ReadGroup(const Group& group) {
  decoder_.Clear();
  TopicStatements::Rows rows = statements_.RowsFrom(group.shard, group.from());
  for (const TopicStatements::RowSize& expected : group.rows) {
    PackRow row;
    MARQUEE_ASSIGN_OR_RETURN(bool found, rows.Next(&row));
    if (!found || row.key != expected.key) {
      return absl::DataLossError(
          fmt::format("{}: damaged: rows of shard {} are missing at offset {}", statements_.path(),
                      group.shard.value(), OffsetOfRowKey(expected.key).value()));
    }
    MARQUEE_RETURN_IF_ERROR(Annotate(decoder_.Add(row.pack, row.from()), statements_.path()));
  }
  return absl::OkStatus();
}

absl::Status Compaction::WriteGroup(const Group& group, const std::vector<bool>& keeps) {
  for (const TopicStatements::RowSize& row : group.rows) {
    MARQUEE_RETURN_IF_ERROR(statements_.DeleteRow(row.key));
  }
  std::span<const Record> records = decoder_.records();
  Offset from = group.from();
  Offset next = from;  // after the last record that was added
  for (size_t i = 0; i < records.size(); ++i) {
    if (!keeps[i]) continue;
    const Record& record = records[i];
    if (encoder_.raw_bytes() >= kPackRawBytes) {
      MARQUEE_RETURN_IF_ERROR(WritePack(group.shard, from, record.offset));
      from = next = record.offset;
    }
    encoder_.Add(record.key, record.value, record.headers, absl::ToUnixMillis(record.published),
                 static_cast<uint64_t>(record.offset.value() - next.value()));
    next = record.offset.next();
  }
  return WritePack(group.shard, from, group.until());
}

absl::Status Compaction::WritePack(Shard shard, Offset from, Offset until) {
  PackRow row{.key = RowKey(shard, from),
              .until = until,
              .records = encoder_.records(),
              .newest_ms = 0,
              .pack = {}};
  if (!encoder_.empty()) row.newest_ms = encoder_.newest_ms();
  pack_.clear();
  encoder_.Finish(compressor_, &pack_);
  row.pack = pack_;
  records_ += row.records;
  bytes_ += static_cast<int64_t>(pack_.size());
  return statements_.InsertRow(row);
}

}  // namespace marquee::messaging
