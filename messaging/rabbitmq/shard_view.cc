#include "messaging/rabbitmq/shard_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/status.h"
#include "messaging/pack.h"
#include "messaging/rabbitmq/stream.h"

namespace marquee::messaging::rabbitmq {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(10);
// How often a change of epoch under one's feet is looked around.
constexpr int kAttemptsMax = 50;

std::string StreamOf(const Topic& topic, Shard shard) {
  return EventStreamOf(topic.spec.name, shard, topic.identity);
}

absl::Status TakeNewest(std::string_view body, ShardView* view) {
  MARQUEE_ASSIGN_OR_RETURN(view->newest, ReadHead(body));
  if (view->newest.kind != Kind::kPack) return absl::OkStatus();
  PackDecoder decoder;
  MARQUEE_RETURN_IF_ERROR(decoder.Add(PayloadOf(body), Offset(0)));
  auto records = static_cast<int64_t>(decoder.records().size());
  view->records_a_message = std::max<int64_t>(1, records);
  return absl::OkStatus();
}

// The first message that retention still keeps, if not all are older.
absl::StatusOr<int64_t> FirstYoung(Connection& connection, const std::string& stream,
                                   int64_t last, absl::Time oldest) {
  int64_t found = last + 1;
  MARQUEE_RETURN_IF_ERROR(ReadFrom(
      connection, stream, {From::Place::kFirst}, kPatience,
      [&](StreamMessage message) -> absl::StatusOr<bool> {
        MARQUEE_ASSIGN_OR_RETURN(Head head, ReadHead(message.body));
        if (head.kind == Kind::kPack) {
          MARQUEE_ASSIGN_OR_RETURN(absl::Time newest, NewestOf(PayloadOf(message.body)));
          if (newest >= oldest) {
            found = message.offset;
            return false;
          }
        }
        return message.offset < last;
      }));
  return found;
}

absl::StatusOr<ShardView> ViewEvents(Connection& connection, const Topic& topic, Shard shard,
                                     absl::Time now) {
  std::string stream = StreamOf(topic, shard);
  MARQUEE_ASSIGN_OR_RETURN(StreamMessage first, ReadFirst(connection, stream));
  MARQUEE_ASSIGN_OR_RETURN(Head head, ReadHead(first.body));
  MARQUEE_ASSIGN_OR_RETURN(StreamMessage last, ReadLast(connection, stream));
  ShardView view;
  int64_t begin = head.kind == Kind::kAnchor ? first.offset + 1 : first.offset;
  if (topic.spec.retention != absl::InfiniteDuration()) {
    MARQUEE_ASSIGN_OR_RETURN(
        begin, FirstYoung(connection, stream, last.offset, now - topic.spec.retention));
  }
  view.extent = {ToOffset(0, begin), ToOffset(0, last.offset + 1)};
  MARQUEE_RETURN_IF_ERROR(TakeNewest(last.body, &view));
  return view;
}

// While the next epoch may have begun: where the changes end, on either side of the cut.
absl::StatusOr<Offset> EndAcrossCut(Connection& connection, const Topic& topic, Shard shard,
                                    const ShardState& state, StreamMessage* last) {
  ShardCursor cursor = ShardCursor::OfEntities(topic, shard, state, Offset(state.base));
  MARQUEE_ASSIGN_OR_RETURN(*last, ReadLast(connection, cursor.stream()));
  if (!state.next_begun) return ToOffset(state.base, last->offset + 1);
  MARQUEE_RETURN_IF_ERROR(
      ReadAlong(connection, &cursor, kPatience, [&](const Taken& taken) -> absl::StatusOr<bool> {
        return cursor.epoch() == state.epoch && taken.stream_offset < last->offset;
      }));
  if (cursor.epoch() != state.epoch) {
    MARQUEE_ASSIGN_OR_RETURN(*last, ReadLast(connection, cursor.stream()));
  }
  return ToOffset(cursor.base(), last->offset + 1);
}

absl::StatusOr<ShardView> ViewEntities(Connection& connection, const Topic& topic, Shard shard) {
  const std::string& name = topic.spec.name;
  absl::Status status;
  for (int attempt = 0; attempt < kAttemptsMax; ++attempt) {
    ShardView view;
    MARQUEE_ASSIGN_OR_RETURN(view.state, ReadShardState(connection, name, shard, topic.identity));
    StreamMessage last;
    absl::StatusOr<Offset> end = EndAcrossCut(connection, topic, shard, view.state, &last);
    status = end.status();
    if (!status.ok() && !absl::IsNotFound(status)) return status;
    MARQUEE_ASSIGN_OR_RETURN(ShardState after,
                             ReadShardState(connection, name, shard, topic.identity));
    if (!(after == view.state) || !status.ok()) continue;
    view.extent.begin = view.state.keys > 0 ? view.state.begin : ToOffset(view.state.base, 1);
    view.extent.end = std::max(*end, view.extent.begin);
    MARQUEE_RETURN_IF_ERROR(TakeNewest(last.body, &view));
    return view;
  }
  return absl::UnavailableError(fmt::format(
      "{}/{}: its streams changed {} times while they were looked at; the last error: {}", name,
      shard.value(), kAttemptsMax, std::string(status.message())));
}

absl::Status OutOfRange(const Topic& topic, Shard shard, Offset position, const Extent& extent,
                        std::string_view why) {
  return absl::OutOfRangeError(
      fmt::format("{}/{}: offset {} was asked for, but it holds {} to {}: {}", topic.spec.name,
                  shard.value(), position.value(), extent.begin.value(), extent.end.value(), why));
}

}  // namespace

