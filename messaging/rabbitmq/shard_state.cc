#include "messaging/rabbitmq/shard_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "base/random.h"
#include "base/status.h"
#include "messaging/rabbitmq/follow.h"
#include "messaging/rabbitmq/message.h"
#include "messaging/rabbitmq/stream.h"

namespace marquee::messaging::rabbitmq {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(10);
// Each entry says all, so retention may drop those before the last segment.
constexpr int64_t kStateSegmentBytes = 1 << 20;
constexpr int64_t kStateBytesMax = 2 << 20;
// Messages in which the newest entry is sure to be found nearly always; else it looks further back.
constexpr int64_t kEntriesBack = 16;

// What a state stream's last message says, if it is an entry that surely counts: its writer had
// read all that is before it.
absl::StatusOr<std::optional<ShardState>> IfAlone(const StreamMessage& last) {
  MARQUEE_ASSIGN_OR_RETURN(Head head, ReadHead(last.body));
  bool is_alone = last.offset == 0 || head.sequence == static_cast<uint64_t>(last.offset);
  if (head.kind != Kind::kEntry || !is_alone) return std::nullopt;
  return ShardState::FromText(PayloadOf(last.body));
}

}  // namespace

std::string ShardState::ToText() const {
  return fmt::format("state\t{}\t{}\t{}\t{}\t{}\t{}\t{}", epoch, base, begin.value(), floor.value(),
                     keys, static_cast<int>(next), end.value());
}

absl::StatusOr<ShardState> ShardState::FromText(std::string_view text) {
  std::vector<std::string> words =
      absl::StrSplit(absl::string_view(text.data(), text.size()), '\t');
  ShardState state;
  int64_t begin = 0, floor = 0, end = 0;
  int next = 0;
  if (words.size() != 8 || words[0] != "state" || !absl::SimpleAtoi(words[1], &state.epoch) ||
      !absl::SimpleAtoi(words[2], &state.base) || !absl::SimpleAtoi(words[3], &begin) ||
      !absl::SimpleAtoi(words[4], &floor) || !absl::SimpleAtoi(words[5], &state.keys) ||
      !absl::SimpleAtoi(words[6], &next) || next < 0 || next > 2 ||
      !absl::SimpleAtoi(words[7], &end)) {
    return absl::DataLossError(
        "expected the state of an entity topic's shard, version 1, found something else; a later "
        "version may have written it");
  }
  state.begin = Offset(begin);
  state.floor = Offset(floor);
  state.next = static_cast<Next>(next);
  state.end = Offset(end);
  return state;
}

bool ShardStateFold::Take(int64_t offset, const Head& head, const ShardState& state) {
  auto had_read_to = static_cast<int64_t>(head.sequence);
  if (newest_.has_value() && had_read_to > 0 && had_read_to <= newest_at_) return false;
  bool is_sure = from_ == 0 || had_read_to == 0 || had_read_to >= from_;
  if (!newest_.has_value() && (!is_sure || (had_read_to > 0 && had_read_to <= unsure_at_))) {
    unsure_at_ = offset;
    return false;
  }
  newest_ = state;
  newest_at_ = offset;
  return true;
}

absl::Status MakeShardState(Connection& connection, std::string_view topic, Shard shard,
                            std::string_view identity) {
  std::string stream = StateStreamOf(topic, shard, identity);
  MARQUEE_RETURN_IF_ERROR(connection.DeclareStream(
      stream, {.segment_bytes = kStateSegmentBytes, .max_bytes = kStateBytesMax}));
  // Written again, it does not count where others follow.
  Head first{.kind = Kind::kEntry, .sequence = 1};
  return Append(connection, stream, {MakeMessage(first, ShardState().ToText())}, kPatience);
}

absl::StatusOr<ShardState> ReadShardState(Connection& connection, std::string_view topic,
                                          Shard shard, std::string_view identity) {
  MARQUEE_ASSIGN_OR_RETURN(StreamMessage last,
                           ReadLast(connection, StateStreamOf(topic, shard, identity)));
  MARQUEE_ASSIGN_OR_RETURN(std::optional<ShardState> alone, IfAlone(last));
  if (alone.has_value()) return *alone;
  return ShardStateWriter(connection, {topic, shard, identity}).Read();
}

