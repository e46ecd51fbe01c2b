#include "messaging/rabbitmq/subscription.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/status.h"
#include "messaging/packed_log.h"
#include "messaging/rabbitmq/follow.h"
#include "messaging/rabbitmq/message.h"
#include "messaging/rabbitmq/shard_view.h"
#include "messaging/rabbitmq/stream.h"

namespace marquee::messaging::rabbitmq {
namespace {

// A member looks after its group in between.
constexpr absl::Duration kMemberWaitMax = absl::Milliseconds(10);
constexpr absl::Duration kReaderWaitMax = absl::Seconds(1);
constexpr absl::Duration kConnectTimeout = absl::Seconds(2);
constexpr absl::Duration kReportInterval = absl::Seconds(1);
// To ask where a stream ends, a consumer is made, and the cluster writes down each of them.
constexpr absl::Duration kEndsInterval = absl::Seconds(1);
constexpr int64_t kEndsPauseFactor = 20;
// When this part of what may be sent ahead was taken, it is acknowledged; at the latest after the
// interval: a broker does not wait for ever.
constexpr int64_t kAcksDivisor = 4;
constexpr absl::Duration kAckInterval = absl::Seconds(1);
// Where there is but one node, its consumers end with the connection to it.
constexpr absl::Duration kSilenceMax = absl::Seconds(4);
constexpr absl::Duration kSilenceMaxOfOne = absl::Seconds(32);
constexpr absl::Duration kElsewhereMax = absl::Seconds(1);
constexpr absl::Duration kPatience = absl::Seconds(10);
constexpr absl::Duration kLeaveTimeout = absl::Seconds(1);
constexpr int64_t kLogSegmentBytes = 1 << 20;
constexpr int64_t kLogBytesMax = 8 << 20;

// Where a consumer begins: what comes first was read before, and shows that it is served.
From BeforeOf(const ShardCursor& cursor) {
  return {From::Place::kOffset, std::max<int64_t>(0, cursor.stream_offset() - 1)};
}

}  // namespace

RabbitmqSubscription::RabbitmqSubscription(World& world, Session& session, Topics& topics,
                                           ShardViews& views, SubscriptionOptions options)
    : world_(world),
      session_(session),
      topics_(topics),
      views_(views),
      options_(std::move(options)),
      acks_(kReadChannel,
            std::max<int64_t>(1, world_.settings.read_ahead_messages() / kAcksDivisor)) {}

RabbitmqSubscription::~RabbitmqSubscription() {
  if (member_.has_value() && connection_ != nullptr && member_->Leave(*connection_).ok()) {
    // Until the broker has it; who cannot say good-bye is missed soon.
    absl::Duration until = world_.clock.Uptime() + kLeaveTimeout;
    while (world_.clock.Uptime() < until) {
      absl::StatusOr<Event> event =
          connection_->WaitOn(kPublishChannel, until - world_.clock.Uptime());
      if (!event.ok() || !connection_->has_unconfirmed(kPublishChannel)) break;
    }
  }
  // For monitoring alone; nobody misses what cannot be written.
  if (!reports_.empty() && !down_since_.has_value()) (void)WriteReports(/*at_once=*/true);
}

absl::Status RabbitmqSubscription::Join(std::span<const std::string> topics) {
  if (options_.group.empty() || topics.empty()) {
    return absl::InvalidArgumentError("to join a group, name it and the topics that it shares");
  }
  if (options_.session_timeout <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError(
        fmt::format("group {}: expected a session timeout above 0, found {}", options_.group,
                    absl::FormatDuration(options_.session_timeout)));
  }
  std::map<std::string, uint32_t> shards;
  for (const std::string& topic : topics) {
    MARQUEE_ASSIGN_OR_RETURN(Topic found, topics_.Find(topic));
    shards[topic] = found.spec.shards;
  }
  MARQUEE_RETURN_IF_ERROR(topics_.NoteGroup(options_.group));
  member_.emplace(world_.clock, options_, std::move(shards));
  absl::Duration until = world_.clock.Uptime() + world_.deadline;
  while (world_.clock.Uptime() < until) {
    MARQUEE_RETURN_IF_ERROR(Turn(kMemberWaitMax));
    MARQUEE_ASSIGN_OR_RETURN(bool joined, member_->HasJoined());
    if (joined) return absl::OkStatus();
  }
  return world_.GaveUp("joining group " + options_.group,
                       absl::UnavailableError("its log does not show it"));
}

absl::Status RabbitmqSubscription::Connect() {
  if (connection_ != nullptr) return absl::OkStatus();
  absl::Duration now = world_.clock.Uptime();
  if (now < connect_at_) return absl::UnavailableError("waits before it connects again");
  absl::StatusOr<std::unique_ptr<Connection>> connection =
      world_.Connect(Purpose(), kConnectTimeout);
  if (!connection.ok()) {
    connect_at_ = world_.clock.Uptime() + backoff_.Next();
    return connection.status();
  }
  connection_ = *std::move(connection);
  if (member_.has_value()) MARQUEE_RETURN_IF_ERROR(member_->Attach(*connection_));
  backoff_.Reset();
  return absl::OkStatus();
}

std::string RabbitmqSubscription::Purpose() const {
  return member_.has_value() ? "member of " + options_.group : "reader";
}

void RabbitmqSubscription::ForgetConsumers() {
  consumers_.clear();
  acks_.Forget();
  for (auto& [shard, started] : started_) {
    started.consumer.clear();
    started.pending.clear();
  }
}

void RabbitmqSubscription::Disconnect() {
  ForgetConsumers();
  if (connection_ == nullptr) return;
  connection_.reset();
  connect_at_ = world_.clock.Uptime() + backoff_.Next();
  if (member_.has_value()) member_->Detach();
}

absl::Status RabbitmqSubscription::Survive(const absl::Status& status) {
  if (status.ok()) {
    down_since_.reset();
    return status;
  }
  if (!absl::IsUnavailable(status) && (connection_ == nullptr || !connection_->broken())) {
    return status;
  }
  if (connection_ != nullptr) Disconnect();
  absl::Duration now = world_.clock.Uptime();
  if (!down_since_.has_value()) down_since_ = now;
  if (now - *down_since_ < world_.deadline) return absl::OkStatus();
  down_since_.reset();
  return world_.GaveUp("reading", status);
}

// Connects, consumes, and takes all that has come; waits for the first for at most `wait`.
absl::Status RabbitmqSubscription::Turn(absl::Duration wait) {
  absl::Status status = [&]() -> absl::Status {
    MARQUEE_RETURN_IF_ERROR(Connect());
    MARQUEE_RETURN_IF_ERROR(ConsumeAll());
    while (true) {
      MARQUEE_ASSIGN_OR_RETURN(Event event, connection_->Wait(wait));
      wait = absl::ZeroDuration();
      if (event.kind == Event::Kind::kNone) break;
      MARQUEE_RETURN_IF_ERROR(Dispatch(std::move(event)));
    }
    if (!acks_.empty() && world_.clock.Uptime() >= ack_at_) {
      MARQUEE_RETURN_IF_ERROR(acks_.Send(*connection_, !HasPending()));
    }
    MARQUEE_RETURN_IF_ERROR(Watch());
    return member_.has_value() ? member_->Refresh(*connection_, &events_) : absl::OkStatus();
  }();
  MARQUEE_RETURN_IF_ERROR(Survive(status));
  if (connection_ == nullptr && wait > absl::ZeroDuration()) world_.clock.SleepFor(wait);
  return absl::OkStatus();
}

absl::Status RabbitmqSubscription::Dispatch(Event event) {
  if (event.channel != kReadChannel) return absl::OkStatus();
  if (event.kind == Event::Kind::kChannelClosed) {
    // A permission: it would be so again.
    if (absl::IsFailedPrecondition(event.why)) return event.why;
    return absl::UnavailableError("the broker closed the reader's channel: " + event.text);
  }
  if (event.kind == Event::Kind::kCancelled) {
    if (event.consumer == kGroupConsumer) {
      return absl::UnavailableError("the group's log was taken away");
    }
    auto consumer = consumers_.find(event.consumer);
    if (consumer == consumers_.end()) return absl::OkStatus();
    started_.at(consumer->second).consumer.clear();
    consumers_.erase(consumer);
    return absl::OkStatus();
  }
  if (event.kind != Event::Kind::kDelivery) return absl::OkStatus();
  if (event.consumer == kGroupConsumer) {
    MARQUEE_RETURN_IF_ERROR(member_->Take(event.stream_offset, event.body));
    return connection_->Acknowledge(kReadChannel, event.tag, false);
  }
  auto consumer = consumers_.find(event.consumer);
  if (consumer == consumers_.end()) {
    return connection_->Acknowledge(kReadChannel, event.tag, false);
  }
  Started& started = started_.at(consumer->second);
  bool is_known = event.stream_offset < started.cursor.stream_offset();
  // Questions where the shard ends are no sign that somebody publishes.
  absl::StatusOr<Head> head = ReadHead(event.body);
  bool is_news = !is_known && head.ok() && head->kind != Kind::kBarrier;
  started.watch.Heard(world_.clock.Uptime(), is_news);
  if (is_known) return connection_->Acknowledge(kReadChannel, event.tag, false);
  bool holds_records = head.ok() && head->kind == Kind::kPack;
  int64_t records =
      holds_records ? static_cast<int64_t>(PackRecords(PayloadOf(event.body))) : int64_t{0};
  started.pending.push_back({event.tag, event.stream_offset, records, std::move(event.body)});
  return absl::OkStatus();
}

absl::Status RabbitmqSubscription::ConsumeAll() {
  for (auto& [shard, started] : started_) {
    if (!started.consumer.empty() || !started.pending.empty()) continue;
    MARQUEE_RETURN_IF_ERROR(Consume(shard, &started));
  }
  return absl::OkStatus();
}

absl::Status RabbitmqSubscription::Consume(const TopicShard& shard, Started* started) {
  if (!started->absence.IsDue(world_.clock.Uptime())) return absl::OkStatus();
  // A stream that is not there would close the channel, with all its consumers.
  absl::Status there = connection_->CheckQueue(started->cursor.stream());
  if (absl::IsNotFound(there)) {
    MARQUEE_RETURN_IF_ERROR(Resolve(shard, started));
    there = connection_->CheckQueue(started->cursor.stream());
    // It may change at this very moment: a later turn finds out.
    if (absl::IsNotFound(there)) return StillGone(shard, started);
  }
  MARQUEE_RETURN_IF_ERROR(there);
  return Ask(shard, started);
}

// Without waiting for an answer: many are asked for at once.
absl::Status RabbitmqSubscription::Ask(const TopicShard& shard, Started* started) {
  started->consumer = connection_->NewConsumer();
  consumers_[started->consumer] = shard;
  started->watch.Begun(world_.clock.Uptime());
  return connection_->ConsumeSoon(kReadChannel, started->cursor.stream(), started->consumer,
                                  BeforeOf(started->cursor),
                                  static_cast<int>(world_.settings.read_ahead_messages()));
}

absl::Status RabbitmqSubscription::Renew(const TopicShard& shard, Started* started) {
  consumers_.erase(started->consumer);
  MARQUEE_RETURN_IF_ERROR(acks_.Send(*connection_, !HasPending()));
  MARQUEE_RETURN_IF_ERROR(connection_->CancelSoon(kReadChannel, started->consumer));
  return Ask(shard, started);
}

// Of consumers that are silent though all that came of them was handed out.
absl::Status RabbitmqSubscription::Watch() {
  absl::Duration now = world_.clock.Uptime();
  std::vector<std::string> behind;
  const Started* not_served = nullptr;
  for (auto& [shard, started] : started_) {
    if (started.consumer.empty() || !started.pending.empty()) continue;
    switch (started.watch.Due(now)) {
      case ConsumerWatch::Act::kNothing:
        break;
      case ConsumerWatch::Act::kRenew:
        MARQUEE_RETURN_IF_ERROR(Renew(shard, &started));
        break;
      case ConsumerWatch::Act::kNudge:
        behind.push_back(started.cursor.stream());
        break;
      case ConsumerWatch::Act::kLookElsewhere:
        not_served = &started;
        break;
    }
  }
  if (!behind.empty()) NudgeAll(behind);
  return not_served != nullptr ? LookElsewhere(*not_served) : absl::OkStatus();
}

// On a connection of their own: while an alarm lasts, the broker reads nothing more of one that
// publishes. Where there is none, nobody could be told.
void RabbitmqSubscription::NudgeAll(std::span<const std::string> streams) {
  absl::StatusOr<std::unique_ptr<Connection>> other =
      world_.Connect("nudges", kConnectTimeout, connection_->node_index() + 1);
  if (!other.ok()) return;
  for (const std::string& stream : streams) (void)Nudge(**other, kFollowChannel, stream);
  // Answered when they are on their way.
  (void)(*other)->CloseChannel(kFollowChannel);
}

absl::Status RabbitmqSubscription::LookElsewhere(const Started& started) {
  absl::StatusOr<std::unique_ptr<Connection>> other =
      world_.Connect(Purpose(), kConnectTimeout, connection_->node_index() + 1);
  if (!other.ok() || (*other)->node_index() == connection_->node_index()) return absl::OkStatus();
  absl::Status shown =
      ReadFrom(**other, started.cursor.stream(), BeforeOf(started.cursor), kElsewhereMax,
               [](const StreamMessage&) -> absl::StatusOr<bool> { return false; });
  // Wherever it is not shown either, there is no better place.
  if (!shown.ok()) return absl::OkStatus();
  Disconnect();
  connection_ = *std::move(other);
  return member_.has_value() ? member_->Attach(*connection_) : absl::OkStatus();
}

// The stream is not there: has the topic gone, or its shard moved on?
absl::Status RabbitmqSubscription::Resolve(const TopicShard& shard, Started* started) {
  MARQUEE_ASSIGN_OR_RETURN(Topic topic, topics_.Find(shard.topic));
  if (topic.identity != started->topic.identity) {
    return absl::FailedPreconditionError(
        fmt::format("topic {} was deleted and declared again: it was {}, it is {}; start anew",
                    shard.topic, started->topic.identity, topic.identity));
  }
  if (topic.spec.kind == TopicKind::kEvent) return absl::OkStatus();
  absl::StatusOr<ShardCursor> cursor =
      CursorAgain(*connection_, topic, shard.shard, started->cursor.position());
  if (absl::IsNotFound(cursor.status())) return absl::OkStatus();
  MARQUEE_RETURN_IF_ERROR(cursor.status());
  started->cursor = *std::move(cursor);
  return absl::OkStatus();
}

// What the shard is read from now is not there either. That the topic was deleted may not be known
// here yet.
absl::Status RabbitmqSubscription::StillGone(const TopicShard& shard, Started* started) {
  if (!started->absence.IsForGood(world_.clock.Uptime())) return absl::OkStatus();
  return DeletedUnderneath(shard.topic, "stream " + started->cursor.stream());
}

absl::StatusOr<Delivery> RabbitmqSubscription::Poll(absl::Duration wait) {
  absl::Duration give_up = world_.clock.Uptime() + wait;
  absl::Duration wait_max = member_.has_value() ? kMemberWaitMax : kReaderWaitMax;
  absl::Duration slice = absl::ZeroDuration();
  decoder_.Clear();
  while (true) {
    MARQUEE_RETURN_IF_ERROR(Turn(slice));
    for (const OwnershipEvent& event : events_) {
      if (event.kind != OwnershipEvent::Kind::kLost) continue;
      auto lost = started_.find(event.shard);
      if (lost == started_.end()) continue;
      StopConsumer(&lost->second);
      started_.erase(lost);
    }
    Delivery delivery;
    absl::StatusOr<std::optional<Batch>> batch = NextBatch();
    if (batch.ok()) {
      delivery.batch = *std::move(batch);
    } else {
      MARQUEE_RETURN_IF_ERROR(Survive(batch.status()));
    }
    // One that cannot be written is written with the next.
    if (!down_since_.has_value()) (void)WriteReports(/*at_once=*/false);
    delivery.events = std::exchange(events_, {});
    if (!delivery.events.empty() || delivery.batch.has_value()) return delivery;
    absl::Duration left = give_up - world_.clock.Uptime();
    if (left <= absl::ZeroDuration() || world_.clock.IsManual()) return delivery;
    slice = std::min(left, wait_max);
    if (connection_ == nullptr) slice = std::min(slice, kMemberWaitMax);
  }
}

bool RabbitmqSubscription::IsUntold(OwnershipEvent::Kind kind, const TopicShard& shard) const {
  return std::any_of(events_.begin(), events_.end(), [&](const OwnershipEvent& event) {
    return event.kind == kind && event.shard == shard;
  });
}

bool RabbitmqSubscription::HasPending() const {
  return std::any_of(started_.begin(), started_.end(),
                     [](const auto& started) { return !started.second.pending.empty(); });
}

absl::StatusOr<std::optional<Batch>> RabbitmqSubscription::NextBatch() {
  auto next = started_.upper_bound(last_read_);
  for (size_t i = 0; i < started_.size(); ++i, ++next) {
    if (next == started_.end()) next = started_.begin();
    // Whoever releases it on being told would not expect records of it afterwards.
    if (IsUntold(OwnershipEvent::Kind::kRevoked, next->first)) continue;
    if (member_.has_value() && !member_->CheckOwns(next->first).ok()) continue;
    MARQUEE_ASSIGN_OR_RETURN(std::optional<Batch> batch, ReadOne(next->first, &next->second));
    if (!batch.has_value()) continue;
    last_read_ = next->first;
    return batch;
  }
  return std::optional<Batch>();
}

absl::StatusOr<std::optional<Batch>> RabbitmqSubscription::ReadOne(const TopicShard& shard,
                                                                   Started* started) {
  while (!started->pending.empty()) {
    MARQUEE_ASSIGN_OR_RETURN(std::optional<Batch> batch, TakePending(shard, started));
    if (batch.has_value()) return batch;
  }
  return std::optional<Batch>();
}

absl::StatusOr<std::optional<Batch>> RabbitmqSubscription::TakePending(const TopicShard& shard,
                                                                       Started* started) {
  // Moved out first; what is refused stays readable, since the position has not moved.
  Pending message = std::move(started->pending.front());
  started->pending.pop_front();
  if (acks_.empty()) ack_at_ = world_.clock.Uptime() + kAckInterval;
  acks_.Taken(message.tag);
  MARQUEE_RETURN_IF_ERROR(acks_.SendIfDue(*connection_, !HasPending()));
  ShardCursor& cursor = started->cursor;
  if (message.stream_offset < cursor.stream_offset()) return std::optional<Batch>();
  absl::StatusOr<std::optional<Batch>> batch = [&]() -> absl::StatusOr<std::optional<Batch>> {
    MARQUEE_RETURN_IF_ERROR(CheckGap(shard, *started, message.stream_offset));
    MARQUEE_ASSIGN_OR_RETURN(Head head, ReadHead(message.body));
    Offset before = cursor.position();
    if (cursor.in_snapshot()) started->whole = false;
    MARQUEE_ASSIGN_OR_RETURN(ShardCursor::Step step,
                             cursor.Take(message.stream_offset, head, message.body));
    if (step == ShardCursor::Step::kMoved) StopConsumer(started);
    if (step != ShardCursor::Step::kPack) {
      // A repeat, or the end of an epoch: nobody would learn that the position has passed it.
      if (cursor.position() <= before) return std::optional<Batch>();
      return Batch{.shard = shard,
                   .records = {},
                   .next = cursor.position(),
                   .whole = std::exchange(started->whole, true)};
    }
    absl::StatusOr<std::optional<Batch>> decoded =
        Decode(shard, started, PayloadOf(message.body), cursor.pack_first());
    if (!decoded.ok()) {
      cursor.TakeBack(message.stream_offset, head, before);
      return decoded;
    }
    if (!decoder_.records().empty()) cursor.Delivered(decoder_.records().back().offset);
    if (decoded->has_value()) {
      (*decoded)->next = cursor.position();
      (*decoded)->whole = std::exchange(started->whole, true);
    }
    return decoded;
  }();
  // Read again from there, and be refused again.
  if (!batch.ok()) StopConsumer(started);
  return batch;
}

absl::Status RabbitmqSubscription::CheckGap(const TopicShard& shard, const Started& started,
                                            int64_t stream_offset) {
  const ShardCursor& cursor = started.cursor;
  if (stream_offset == cursor.stream_offset() || started.topic.spec.kind == TopicKind::kEntity) {
    return absl::OkStatus();
  }
  // Streams leave offsets out; but was it that, or was something cut off?
  MARQUEE_ASSIGN_OR_RETURN(StreamMessage first, ReadFirst(*connection_, cursor.stream()));
  if (first.offset <= cursor.stream_offset()) return absl::OkStatus();
  return absl::OutOfRangeError(fmt::format(
      "{}/{}: retention overtook the reader at {}: the shard now begins at {}", shard.topic,
      shard.shard.value(), cursor.position().value(), ToOffset(0, first.offset).value()));
}

absl::Status RabbitmqSubscription::CheckRetention(const TopicShard& shard, Started* started,
                                                  absl::Time newest) {
  absl::Duration retention = started->topic.spec.retention;
  if (retention == absl::InfiniteDuration() || started->past_retention) return absl::OkStatus();
  absl::Time now = world_.clock.Now();
  if (newest >= now - retention) {
    started->past_retention = true;
    return absl::OkStatus();
  }
  MARQUEE_ASSIGN_OR_RETURN(ShardView view,
                           GlanceAtEvents(*connection_, {started->topic, shard.shard}, now));
  return absl::OutOfRangeError(fmt::format(
      "{}/{}: retention overtook the reader at {}: the shard now begins at {}", shard.topic,
      shard.shard.value(), started->cursor.position().value(), view.extent.begin.value()));
}

absl::StatusOr<std::optional<Batch>> RabbitmqSubscription::Decode(const TopicShard& shard,
                                                                  Started* started,
                                                                  std::string_view pack,
                                                                  Offset first) {
  decoder_.Clear();
  const ShardCursor& cursor = started->cursor;
  // A snapshot's records have their own offsets, a stream's those of their message.
  Offset end = cursor.in_snapshot() ? kOffsetMax : ToOffset(cursor.base(), cursor.stream_offset());
  absl::Status decoded = decoder_.Add(pack, first, end);
  if (!decoded.ok()) {
    return Annotate(decoded, fmt::format("{}/{} at offset {}", shard.topic, shard.shard.value(),
                                         first.value()));
  }
  std::span<const Record> records = decoder_.records();
  started->records_a_message = std::max<int64_t>(1, static_cast<int64_t>(records.size()));
  absl::Time newest = absl::InfinitePast();
  for (const Record& record : records) newest = std::max(newest, record.published);
  MARQUEE_RETURN_IF_ERROR(CheckRetention(shard, started, newest));
  std::span<const Record> wanted = WantedOf(records, cursor.wanted(), started->since);
  if (started->since.has_value() && wanted.size() != records.size()) started->whole = false;
  if (wanted.empty()) return std::optional<Batch>();
  started->since.reset();
  return Batch{.shard = shard, .records = wanted, .next = {}};
}

absl::StatusOr<RabbitmqSubscription::Started> RabbitmqSubscription::Begin(
    Connection& connection, const Topic& topic, Shard shard, const StartPosition& position) {
  absl::Time now = world_.clock.Now();
  ShardId id{topic, shard};
  const auto* at = std::get_if<Position>(&position.at);
  if (at != nullptr && at->topic_identity != topic.identity) {
    return absl::FailedPreconditionError(fmt::format(
        "{}/{}: the position is of a topic with identity {}, but this one has {}: it was deleted "
        "and declared again",
        topic.spec.name, shard.value(), at->topic_identity, topic.identity));
  }
  std::optional<absl::Time> since;
  if (const auto* time = std::get_if<StartPosition::Since>(&position.at)) since = time->time;
  std::optional<ShardCursor> cursor;
  if (at != nullptr) cursor = views_.IfKnown(id, at->offset);
  bool is_entity = topic.spec.kind == TopicKind::kEntity;
  if (is_entity && std::holds_alternative<StartPosition::Earliest>(position.at)) {
    cursor = views_.IfKnown(id, Offset(0));
  }
  if (cursor.has_value()) {
    absl::Status there = connection.CheckQueue(cursor->stream());
    if (!there.ok() && !absl::IsNotFound(there)) return there;
    if (!there.ok()) cursor.reset();
  }
  if (!cursor.has_value()) {
    MARQUEE_ASSIGN_OR_RETURN(ShardView view, views_.Look(connection, id, now));
    bool is_latest = std::holds_alternative<StartPosition::Latest>(position.at);
    Offset offset = is_latest ? view.extent.end : view.extent.begin;
    if (!is_latest && is_entity) offset = Offset(0);
    if (at != nullptr) offset = at->offset;
    MARQUEE_ASSIGN_OR_RETURN(cursor, views_.CursorAt(connection, id, offset, view));
  }
  std::optional<StreamEnd> end = views_.EndIfKnown(id);
  bool has_others = world_.url.nodes.size() > 1;
  std::string stream = cursor->stream();
  return Started{.topic = topic,
                 .cursor = *std::move(cursor),
                 .watch = ConsumerWatch(has_others ? kSilenceMax : kSilenceMaxOfOne),
                 .consumer = {},
                 .absence = {},
                 .pending = {},
                 .end = end.value_or(StreamEnd()),
                 .end_of = end.has_value() ? std::move(stream) : std::string(),
                 .records_a_message = 1,
                 .since = since,
                 .whole = true,
                 .past_retention = false};
}

absl::Status RabbitmqSubscription::Start(const TopicShard& shard, const StartPosition& position) {
  if (member_.has_value()) {
    // Its connection may have ended since the last poll, and others expel it when it has.
    MARQUEE_RETURN_IF_ERROR(Turn(absl::ZeroDuration()));
    MARQUEE_RETURN_IF_ERROR(member_->CheckOwns(shard));
    // And it may be its own again, with another generation.
    if (IsUntold(OwnershipEvent::Kind::kLost, shard)) {
      return absl::AbortedError(
          fmt::format("group {}: {}/{} was lost, and gained again; poll to learn of it",
                      options_.group, shard.topic, shard.shard.value()));
    }
  }
  std::optional<Started> begun;
  auto begin = [&](const absl::StatusOr<Topic>& topic) -> absl::Status {
    MARQUEE_RETURN_IF_ERROR(topic.status());
    return session_.Call(fmt::format("starting {}/{}", shard.topic, shard.shard.value()),
                         [&](Connection& connection) -> absl::Status {
                           MARQUEE_ASSIGN_OR_RETURN(
                               begun, Begin(connection, *topic, shard.shard, position));
                           return absl::OkStatus();
                         });
  };
  // Whether it is still the topic of that name is asked where what is known of it does not do.
  absl::Status status = begin(topics_.RecallShard(shard));
  if (!status.ok() && !absl::IsDeadlineExceeded(status)) status = begin(topics_.FindShard(shard));
  MARQUEE_RETURN_IF_ERROR(status);
  auto former = started_.find(shard);
  if (former != started_.end()) StopConsumer(&former->second);
  started_.insert_or_assign(shard, *std::move(begun));
  return absl::OkStatus();
}

void RabbitmqSubscription::StopConsumer(Started* started) {
  started->pending.clear();
  if (started->consumer.empty()) return;
  consumers_.erase(started->consumer);
  // Without waiting for an answer, which may be that the channel was closed: only an event of the
  // channel says so, and the next turn takes it. So it does where the connection breaks.
  if (connection_ != nullptr) {
    (void)acks_.Send(*connection_, !HasPending());
    (void)connection_->CancelSoon(kReadChannel, started->consumer);
  }
  started->consumer.clear();
}

absl::Status RabbitmqSubscription::Release(const TopicShard& shard) {
  auto started = started_.find(shard);
  if (started != started_.end()) {
    StopConsumer(&started->second);
    started_.erase(started);
  }
  // What it has by now is another generation, of which the next poll tells.
  if (!member_.has_value() || IsUntold(OwnershipEvent::Kind::kLost, shard)) return absl::OkStatus();
  // Where it cannot be said, the connection is broken, and with it all is given up.
  return Survive(member_->Release(connection_.get(), shard));
}

absl::StatusOr<Offset> RabbitmqSubscription::Next(const TopicShard& shard) const {
  auto found = started_.find(shard);
  MARQUEE_CHECK(found != started_.end());
  return found->second.cursor.position();
}

// Its node has no more for it.
bool RabbitmqSubscription::HasAll(const Started& started) const {
  return !started.consumer.empty() && started.pending.empty() &&
         started.watch.HasAll(world_.clock.Uptime());
}

absl::StatusOr<int64_t> RabbitmqSubscription::Lag(const TopicShard& shard) {
  auto found = started_.find(shard);
  MARQUEE_CHECK(found != started_.end());
  const Started& started = found->second;
  if (HasAll(started)) return 0;
  if (ShouldAskForEnd(started)) MARQUEE_RETURN_IF_ERROR(RefreshEnds());
  int64_t here = 0;
  for (const Pending& message : started.pending) here += message.records;
  return std::max(Beyond(started), here);
}

// Where questions are all that the last chunk holds, it does not show how large messages are.
int64_t RabbitmqSubscription::Beyond(const Started& started) {
  StreamEnd end = started.end;
  end.records_a_message = std::max(end.records_a_message, started.records_a_message);
  return end.RecordsBeyond(started.cursor.stream_offset());
}

// Whoever has come to where the shard ended, and is sent less ahead than the broker might, has here
// all that its node has.
bool RabbitmqSubscription::ShouldAskForEnd(const Started& started) const {
  if (!KnowsEnd(started) || world_.clock.IsManual()) return true;
  bool is_behind = Beyond(started) > 0 || 2 * static_cast<int64_t>(started.pending.size()) >=
                                              world_.settings.read_ahead_messages();
  return is_behind && world_.clock.Uptime() >= ask_ends_at_;
}

bool RabbitmqSubscription::KnowsEnd(const Started& started) const {
  return !started.consumer.empty() && started.end_of == started.cursor.stream();
}

// Of all shards, or of those alone that were started since.
absl::Status RabbitmqSubscription::RefreshEnds() {
  absl::Duration began = world_.clock.Uptime();
  bool is_time = began >= ask_ends_at_ || world_.clock.IsManual();
  std::vector<Started*> asked_for;
  std::vector<std::string> streams;
  for (auto& [shard, started] : started_) {
    if (HasAll(started) || !ShouldAskForEnd(started) || (!is_time && KnowsEnd(started))) continue;
    asked_for.push_back(&started);
    streams.push_back(started.cursor.stream());
  }
  std::vector<std::vector<StreamMessage>> chunks(streams.size());
  absl::Status asked =
      session_.Call("asking for the lag", [&](Connection& connection) -> absl::Status {
        MARQUEE_ASSIGN_OR_RETURN(chunks, LastChunks(connection, streams));
        return absl::OkStatus();
      });
  // Of a shard that has moved on the next poll finds out.
  if (!asked.ok() && !absl::IsNotFound(asked)) return asked;
  for (size_t i = 0; i < asked_for.size(); ++i) {
    Started& started = *asked_for[i];
    MARQUEE_ASSIGN_OR_RETURN(started.end, EndOf(chunks[i]));
    if (!asked.ok()) started.end = {.offset = started.cursor.stream_offset() + 1};
    started.end_of = started.cursor.stream();
  }
  if (!is_time) return absl::OkStatus();
  // Where the broker is slow, it is not what keeps the reader from reading.
  absl::Duration now = world_.clock.Uptime();
  ask_ends_at_ = now + std::max(kEndsInterval, kEndsPauseFactor * (now - began));
  return absl::OkStatus();
}

absl::Status RabbitmqSubscription::ReportPosition(const TopicShard& shard, Offset next) {
  if (options_.group.empty()) {
    return absl::FailedPreconditionError(
        "a subscription without a group has nobody to report a position for");
  }
  auto started = started_.find(shard);
  TopicIdentity identity;
  if (started != started_.end()) {
    identity = started->second.topic.identity;
  } else {
    MARQUEE_ASSIGN_OR_RETURN(Topic topic, topics_.FindShard(shard));
    identity = topic.identity;
  }
  reports_[shard] = {identity, next};
  return WriteReports(/*at_once=*/false);
}

namespace {

// Without waiting until they are stored: the next ones say more.
absl::Status SendReports(Connection& connection, const std::string& stream,
                         std::span<const std::string> entries) {
  MARQUEE_RETURN_IF_ERROR(connection.CheckQueue(stream));
  for (const std::string& entry : entries) {
    MARQUEE_RETURN_IF_ERROR(connection.Send(kPublishChannel, stream, entry));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status RabbitmqSubscription::WriteReports(bool at_once) {
  if (reports_.empty()) return absl::OkStatus();
  absl::Duration now = world_.clock.Uptime();
  if (!at_once && now - reported_at_ < kReportInterval) return absl::OkStatus();
  reported_at_ = now;
  MARQUEE_RETURN_IF_ERROR(topics_.NoteGroup(options_.group));
  std::vector<std::string> entries;
  for (const auto& [shard, report] : reports_) {
    entries.push_back(
        MakeMessage({.kind = Kind::kEntry}, ReportEntry(shard, report.first, report.second)));
  }
  absl::Status written =
      session_.Call("reporting positions", [&](Connection& connection) -> absl::Status {
        std::string stream = GroupStreamOf(options_.group);
        if (!has_report_stream_) {
          MARQUEE_RETURN_IF_ERROR(MakeStream(
              connection, stream, {.segment_bytes = kLogSegmentBytes, .max_bytes = kLogBytesMax},
              kPatience));
          has_report_stream_ = true;
        }
        absl::Status status = at_once ? Append(connection, stream, entries, kPatience)
                                      : SendReports(connection, stream, entries);
        has_report_stream_ = !absl::IsNotFound(status);
        return status;
      });
  MARQUEE_RETURN_IF_ERROR(written);
  reports_.clear();
  return absl::OkStatus();
}

}  // namespace marquee::messaging::rabbitmq
