#include "messaging/sqlite/topic_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/status.h"

namespace marquee::messaging {
namespace {

constexpr int64_t kReaderCacheBytes = 512 << 10;
// A batch ends with the row with which it reaches either.
constexpr size_t kBatchRecords = 4096;
constexpr size_t kBatchPackBytes = 128 << 10;

}  // namespace

absl::StatusOr<std::unique_ptr<TopicReader>> TopicReader::Open(std::shared_ptr<TopicFile> file) {
  MARQUEE_ASSIGN_OR_RETURN(sqlite::Database database, file->Connect(kReaderCacheBytes));
  MARQUEE_ASSIGN_OR_RETURN(TopicStatements statements, TopicStatements::Prepare(database));
  MARQUEE_ASSIGN_OR_RETURN(sqlite::Statement data_version, database.Prepare("PRAGMA data_version"));
  return std::unique_ptr<TopicReader>(new TopicReader(
      std::move(file), std::move(database), std::move(statements), std::move(data_version)));
}

TopicReader::TopicReader(std::shared_ptr<TopicFile> file, sqlite::Database database,
                         TopicStatements statements, sqlite::Statement data_version)
    : file_(std::move(file)),
      database_(std::move(database)),
      statements_(std::move(statements)),
      data_version_(std::move(data_version)),
      states_(file_->spec().shards) {}

absl::Status TopicReader::Refresh() {
  MARQUEE_RETURN_IF_ERROR(file_->CheckPresent());
  MARQUEE_RETURN_IF_ERROR(data_version_.Step().status());
  int64_t version = data_version_.Int(0);
  data_version_.Reset();
  if (version == seen_version_) return absl::OkStatus();
  MARQUEE_RETURN_IF_ERROR(file_->CheckNotDeleted(statements_));
  std::fill(states_.begin(), states_.end(), std::nullopt);
  seen_version_ = version;
  return absl::OkStatus();
}

absl::StatusOr<ShardState> TopicReader::State(Shard shard) {
  std::optional<ShardState>& known = states_[shard.value()];
  if (!known.has_value()) {
    MARQUEE_ASSIGN_OR_RETURN(known, statements_.ReadShard(shard));
  }
  return *known;
}

absl::StatusOr<Offset> TopicReader::Resolve(Shard shard, const StartPosition& start) {
  MARQUEE_RETURN_IF_ERROR(file_->CheckShard(shard));
  MARQUEE_RETURN_IF_ERROR(Refresh());
  MARQUEE_ASSIGN_OR_RETURN(ShardState state, State(shard));
  if (std::holds_alternative<StartPosition::Earliest>(start.at)) return state.begin;
  if (std::holds_alternative<StartPosition::Latest>(start.at)) return state.end;
  if (const auto* since = std::get_if<StartPosition::Since>(&start.at))
    return FirstSince(shard, since->time, state);
  const Position& position = std::get<Position>(start.at);
  if (position.topic_identity != file_->identity()) {
    return absl::FailedPreconditionError(
        fmt::format("topic {}: the position is of a topic with identity {}; this one has {}: it "
                    "was deleted and "
                    "declared anew, or is another broker's; start from the beginning",
                    file_->spec().name, position.topic_identity, file_->identity()));
  }
  MARQUEE_RETURN_IF_ERROR(CheckWithin(shard, position.offset, state));
  return position.offset;
}

absl::Status TopicReader::CheckWithin(Shard shard, Offset offset, const ShardState& state) const {
  if (offset > state.end) {
    return absl::OutOfRangeError(
        fmt::format("{}/{}: asked for offset {}, but the shard ends at {}: {} to {} are beyond the "
                    "end; the log is older than "
                    "the position",
                    file_->spec().name, shard.value(), offset.value(), state.end.value(),
                    state.end.value(), offset.value()));
  }
  if (offset < state.begin || offset.value() < 0) {
    return absl::OutOfRangeError(
        fmt::format("{}/{}: asked for offset {}, but the shard begins at {}: {} to {} are gone by "
                    "retention; start at "
                    "the earliest",
                    file_->spec().name, shard.value(), offset.value(), state.begin.value(),
                    offset.value(), state.begin.value() - 1));
  }
  return absl::OkStatus();
}

absl::StatusOr<Offset> TopicReader::FirstSince(Shard shard, absl::Time time,
                                               const ShardState& state) {
  int64_t ms =
      absl::ToUnixMillis(time + absl::Milliseconds(1) - absl::Nanoseconds(1));  // rounded up
  MARQUEE_ASSIGN_OR_RETURN(std::optional<Offset> from, statements_.FirstRowNotOlder(shard, ms));
  if (!from.has_value()) return state.end;
  PackDecoder decoder;
  MARQUEE_RETURN_IF_ERROR(Read(shard, *from, &decoder).status());
  for (const Record& record : decoder.records()) {
    if (record.published >= time) return record.offset;
  }
  return *from;
}

absl::Status TopicReader::ExplainGap(Shard shard, Offset position) {
  MARQUEE_ASSIGN_OR_RETURN(ShardState state, statements_.ReadShard(shard));
  MARQUEE_RETURN_IF_ERROR(CheckWithin(shard, position, state));
  return absl::DataLossError(
      fmt::format("{}: damaged: the records of shard {} at offset {} are missing; nothing more is "
                  "read there; restore "
                  "the file from a copy",
                  file_->path(), shard.value(), position.value()));
}

absl::Status TopicReader::AddRow(const PackRow& row, PackDecoder* decoder) const {
  size_t before = decoder->records().size();
  MARQUEE_RETURN_IF_ERROR(Annotate(decoder->Add(row.pack, row.from()), file_->path()));
  auto added = static_cast<int64_t>(decoder->records().size() - before);
  bool covered =
      added == row.records && (added == 0 || decoder->records().back().offset < row.until);
  if (covered) return absl::OkStatus();
  return absl::DataLossError(
      fmt::format("{}: damaged: the row at offset {} covers {} records up to {}, its pack has {}",
                  file_->path(), row.from().value(), row.records, row.until.value(), added));
}

absl::StatusOr<Offset> TopicReader::Read(Shard shard, Offset position, PackDecoder* decoder) {
  decoder->Clear();
  // Read before the rows: what ends here must be among them.
  MARQUEE_ASSIGN_OR_RETURN(ShardState state, State(shard));
  TopicStatements::Rows rows = statements_.RowsCovering(shard, position);
  Offset next = position;
  size_t pack_bytes = 0;
  while (decoder->records().size() < kBatchRecords && pack_bytes < kBatchPackBytes) {
    PackRow row;
    MARQUEE_ASSIGN_OR_RETURN(bool found, rows.Next(&row));
    if (!found) {
      if (next < state.end) return ExplainGap(shard, next);
      break;
    }
    if (row.until <= position && next == position) continue;  // the row before the position
    if (next == position ? row.from() > position : row.from() != next)
      return ExplainGap(shard, next);
    MARQUEE_RETURN_IF_ERROR(AddRow(row, decoder));
    pack_bytes += row.pack.size();
    next = row.until;
  }
  return next;
}

}  // namespace marquee::messaging