absl::StatusOr<std::vector<ShardState>> ReadShardStates(Connection& connection,
                                                        std::span<const ShardOfTopic> shards) {
  std::vector<std::string> streams;
  for (const ShardOfTopic& shard : shards) {
    streams.push_back(StateStreamOf(shard.topic, shard.shard, shard.identity));
  }
  MARQUEE_ASSIGN_OR_RETURN(auto chunks, LastChunks(connection, streams));
  std::vector<ShardState> states;
  for (size_t i = 0; i < shards.size(); ++i) {
    std::optional<ShardState> last;
    if (!chunks[i].empty()) {
      MARQUEE_ASSIGN_OR_RETURN(last, IfAlone(chunks[i].back()));
    }
    if (!last.has_value()) {
      MARQUEE_ASSIGN_OR_RETURN(last, ShardStateWriter(connection, shards[i]).Read());
    }
    states.push_back(*last);
  }
  return states;
}

ShardStateWriter::ShardStateWriter(Connection& connection, const ShardOfTopic& shard)
    : connection_(connection), stream_(StateStreamOf(shard.topic, shard.shard, shard.identity)) {}

absl::StatusOr<ShardState> ShardStateWriter::Read() {
  MARQUEE_ASSIGN_OR_RETURN(StreamMessage last, ReadLast(connection_, stream_));
  read_to_ = last.offset + 1;
  // Behind the newest entry that counts there may be some that do not, and nudges.
  for (int64_t back = kEntriesBack; true; back *= 2) {
    int64_t from = std::max<int64_t>(0, last.offset - back);
    fold_ = ShardStateFold(from);
    auto take = [&](const StreamMessage& message) -> absl::StatusOr<bool> {
      MARQUEE_ASSIGN_OR_RETURN(Head head, ReadHead(message.body));
      if (head.kind == Kind::kEntry) {
        MARQUEE_ASSIGN_OR_RETURN(ShardState state, ShardState::FromText(PayloadOf(message.body)));
        fold_.Take(message.offset, head, state);
      }
      return message.offset < last.offset;
    };
    MARQUEE_RETURN_IF_ERROR(
        ReadFrom(connection_, stream_, {From::Place::kOffset, from}, kPatience, take));
    if (fold_.newest().has_value()) return *fold_.newest();
    if (from == 0) break;
  }
  return absl::DataLossError(fmt::format("the stream {} holds no entry", stream_));
}

absl::Status ShardStateWriter::Write(const ShardState& state) {
  MARQUEE_CHECK(read_to_ > 0);
  Head mine{.kind = Kind::kEntry,
            .nonce = Random::FromSystem().Next(),
            .sequence = static_cast<uint64_t>(read_to_)};
  MARQUEE_RETURN_IF_ERROR(
      Append(connection_, stream_, {MakeMessage(mine, state.ToText())}, kPatience));
  bool counts = false;
  auto take = [&](const StreamMessage& message) -> absl::StatusOr<bool> {
    if (message.offset < read_to_) return true;
    read_to_ = message.offset + 1;
    MARQUEE_ASSIGN_OR_RETURN(Head head, ReadHead(message.body));
    if (head.kind != Kind::kEntry) return true;
    MARQUEE_ASSIGN_OR_RETURN(ShardState read, ShardState::FromText(PayloadOf(message.body)));
    counts = fold_.Take(message.offset, head, read);
    return head != mine;
  };
  auto read_on = [&](absl::Duration patience) {
    From last_read{From::Place::kOffset, read_to_ - 1};
    return ReadFrom(connection_, stream_, last_read, patience, take);
  };
  absl::Status read = read_on(kNudgeAfter);
  if (absl::IsDeadlineExceeded(read)) {
    MARQUEE_RETURN_IF_ERROR(Nudge(connection_, kLookChannel, stream_));
    read = read_on(kPatience);
  }
  MARQUEE_RETURN_IF_ERROR(read);
  if (counts) return absl::OkStatus();
  return absl::AbortedError(fmt::format("another writer of the stream {} came first", stream_));
}

absl::Status DeleteShardStreams(Connection& connection, std::string_view topic, Shard shard,
                                std::string_view identity) {
  absl::StatusOr<ShardState> state = ReadShardState(connection, topic, shard, identity);
  if (absl::IsNotFound(state.status())) return absl::OkStatus();
  MARQUEE_RETURN_IF_ERROR(state.status());
  uint64_t first = state->epoch == 0 ? 0 : state->epoch - 1;
  for (uint64_t epoch = first; epoch <= state->epoch + 1; ++epoch) {
    MARQUEE_RETURN_IF_ERROR(connection.DeleteQueue(EpochStreamOf(topic, shard, identity, epoch)));
    MARQUEE_RETURN_IF_ERROR(
        connection.DeleteQueue(SnapshotStreamOf(topic, shard, identity, epoch)));
  }
  return connection.DeleteQueue(StateStreamOf(topic, shard, identity));
}

}  // namespace marquee::messaging::rabbitmq
