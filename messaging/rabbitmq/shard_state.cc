#include "messaging/rabbitmq/shard_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
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

}  // namespace

std::string ShardState::ToText() const {
  return fmt::format("state\t{}\t{}\t{}\t{}\t{}\t{}\t{}", epoch, base, begin.value(), floor.value(),
                     keys, next_begun ? 1 : 0, end.value());
}

absl::StatusOr<ShardState> ShardState::FromText(std::string_view text) {
  std::vector<std::string> words =
      absl::StrSplit(absl::string_view(text.data(), text.size()), '\t');
  ShardState state;
  int64_t begin = 0, floor = 0, end = 0;
  int begun = 0;
  if (words.size() != 8 || words[0] != "state" || !absl::SimpleAtoi(words[1], &state.epoch) ||
      !absl::SimpleAtoi(words[2], &state.base) || !absl::SimpleAtoi(words[3], &begin) ||
      !absl::SimpleAtoi(words[4], &floor) || !absl::SimpleAtoi(words[5], &state.keys) ||
      !absl::SimpleAtoi(words[6], &begun) || !absl::SimpleAtoi(words[7], &end)) {
    return absl::DataLossError(
        "expected the state of an entity topic's shard, version 1, found something else; a later "
        "version may have written it");
  }
  state.begin = Offset(begin);
  state.floor = Offset(floor);
  state.next_begun = begun != 0;
  state.end = Offset(end);
  return state;
}

absl::Status MakeShardState(Connection& connection, std::string_view topic, Shard shard,
                            std::string_view identity) {
  std::string stream = StateStreamOf(topic, shard, identity);
  MARQUEE_RETURN_IF_ERROR(connection.DeclareStream(
      stream, {.segment_bytes = kStateSegmentBytes, .max_bytes = kStateBytesMax}));
  return WriteShardState(connection, topic, shard, identity, ShardState());
}

absl::StatusOr<ShardState> ReadShardState(Connection& connection, std::string_view topic,
                                          Shard shard, std::string_view identity) {
  std::string stream = StateStreamOf(topic, shard, identity);
  MARQUEE_ASSIGN_OR_RETURN(StreamMessage last, ReadLast(connection, stream));
  // Behind the newest entry there may be some that say nothing.
  int64_t end = last.offset;
  for (int64_t from = end; true; from = std::max<int64_t>(0, 2 * from - end - 1)) {
    std::optional<std::string> newest;
    auto take = [&](StreamMessage message) -> absl::StatusOr<bool> {
      MARQUEE_ASSIGN_OR_RETURN(Head head, ReadHead(message.body));
      if (head.kind == Kind::kEntry) newest = std::move(message.body);
      return message.offset < end;
    };
    if (from == end) {
      MARQUEE_RETURN_IF_ERROR(take(last).status());
    } else {
      MARQUEE_RETURN_IF_ERROR(
          ReadFrom(connection, stream, {From::Place::kOffset, from}, kPatience, take));
    }
    if (newest.has_value()) return ShardState::FromText(PayloadOf(*newest));
    if (from == 0) break;
  }
  return absl::DataLossError(fmt::format("the stream {} holds no entry", stream));
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
    std::optional<ShardState> newest;
    for (const StreamMessage& message : chunks[i]) {
      MARQUEE_ASSIGN_OR_RETURN(Head head, ReadHead(message.body));
      if (head.kind != Kind::kEntry) continue;
      MARQUEE_ASSIGN_OR_RETURN(newest, ShardState::FromText(PayloadOf(message.body)));
    }
    if (!newest.has_value()) {
      MARQUEE_ASSIGN_OR_RETURN(
          newest, ReadShardState(connection, shards[i].topic, shards[i].shard, shards[i].identity));
    }
    states.push_back(*newest);
  }
  return states;
}

absl::Status WriteShardState(Connection& connection, std::string_view topic, Shard shard,
                             std::string_view identity, const ShardState& state) {
  return Append(connection, StateStreamOf(topic, shard, identity),
                {MakeMessage({.kind = Kind::kEntry}, state.ToText())}, kPatience);
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