int64_t ShardView::RecordsBeyond(Offset offset) const {
  if (offset >= extent.end) return 0;
  Offset from = std::max(offset, extent.begin);
  int64_t messages = (extent.end.value() - from.value() + (1 << kIndexBits) - 1) >> kIndexBits;
  return messages * records_a_message;
}

absl::StatusOr<absl::Time> NewestOf(std::string_view pack) {
  PackDecoder decoder;
  MARQUEE_RETURN_IF_ERROR(decoder.Add(pack, Offset(0)));
  absl::Time newest = absl::InfinitePast();
  for (const Record& record : decoder.records()) newest = std::max(newest, record.published);
  return newest;
}

absl::StatusOr<ShardView> ViewShard(Connection& connection, const Topic& topic, Shard shard,
                                    absl::Time now) {
  return topic.spec.kind == TopicKind::kEvent ? ViewEvents(connection, topic, shard, now)
                                              : ViewEntities(connection, topic, shard);
}

absl::StatusOr<ShardCursor> CursorAt(Connection& connection, const Topic& topic, Shard shard,
                                     Offset position, absl::Time now) {
  MARQUEE_ASSIGN_OR_RETURN(ShardView view, ViewShard(connection, topic, shard, now));
  if (position > view.extent.end) {
    return OutOfRange(topic, shard, position, view.extent, "it is beyond the end");
  }
  if (topic.spec.kind == TopicKind::kEvent) {
    // Before the first record of all there is nothing that could be missed.
    bool complete = view.extent.begin <= ToOffset(0, 1);
    if (position < view.extent.begin && !complete) {
      return OutOfRange(topic, shard, position, view.extent, "retention has dropped what was there");
    }
    return ShardCursor::OfEvents(topic, shard, position);
  }
  if (position > view.extent.begin && position < view.state.floor) {
    return OutOfRange(
        topic, shard, position, view.extent,
        fmt::format("deletions below {} were dropped; read from the start", view.state.floor.value()));
  }
  return ShardCursor::OfEntities(topic, shard, view.state, position);
}

absl::StatusOr<ShardCursor> CursorAgain(Connection& connection, const Topic& topic, Shard shard,
                                        Offset position) {
  if (topic.spec.kind == TopicKind::kEvent) return ShardCursor::OfEvents(topic, shard, position);
  MARQUEE_ASSIGN_OR_RETURN(
      ShardState state, ReadShardState(connection, topic.spec.name, shard, topic.identity));
  if (position > state.begin && position < state.floor) {
    return OutOfRange(topic, shard, position, {state.begin, position},
                      fmt::format("deletions below {} were dropped while it was read; read from the "
                                  "start",
                                  state.floor.value()));
  }
  return ShardCursor::OfEntities(topic, shard, state, position);
}

absl::Status ReadAlong(Connection& connection, ShardCursor* cursor, absl::Duration patience,
                       const std::function<absl::StatusOr<bool>(const Taken& taken)>& take) {
  bool more = true;
  while (more) {
    MARQUEE_RETURN_IF_ERROR(ReadFrom(
        connection, cursor->stream(), {From::Place::kOffset, cursor->stream_offset()}, patience,
        [&](StreamMessage message) -> absl::StatusOr<bool> {
          if (message.offset < cursor->stream_offset()) return true;
          MARQUEE_ASSIGN_OR_RETURN(Head head, ReadHead(message.body));
          MARQUEE_ASSIGN_OR_RETURN(ShardCursor::Step step,
                                   cursor->Take(message.offset, head, message.body));
          MARQUEE_ASSIGN_OR_RETURN(more, take({head, message.offset, message.body, step}));
          return more && step != ShardCursor::Step::kMoved;
        }));
  }
  return absl::OkStatus();
}

absl::StatusOr<Offset> FindMessage(Connection& connection, const Topic& topic, Shard shard,
                                   MessageId id, Offset hint, absl::Duration patience,
                                   ShardState* state) {
  bool is_event = topic.spec.kind == TopicKind::kEvent;
  ShardState before;
  if (!is_event) {
    MARQUEE_ASSIGN_OR_RETURN(
        before, ReadShardState(connection, topic.spec.name, shard, topic.identity));
  }
  *state = before;
  // Nearly always it is among the last.
  ShardCursor cursor = is_event ? ShardCursor::OfEvents(topic, shard, hint)
                                : ShardCursor::OfEntities(topic, shard, before, hint);
  if (!before.next_begun && !cursor.in_snapshot()) {
    MARQUEE_ASSIGN_OR_RETURN(std::vector<StreamMessage> chunk,
                             ReadLastChunk(connection, cursor.stream()));
    for (auto message = chunk.rbegin(); message != chunk.rend(); ++message) {
      MARQUEE_ASSIGN_OR_RETURN(Head head, ReadHead(message->body));
      if (MessageId{head.nonce, head.sequence} != id) continue;
      if (is_event) return ToOffset(0, message->offset);
      MARQUEE_ASSIGN_OR_RETURN(
          ShardState after, ReadShardState(connection, topic.spec.name, shard, topic.identity));
      if (after == before) return ToOffset(before.base, message->offset);
      break;
    }
  }
  std::optional<Offset> found;
  MARQUEE_RETURN_IF_ERROR(ReadAlong(connection, &cursor, patience,
                                    [&](const Taken& taken) -> absl::StatusOr<bool> {
                                      if (taken.head.kind != Kind::kPack || cursor.in_snapshot() ||
                                          MessageId{taken.head.nonce, taken.head.sequence} != id) {
                                        return true;
                                      }
                                      found = ToOffset(cursor.base(), taken.stream_offset);
                                      return false;
                                    }));
  return *found;
}

}  // namespace marquee::messaging::rabbitmq
