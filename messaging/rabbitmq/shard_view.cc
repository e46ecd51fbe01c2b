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
  MARQUEE_ASSIGN_OR_RETURN(Head head, ReadHead(body));
  if (head.kind != Kind::kPack) return absl::OkStatus();
  PackDecoder decoder;
  MARQUEE_RETURN_IF_ERROR(decoder.Add(PayloadOf(body), Offset(0)));
  auto records = static_cast<int64_t>(decoder.records().size());
  view->records_a_message = std::max<int64_t>(1, records);
  return absl::OkStatus();
}

// The first message that retention still keeps, if not all are older.
absl::StatusOr<int64_t> FirstYoung(Connection& connection, const std::string& stream, int64_t last,
                                   absl::Time oldest) {
  int64_t found = last + 1;
  MARQUEE_RETURN_IF_ERROR(ReadFrom(connection, stream, {From::Place::kFirst}, kPatience,
                                   [&](StreamMessage message) -> absl::StatusOr<bool> {
                                     MARQUEE_ASSIGN_OR_RETURN(Head head, ReadHead(message.body));
                                     if (head.kind == Kind::kPack) {
                                       MARQUEE_ASSIGN_OR_RETURN(absl::Time newest,
                                                                NewestOf(PayloadOf(message.body)));
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

// Where the changes end: in the state's epoch, or in the next where there is a cut. The cursor is
// in the one or the other then.
absl::StatusOr<StreamMessage> LastAcrossCut(Connection& connection, const ShardState& state,
                                            ShardCursor* cursor) {
  MARQUEE_ASSIGN_OR_RETURN(StreamMessage last, ReadLast(connection, cursor->stream()));
  if (!state.next_begun) return last;
  MARQUEE_RETURN_IF_ERROR(
      ReadAlong(connection, cursor, kPatience, [&](const Taken& taken) -> absl::StatusOr<bool> {
        return cursor->epoch() == state.epoch && taken.stream_offset < last.offset;
      }));
  if (cursor->epoch() == state.epoch) return last;
  return ReadLast(connection, cursor->stream());
}

// A cursor at `position`, wherever in the epochs that the state speaks of that is.
absl::StatusOr<ShardCursor> FindCursor(Connection& connection, const Topic& topic, Shard shard,
                                       const ShardState& state, Offset position) {
  if (state.next_begun && position.value() >= state.base) {
    ShardCursor cursor = ShardCursor::OfEntities(topic, shard, state, Offset(state.base));
    MARQUEE_RETURN_IF_ERROR(LastAcrossCut(connection, state, &cursor).status());
    if (cursor.epoch() != state.epoch && position.value() >= cursor.base()) {
      cursor.SkipTo(position);
      return cursor;
    }
  }
  ShardCursor cursor = ShardCursor::OfEntities(topic, shard, state, position);
  if (cursor.in_snapshot()) return cursor;
  MARQUEE_ASSIGN_OR_RETURN(StreamMessage last, ReadLast(connection, cursor.stream()));
  if (position <= ToOffset(state.base, last.offset + 1) ||
      position.value() - state.base < kEpochGap) {
    return cursor;
  }
  return absl::UnavailableError(
      fmt::format("{}/{}: position {} is of a later epoch than this node knows of: {}",
                  topic.spec.name, shard.value(), position.value(), state.epoch));
}

absl::StatusOr<ShardCursor> CursorIn(Connection& connection, const Topic& topic, Shard shard,
                                     const ShardState& state, Offset position) {
  absl::StatusOr<ShardCursor> cursor = FindCursor(connection, topic, shard, state, position);
  if (!absl::IsNotFound(cursor.status())) return cursor;
  return absl::UnavailableError(fmt::format("{}/{}: an epoch ends at this moment: {}",
                                            topic.spec.name, shard.value(),
                                            std::string(cursor.status().message())));
}

absl::StatusOr<ShardView> ViewEntities(Connection& connection, const Topic& topic, Shard shard) {
  const std::string& name = topic.spec.name;
  absl::Status status;
  for (int attempt = 0; attempt < kAttemptsMax; ++attempt) {
    ShardView view;
    MARQUEE_ASSIGN_OR_RETURN(view.state, ReadShardState(connection, name, shard, topic.identity));
    ShardCursor cursor = ShardCursor::OfEntities(topic, shard, view.state, Offset(view.state.base));
    absl::StatusOr<StreamMessage> last = LastAcrossCut(connection, view.state, &cursor);
    status = last.status();
    if (!status.ok() && !absl::IsNotFound(status)) return status;
    MARQUEE_ASSIGN_OR_RETURN(ShardState after,
                             ReadShardState(connection, name, shard, topic.identity));
    if (!(after == view.state) || !status.ok()) continue;
    view.extent.begin = view.state.keys > 0 ? view.state.begin : ToOffset(view.state.base, 1);
    view.extent.end = std::max(ToOffset(cursor.base(), last->offset + 1), view.extent.begin);
    MARQUEE_RETURN_IF_ERROR(TakeNewest(last->body, &view));
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
      return OutOfRange(topic, shard, position, view.extent,
                        "retention has dropped what was there");
    }
    return ShardCursor::OfEvents(topic, shard, position);
  }
  if (position > view.extent.begin && position < view.state.floor) {
    return OutOfRange(topic, shard, position, view.extent,
                      fmt::format("deletions below {} were dropped; read from the start",
                                  view.state.floor.value()));
  }
  return CursorIn(connection, topic, shard, view.state, position);
}

absl::StatusOr<ShardCursor> CursorAgain(Connection& connection, const Topic& topic, Shard shard,
                                        Offset position) {
  if (topic.spec.kind == TopicKind::kEvent) return ShardCursor::OfEvents(topic, shard, position);
  MARQUEE_ASSIGN_OR_RETURN(ShardState state,
                           ReadShardState(connection, topic.spec.name, shard, topic.identity));
  if (position > state.begin && position < state.floor) {
    return OutOfRange(
        topic, shard, position, {state.begin, position},
        fmt::format("deletions below {} were dropped while it was read; read from the "
                    "start",
                    state.floor.value()));
  }
  return CursorIn(connection, topic, shard, state, position);
}

absl::Status ReadAlong(Connection& connection, ShardCursor* cursor, absl::Duration patience,
                       const std::function<absl::StatusOr<bool>(const Taken& taken)>& take) {
  bool more = true;
  while (more) {
    MARQUEE_RETURN_IF_ERROR(
        ReadFrom(connection, cursor->stream(), {From::Place::kOffset, cursor->stream_offset()},
                 patience, [&](StreamMessage message) -> absl::StatusOr<bool> {
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

namespace {

absl::StatusOr<Offset> FindAfterOnce(Connection& connection, const Topic& topic, Shard shard,
                                     MessageId id, Offset hint, absl::Duration patience,
                                     ShardState* state) {
  bool is_event = topic.spec.kind == TopicKind::kEvent;
  ShardState before;
  if (!is_event) {
    MARQUEE_ASSIGN_OR_RETURN(before,
                             ReadShardState(connection, topic.spec.name, shard, topic.identity));
  }
  *state = before;
  // Nearly always it is among the last.
  ShardCursor cursor = ShardCursor::OfEvents(topic, shard, hint);
  if (!is_event) {
    MARQUEE_ASSIGN_OR_RETURN(cursor, CursorIn(connection, topic, shard, before, hint));
    if (cursor.in_snapshot()) {
      // Its epoch has gone: it is in the snapshot, or among the changes since.
      MARQUEE_ASSIGN_OR_RETURN(ShardView view, ViewEntities(connection, topic, shard));
      return view.extent.end;
    }
  }
  if (!before.next_begun) {
    MARQUEE_ASSIGN_OR_RETURN(std::vector<StreamMessage> chunk,
                             ReadLastChunk(connection, cursor.stream()));
    for (auto message = chunk.rbegin(); message != chunk.rend(); ++message) {
      MARQUEE_ASSIGN_OR_RETURN(Head head, ReadHead(message->body));
      if (MessageId{head.nonce, head.sequence} != id) continue;
      if (is_event) return ToOffset(0, message->offset + 1);
      MARQUEE_ASSIGN_OR_RETURN(ShardState after,
                               ReadShardState(connection, topic.spec.name, shard, topic.identity));
      if (after == before) return ToOffset(before.base, message->offset + 1);
      break;
    }
  }
  std::optional<Offset> found;
  MARQUEE_RETURN_IF_ERROR(
      ReadAlong(connection, &cursor, patience, [&](const Taken& taken) -> absl::StatusOr<bool> {
        if (taken.head.kind != Kind::kPack ||
            MessageId{taken.head.nonce, taken.head.sequence} != id) {
          return true;
        }
        found = ToOffset(cursor.base(), taken.stream_offset + 1);
        return false;
      }));
  return *found;
}

}  // namespace

absl::StatusOr<Offset> FindAfter(Connection& connection, const Topic& topic, Shard shard,
                                 MessageId id, Offset hint, absl::Duration patience,
                                 ShardState* state) {
  absl::StatusOr<Offset> found;
  for (int attempt = 0; attempt < kAttemptsMax; ++attempt) {
    found = FindAfterOnce(connection, topic, shard, id, hint, patience, state);
    // An epoch's stream goes when its snapshot is there; the topic's state says where to look then.
    if (topic.spec.kind == TopicKind::kEvent || !absl::IsNotFound(found.status())) return found;
    MARQUEE_RETURN_IF_ERROR(
        ReadShardState(connection, topic.spec.name, shard, topic.identity).status());
  }
  return found;
}

}  // namespace marquee::messaging::rabbitmq
