#include "messaging/rabbitmq/shard_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "base/random.h"
#include "base/status.h"
#include "messaging/pack.h"
#include "messaging/rabbitmq/follow.h"
#include "messaging/rabbitmq/stream.h"

namespace marquee::messaging::rabbitmq {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(10);
// How often a change of epoch under one's feet is looked around.
constexpr int kAttemptsMax = 50;
// What was seen so long ago is not looked at again before a reader begins there.
constexpr absl::Duration kJust = absl::Seconds(5);

bool IsEvents(const ShardId& shard) { return shard.topic.spec.kind == TopicKind::kEvent; }

std::string StreamOf(const ShardId& shard) {
  return EventStreamOf(shard.topic.spec.name, shard.shard, shard.topic.identity);
}

absl::StatusOr<int64_t> RecordsOf(const Head& head, std::string_view body) {
  if (head.kind != Kind::kPack) return 1;
  PackDecoder decoder;
  MARQUEE_RETURN_IF_ERROR(decoder.Add(PayloadOf(body), Offset(0)));
  return std::max<int64_t>(1, static_cast<int64_t>(decoder.records().size()));
}

// The first message that retention still keeps, if not all are older.
absl::StatusOr<int64_t> FirstYoung(Connection& connection, const std::string& stream, int64_t last,
                                   absl::Time oldest) {
  int64_t found = last + 1;
  MARQUEE_RETURN_IF_ERROR(ReadFrom(connection, stream, {From::Place::kFirst}, kPatience,
                                   [&](StreamMessage message) -> absl::StatusOr<bool> {
                                     if (message.offset > last) return false;
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

bool IsForEver(const ShardId& shard) {
  return shard.topic.spec.retention == absl::InfiniteDuration();
}

// Before the first record of all there is nothing that could be missed.
bool IsComplete(const Extent& events) { return events.begin <= ToOffset(0, 1); }

// Where the records of a shard begin that ends at `end`, and whose stream begins with `first`.
absl::StatusOr<Offset> BeginAt(const StreamMessage& first, int64_t end) {
  MARQUEE_ASSIGN_OR_RETURN(Head head, ReadHead(first.body));
  // Before an anchor there are nudges at most.
  int64_t begin = head.kind == Kind::kAnchor ? 1 : first.offset;
  return ToOffset(0, std::min(begin, end));
}

// Where the records of an event topic's shard begin, if they end at `end`.
absl::StatusOr<Offset> BeginOf(Connection& connection, const ShardId& shard, int64_t end,
                               absl::Time now) {
  std::string stream = StreamOf(shard);
  if (!IsForEver(shard)) {
    MARQUEE_ASSIGN_OR_RETURN(
        int64_t young, FirstYoung(connection, stream, end - 1, now - shard.topic.spec.retention));
    return ToOffset(0, young);
  }
  MARQUEE_ASSIGN_OR_RETURN(StreamMessage first, ReadFirst(connection, stream));
  return BeginAt(first, end);
}

// What messages of an event topic's stream say of its end, from a chunk on that is the last.
class EndOfEvents {
 public:
  // Takes the next message. False: what is before it has to be read first, from known() on.
  absl::StatusOr<bool> Take(int64_t offset, const Head& head, std::string_view body) {
    bool is_first = std::exchange(is_first_, false);
    // Where nothing was ever published the shard ends at 0, where its readers are.
    if (head.kind != Kind::kBarrier && head.kind != Kind::kAnchor) {
      end_ = offset + 1;
      MARQUEE_ASSIGN_OR_RETURN(records_, RecordsOf(head, body));
    } else if (head.kind == Kind::kBarrier && is_first && offset <= asked_) {
      MARQUEE_ASSIGN_OR_RETURN(BarrierText text, BarrierText::FromBytes(PayloadOf(body)));
      if (text.known < 0) {
        // Its author knew nothing: further back there is somebody who did.
        text = {.known = std::max<int64_t>(0, offset - back_), .end = 0};
        back_ *= 2;
        is_first_ = true;
      }
      end_ = std::max(end_, text.end);
      if (text.known < offset) {
        asked_ = known_ = text.known;
        return false;
      }
    }
    known_ = offset + 1;
    return true;
  }
  int64_t known() const { return known_; }
  int64_t end() const { return end_; }
  int64_t records() const { return records_; }

 private:
  bool is_first_ = true;
  int64_t back_ = 64;
  int64_t asked_ = std::numeric_limits<int64_t>::max();  // from where it was read
  int64_t known_ = 0;
  int64_t end_ = 0;
  int64_t records_ = 1;
};

absl::Status OutOfRange(const Topic& topic, Shard shard, Offset position, const Extent& extent,
                        std::string_view why) {
  return absl::OutOfRangeError(
      fmt::format("{}/{}: offset {} was asked for, but it holds {} to {}: {}", topic.spec.name,
                  shard.value(), position.value(), extent.begin.value(), extent.end.value(), why));
}

ShardView ViewOf(const ShardViews::Tail& tail) {
  ShardView view{.extent = {},
                 .epoch = tail.cursor.epoch(),
                 .base = tail.cursor.base(),
                 .records_a_message = tail.records_a_message};
  view.extent.begin = tail.state.keys > 0 ? tail.state.begin : ToOffset(tail.state.base, 1);
  view.extent.end = std::max(tail.end, view.extent.begin);
  view.records_end = tail.records_end;
  return view;
}

absl::Status TakeAtTail(const Taken& taken, ShardViews::Tail* tail) {
  if (taken.step == ShardCursor::Step::kMoved) {
    tail->end = Offset(tail->cursor.base());
  } else if (taken.head.kind != Kind::kBarrier) {
    tail->end = ToOffset(tail->cursor.base(), taken.stream_offset + 1);
    if (taken.head.kind != Kind::kPack) return absl::OkStatus();
    tail->records_end = tail->end;
    MARQUEE_ASSIGN_OR_RETURN(tail->records_a_message, RecordsOf(taken.head, taken.body));
  }
  return absl::OkStatus();
}

}  // namespace

int64_t ShardView::RecordsBeyond(Offset offset) const {
  if (offset >= records_end) return 0;
  Offset from = std::max(offset, extent.begin);
  int64_t messages =
      (records_end.value() - from.value() + (1 << kPackIndexBits) - 1) >> kPackIndexBits;
  return messages * records_a_message;
}

absl::StatusOr<absl::Time> NewestOf(std::string_view pack) {
  PackDecoder decoder;
  MARQUEE_RETURN_IF_ERROR(decoder.Add(pack, Offset(0)));
  absl::Time newest = absl::InfinitePast();
  for (const Record& record : decoder.records()) newest = std::max(newest, record.published);
  return newest;
}

// A shard that is looked at, up to a barrier of this look.
struct ShardViews::Looking {
  const ShardId& shard;
  ShardView view;
  Tail* tail = nullptr;  // of an entity topic
  ShardCursor events;    // of an event topic
  EndOfEvents end;
  MessageId id;
  int64_t send_at = 0;
  bool sent = false;

  absl::Status Send(Connection& connection) {
    sent = true;
    const std::string& stream = tail != nullptr ? tail->cursor.stream() : events.stream();
    BarrierText text{.known = end.known(), .end = end.end()};
    return connection.Send(
        kFollowChannel, stream,
        MakeMessage({.kind = Kind::kBarrier, .nonce = id.first, .sequence = id.second},
                    text.ToBytes()));
  }
  bool IsIts(const Head& head) const {
    return head.kind == Kind::kBarrier && MessageId{head.nonce, head.sequence} == id;
  }
  absl::StatusOr<Follow::Then> TakeEvent(Connection& connection, const Taken& taken);
  Follow ToFollow(Connection& connection);
};

absl::StatusOr<Follow::Then> ShardViews::Looking::TakeEvent(Connection& connection,
                                                            const Taken& taken) {
  if (IsIts(taken.head)) return Follow::Then::kDone;
  MARQUEE_ASSIGN_OR_RETURN(bool is_whole, end.Take(taken.stream_offset, taken.head, taken.body));
  if (!is_whole) {
    send_at = std::max(send_at, taken.stream_offset);
    events = ShardCursor::OfEvents(shard.topic, shard.shard, ToOffset(0, end.known()));
    return Follow::Then::kAgain;
  }
  if (!sent && taken.stream_offset >= send_at) MARQUEE_RETURN_IF_ERROR(Send(connection));
  return Follow::Then::kMore;
}

Follow ShardViews::Looking::ToFollow(Connection& connection) {
  if (tail == nullptr) {
    return {
        .cursor = &events,
        .from = From{From::Place::kLast},
        .begun = {},
        .take = [this, &connection](const Taken& taken) { return TakeEvent(connection, taken); }};
  }
  return {.cursor = &tail->cursor,
          .from = {},
          .begun = [this, &connection] { return Send(connection); },
          .take = [this](const Taken& taken) -> absl::StatusOr<Follow::Then> {
            if (IsIts(taken.head)) return Follow::Then::kDone;
            MARQUEE_RETURN_IF_ERROR(TakeAtTail(taken, tail));
            return Follow::Then::kMore;
          }};
}

// Those of entity topics, each read from the beginning of its epoch: somebody may have ended it,
// and others published after that.
absl::Status ShardViews::FindTails(Connection& connection, std::span<Looking> lookings) {
  std::vector<Looking*> unknown;
  std::vector<ShardOfTopic> shards;
  for (Looking& looking : lookings) {
    const auto& [topic, shard] = looking.shard;
    if (IsEvents(looking.shard) || tails_.contains({topic.identity, shard})) continue;
    unknown.push_back(&looking);
    shards.push_back({topic.spec.name, shard, topic.identity});
  }
  MARQUEE_ASSIGN_OR_RETURN(std::vector<ShardState> states, ReadShardStates(connection, shards));
  for (size_t i = 0; i < unknown.size(); ++i) {
    const auto& [topic, shard] = unknown[i]->shard;
    const ShardState& state = states[i];
    tails_.emplace(Key(topic.identity, shard),
                   Tail{.cursor = ShardCursor::OfEntities(topic, shard, state, Offset(state.base)),
                        .state = state,
                        .end = {},
                        .records_end = state.end});
  }
  for (Looking& looking : lookings) {
    const auto& [topic, shard] = looking.shard;
    if (!IsEvents(looking.shard)) looking.tail = &tails_.at({topic.identity, shard});
  }
  return absl::OkStatus();
}

absl::Status ShardViews::LookOnce(Connection& connection, std::span<Looking> lookings,
                                  absl::Time now) {
  MARQUEE_RETURN_IF_ERROR(FindTails(connection, lookings));
  std::vector<Follow> follows;
  uint64_t nonce = Random::FromSystem().Next(), sequence = 0;
  for (Looking& looking : lookings) {
    looking.id = {nonce, ++sequence};
    looking.sent = false;
    looking.send_at = 0;
    looking.end = EndOfEvents();
    looking.events = ShardCursor::OfEvents(looking.shard.topic, looking.shard.shard, Offset(0));
    follows.push_back(looking.ToFollow(connection));
  }
  MARQUEE_RETURN_IF_ERROR(FollowAll(connection, follows, kPatience));
  std::vector<std::string> streams;  // whose begin is to be found
  std::vector<Looking*> of;
  for (Looking& looking : lookings) {
    if (looking.tail != nullptr) {
      looking.view = ViewOf(*looking.tail);
      continue;
    }
    looking.view.records_a_message = looking.end.records();
    looking.view.extent.end = looking.view.records_end = ToOffset(0, looking.end.end());
    if (IsForEver(looking.shard)) {
      streams.push_back(StreamOf(looking.shard));
      of.push_back(&looking);
    } else {
      MARQUEE_ASSIGN_OR_RETURN(looking.view.extent.begin,
                               BeginOf(connection, looking.shard, looking.end.end(), now));
    }
  }
  // All at once; those that are not shown so, one by one.
  MARQUEE_ASSIGN_OR_RETURN(auto beginnings, Beginnings(connection, streams));
  for (size_t i = 0; i < of.size(); ++i) {
    if (beginnings[i].empty()) {
      MARQUEE_ASSIGN_OR_RETURN(StreamMessage first, ReadFirst(connection, streams[i]));
      beginnings[i].push_back(std::move(first));
    }
    MARQUEE_RETURN_IF_ERROR(CheckShown(connection, streams[i], beginnings[i]));
    MARQUEE_ASSIGN_OR_RETURN(of[i]->view.extent.begin,
                             BeginAt(beginnings[i].front(), of[i]->end.end()));
    events_[{of[i]->shard.topic.identity, of[i]->shard.shard}] = {
        of[i]->view.extent, of[i]->view.records_a_message, clock_.Uptime()};
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<ShardView>> ShardViews::Look(Connection& connection,
                                                        std::span<const ShardId> shards,
                                                        absl::Time now) {
  MutexLock lock(mutex_);
  // A shard that is asked for twice is looked at once: a tail is read by one.
  std::map<std::pair<TopicIdentity, Shard>, size_t> index;
  std::vector<Looking> lookings;
  for (const ShardId& shard : shards) {
    if (!index.emplace(std::pair(shard.topic.identity, shard.shard), lookings.size()).second) {
      continue;
    }
    lookings.push_back({.shard = shard,
                        .view = {},
                        .events = ShardCursor::OfEvents(shard.topic, shard.shard, Offset(0)),
                        .end = {},
                        .id = {}});
  }
  bool has_entities = std::any_of(shards.begin(), shards.end(),
                                  [](const ShardId& shard) { return !IsEvents(shard); });
  absl::Status status;
  for (int attempt = 0; attempt < kAttemptsMax; ++attempt) {
    status = LookOnce(connection, lookings, now);
    if (status.ok()) break;
    for (const ShardId& shard : shards) tails_.erase({shard.topic.identity, shard.shard});
    // An epoch's stream goes when the next one's snapshot is there.
    if (!absl::IsNotFound(status) || !has_entities || connection.broken()) return status;
  }
  if (!status.ok()) return status;
  std::vector<ShardView> views;
  for (const ShardId& shard : shards) {
    views.push_back(lookings[index.at({shard.topic.identity, shard.shard})].view);
  }
  return views;
}

absl::StatusOr<ShardView> ShardViews::Look(Connection& connection, const ShardId& shard,
                                           absl::Time now) {
  MARQUEE_ASSIGN_OR_RETURN(std::vector<ShardView> views, Look(connection, {&shard, 1}, now));
  return views.front();
}

const ShardViews::SeenEvents* ShardViews::JustSeen(const ShardId& shard) {
  auto seen = events_.find({shard.topic.identity, shard.shard});
  bool is_just = seen != events_.end() && clock_.Uptime() - seen->second.at <= kJust;
  return is_just ? &seen->second : nullptr;
}

std::optional<StreamEnd> ShardViews::EndIfKnown(const ShardId& shard) {
  MutexLock lock(mutex_);
  const SeenEvents* seen = JustSeen(shard);
  if (seen == nullptr) return std::nullopt;
  return StreamEnd{.offset = seen->extent.end.value() >> kPackIndexBits,
                   .records_a_message = seen->records_a_message};
}

std::optional<ShardCursor> ShardViews::IfKnown(const ShardId& shard, Offset position) {
  MutexLock lock(mutex_);
  if (IsEvents(shard)) {
    const SeenEvents* seen = JustSeen(shard);
    bool is_there = seen != nullptr && position <= seen->extent.end &&
                    (position >= seen->extent.begin || IsComplete(seen->extent));
    if (!is_there) return std::nullopt;
    return ShardCursor::OfEvents(shard.topic, shard.shard, position);
  }
  auto found = tails_.find({shard.topic.identity, shard.shard});
  if (found == tails_.end() || position > ViewOf(found->second).extent.end) return std::nullopt;
  const Tail& tail = found->second;
  if (position == Offset(0)) {
    return ShardCursor::OfEntities(shard.topic, shard.shard, tail.state, position);
  }
  ShardState changes{.epoch = tail.cursor.epoch(), .base = tail.cursor.base()};
  if (position.value() < changes.base) return std::nullopt;
  return ShardCursor::OfEntities(shard.topic, shard.shard, changes, position);
}

absl::StatusOr<StreamEnd> EndOf(std::span<const StreamMessage> chunk) {
  StreamEnd end;
  // Barriers count where the reader has not come to the chunk; they lie ahead of nobody for long.
  if (!chunk.empty()) end.offset = chunk.front().offset;
  for (const StreamMessage& message : chunk) {
    MARQUEE_ASSIGN_OR_RETURN(Head head, ReadHead(message.body));
    if (head.kind != Kind::kPack) continue;
    end.offset = message.offset + 1;
    MARQUEE_ASSIGN_OR_RETURN(end.records_a_message, RecordsOf(head, message.body));
  }
  return end;
}

absl::StatusOr<ShardView> GlanceAtEvents(Connection& connection, const ShardId& shard,
                                         absl::Time now) {
  std::string stream = StreamOf(shard);
  MARQUEE_ASSIGN_OR_RETURN(std::vector<StreamMessage> chunk, ReadLastChunk(connection, stream));
  if (chunk.empty()) {
    return absl::UnavailableError(fmt::format("the node shows nothing of the stream {}", stream));
  }
  EndOfEvents end;
  int64_t last = chunk.back().offset;
  for (bool is_whole = false; !is_whole;) {
    is_whole = true;
    for (const StreamMessage& message : chunk) {
      MARQUEE_ASSIGN_OR_RETURN(Head head, ReadHead(message.body));
      MARQUEE_ASSIGN_OR_RETURN(is_whole, end.Take(message.offset, head, message.body));
      if (!is_whole) break;
    }
    if (is_whole) break;
    chunk.clear();
    int64_t from = end.known();
    auto take = [&](StreamMessage message) -> absl::StatusOr<bool> {
      bool more = message.offset < last;
      if (message.offset >= from) chunk.push_back(std::move(message));
      return more;
    };
    MARQUEE_RETURN_IF_ERROR(
        ReadFrom(connection, stream, {From::Place::kOffset, from}, kPatience, take));
  }
  ShardView view{.extent = {}, .records_a_message = end.records()};
  view.extent.end = view.records_end = ToOffset(0, end.end());
  MARQUEE_ASSIGN_OR_RETURN(view.extent.begin, BeginOf(connection, shard, end.end(), now));
  return view;
}

absl::StatusOr<ShardCursor> ShardViews::CursorAt(Connection& connection, const ShardId& shard,
                                                 Offset position, const ShardView& view) {
  const auto& [topic, number] = shard;
  if (position > view.extent.end) {
    return OutOfRange(topic, number, position, view.extent, "it is beyond the end");
  }
  if (IsEvents(shard)) {
    if (position < view.extent.begin && !IsComplete(view.extent)) {
      return OutOfRange(topic, number, position, view.extent,
                        "retention has dropped what was there");
    }
    return ShardCursor::OfEvents(topic, number, position);
  }
  MARQUEE_ASSIGN_OR_RETURN(ShardState state,
                           ReadShardState(connection, topic.spec.name, number, topic.identity));
  {
    MutexLock lock(mutex_);
    auto tail = tails_.find({topic.identity, number});
    if (tail != tails_.end() && tail->second.state.epoch < state.epoch) {
      tail->second.state = state;
    }
  }
  if (position > view.extent.begin && position > state.begin && position < state.floor) {
    return OutOfRange(
        topic, number, position, view.extent,
        fmt::format("deletions below {} were dropped; read from the start", state.floor.value()));
  }
  // The node may not have read yet that the shard is there already.
  if (view.epoch > state.epoch && position.value() >= view.base) {
    state = {.epoch = view.epoch, .base = view.base};
  }
  return ShardCursor::OfEntities(topic, number, state, position);
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

absl::StatusOr<Offset> FindAfter(Connection& connection, const ShardId& shard, MessageId id,
                                 Offset hint, absl::Duration patience) {
  // Nearly always it is among the last.
  MARQUEE_ASSIGN_OR_RETURN(std::vector<StreamMessage> chunk,
                           ReadLastChunk(connection, StreamOf(shard)));
  for (auto message = chunk.rbegin(); message != chunk.rend(); ++message) {
    MARQUEE_ASSIGN_OR_RETURN(Head head, ReadHead(message->body));
    if (MessageId{head.nonce, head.sequence} == id) return ToOffset(0, message->offset + 1);
  }
  ShardCursor cursor = ShardCursor::OfEvents(shard.topic, shard.shard, hint);
  std::optional<Offset> found;
  MARQUEE_RETURN_IF_ERROR(
      FollowOne(connection, &cursor, patience, [&](const Taken& taken) -> absl::StatusOr<bool> {
        if (MessageId{taken.head.nonce, taken.head.sequence} != id) return true;
        found = ToOffset(0, taken.stream_offset + 1);
        return false;
      }));
  return *found;
}

}  // namespace marquee::messaging::rabbitmq
