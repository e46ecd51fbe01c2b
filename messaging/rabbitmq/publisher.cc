#include "messaging/rabbitmq/publisher.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/random.h"
#include "base/status.h"
#include "messaging/checks.h"
#include "messaging/rabbitmq/follow.h"
#include "messaging/rabbitmq/shard_state.h"
#include "messaging/rabbitmq/shard_view.h"
#include "messaging/rabbitmq/stream.h"

namespace marquee::messaging::rabbitmq {
namespace {

constexpr absl::Duration kConnectTimeout = absl::Seconds(2);
constexpr absl::Duration kPatience = absl::Seconds(5);
constexpr absl::Duration kRestMax = absl::Seconds(1);
// A publisher speaks of changes when it has made this part of what a new epoch takes.
constexpr int64_t kSpeakDivisor = 4;
constexpr int64_t kFollowedMax = 64;
// So many are sent between two looks at what the broker says.
constexpr uint64_t kSentBetweenLooks = 64;
constexpr absl::Duration kEndTimeout = absl::Seconds(1);

}  // namespace

RabbitmqPublisher::RabbitmqPublisher(World& world, Topics& topics, Topic topic,
                                     ChangesSeen changes_seen)
    : world_(world),
      topics_(topics),
      topic_(std::move(topic)),
      changes_seen_(std::move(changes_seen)),
      exchange_(ExchangeOf(topic_.spec.name, topic_.identity)),
      nonce_(Random::FromSystem().Next()),
      together_bytes_max_(world_.settings.pack ? PackGatherer::TogetherBytesMax(static_cast<size_t>(
                                                     world_.settings.pack_bytes))
                                               : 0),
      wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
      gatherer_(topic_.spec.shards, {.pack_bytes = static_cast<size_t>(world_.settings.pack_bytes),
                                     .open_bytes = kQueueBytesMax}) {
  MARQUEE_CHECK(wake_ >= 0);
}

RabbitmqPublisher::~RabbitmqPublisher() {
  {
    MutexLock lock(mutex_);
    stop_ = true;
    Wake();
    absl::Duration until = world_.clock.Uptime() + kEndTimeout;
    while (thread_.joinable() && !ended_ && world_.clock.Uptime() < until) {
      done_.WaitFor(mutex_, until - world_.clock.Uptime());
    }
    if (connection_ != nullptr && !ended_) connection_->Interrupt();
  }
  if (thread_.joinable()) thread_.join();
  close(wake_);
}

void RabbitmqPublisher::Wake() {
  uint64_t one = 1;
  (void)!write(wake_, &one, sizeof one);  // full: it is awake
}

absl::Status RabbitmqPublisher::Publish(std::span<const NewRecord> records) {
  for (const NewRecord& record : records) {
    MARQUEE_RETURN_IF_ERROR(CheckRecord(topic_.spec, record));
  }
  int64_t now_ms = absl::ToUnixMillis(world_.clock.Now());
  MutexLock lock(mutex_);
  if (!error_.ok()) return TakeError();
  if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
  absl::Duration now = world_.clock.Uptime();
  size_t bytes = BytesTogether(records);
  if (bytes <= together_bytes_max_) gatherer_.MakeRoom(bytes);
  for (const NewRecord& record : records) {
    Shard shard =
        record.shard.has_value() ? *record.shard : ShardOfKey(record.key, topic_.spec.shards);
    bool had_open = gatherer_.HasOpen();
    size_t sealed_before = gatherer_.sealed_bytes();
    gatherer_.Add(shard, record, now_ms, now);
    bool sealed = gatherer_.sealed_bytes() != sealed_before;
    if (sealed || !had_open) Wake();
    if (!sealed) continue;
    MARQUEE_RETURN_IF_ERROR(WaitUntil(
        [this] {
          mutex_.AssertHeld();
          return gatherer_.sealed_bytes() <= kQueueBytesMax;
        },
        "publishing"));
  }
  return absl::OkStatus();
}

absl::StatusOr<FlushedThrough> RabbitmqPublisher::Flush() {
  MutexLock lock(mutex_);
  if (!error_.ok()) return TakeError();
  if (!thread_.joinable()) return through_;
  gatherer_.SealAll();
  flush_waits_ = true;
  Wake();
  MARQUEE_RETURN_IF_ERROR(WaitUntil(
      [this] {
        mutex_.AssertHeld();
        return !flush_waits_;
      },
      "flushing"));
  return through_;
}

absl::Status RabbitmqPublisher::WaitUntil(const std::function<bool()>& done,
                                          std::string_view what) {
  absl::Duration until = world_.clock.Uptime() + world_.deadline;
  while (!done() && error_.ok()) {
    absl::Duration left = until - world_.clock.Uptime();
    if (left <= absl::ZeroDuration()) {
      std::string trouble = trouble_.empty() ? "it does not confirm" : trouble_;
      error_ = world_.GaveUp(fmt::format("{} to topic {}", what, topic_.spec.name),
                             absl::UnavailableError(trouble));
      break;
    }
    done_.WaitFor(mutex_, left);
  }
  return error_.ok() ? absl::OkStatus() : TakeError();
}

absl::Status RabbitmqPublisher::TakeError() {
  gatherer_.Clear();
  flush_waits_ = false;
  // Nothing of it is sent any more: what is on the connection ends with it.
  drop_ = true;
  if (connection_ != nullptr) connection_->Interrupt();
  Wake();
  return std::exchange(error_, absl::OkStatus());
}

void RabbitmqPublisher::Run() {
  while (true) {
    {
      MutexLock lock(mutex_);
      if (stop_) break;
      if (std::exchange(drop_, false)) {
        ForgetSent();
        DropConnection();
      }
    }
    absl::Status status = Work();
    // An error of a connection that was interrupted is nobody's.
    if (absl::IsUnavailable(status)) {
      Trouble(status);
    } else if (!status.ok()) {
      Fail(status);
    }
    Rest();
  }
  follower_.reset();
  mine_.reset();
  MutexLock lock(mutex_);
  connection_.reset();
  ended_ = true;
  done_.SignalAll();
}

// Any part of it may be stored.
void RabbitmqPublisher::ForgetSent() {
  sent_.clear();
  unsent_ = 0;
  Recount();
  for (Shard shard : touched_) tails_[shard].repeated = true;
  touched_.clear();
}

void RabbitmqPublisher::DropConnection() {
  connection_.reset();
  follower_.reset();
  mine_.reset();
  fenced_ = false;
  // What is unconfirmed, and what of the same shard is after it, is sent again.
  std::set<Shard> again;
  std::deque<Sent> sent;
  for (Sent& message : sent_) {
    bool is_done = IsEntity() ? message.stored : message.confirmed;
    if (is_done && !again.contains(message.shard)) continue;
    again.insert(message.shard);
    message.confirmed = message.stored = false;
    message.tag = 0;
    sent.push_back(std::move(message));
  }
  sent_ = std::move(sent);
  unsent_ = 0;
  on_wire_.clear();
  Recount();
  for (Shard shard : again) tails_[shard].repeated = true;
}

void RabbitmqPublisher::Trouble(const absl::Status& status) {
  MutexLock lock(mutex_);
  trouble_ = std::string(status.message());
  DropConnection();
  connect_at_ = world_.clock.Uptime() + backoff_.Next();
}

void RabbitmqPublisher::Fail(const absl::Status& status) {
  MutexLock lock(mutex_);
  gatherer_.Clear();
  ForgetSent();
  DropConnection();
  connect_at_ = world_.clock.Uptime() + backoff_.Next();
  if (error_.ok()) error_ = status;
  flush_waits_ = false;
  done_.SignalAll();
}

bool RabbitmqPublisher::HasWork() {
  MutexLock lock(mutex_);
  return gatherer_.HasSealed() || !sent_.empty() || flush_waits_ ||
         world_.clock.Uptime() >= gatherer_.LingersUntil();
}

// One round: connects, takes what the broker says, sends what there is to send.
absl::Status RabbitmqPublisher::Work() {
  if (mine_ == nullptr) {
    if (!HasWork() || world_.clock.Uptime() < connect_at_) return absl::OkStatus();
    MARQUEE_RETURN_IF_ERROR(Connect());
  }
  MARQUEE_RETURN_IF_ERROR(TakeEvents());
  if (!mine_->blocked().empty()) {
    MutexLock lock(mutex_);
    trouble_ = "it reads nothing from publishers: " + mine_->blocked();
    return absl::OkStatus();
  }
  if (HasWork()) MARQUEE_RETURN_IF_ERROR(Fence());
  MARQUEE_RETURN_IF_ERROR(SendUnsent());
  MARQUEE_RETURN_IF_ERROR(SendMore());
  MARQUEE_RETURN_IF_ERROR(TakeEvents());
  if (ShouldSettle()) {
    absl::Status settled = Settle();
    if (!settled.ok()) return Gone(settled);
    MARQUEE_RETURN_IF_ERROR(SendUnsent());
    // What came meanwhile makes no noise any more.
    MARQUEE_RETURN_IF_ERROR(TakeEvents());
    turn_again_ = true;
  }
  return FinishFlush();
}

// Not for each: once for many; and where no confirm is to come, for a flush that waits, or because
// the window is full of what is confirmed.
bool RabbitmqPublisher::ShouldSettle() {
  if (!IsEntity() || unsettled_ == 0) return false;
  auto window = static_cast<size_t>(world_.settings.window_messages());
  if (unsettled_ > window / 2) return true;
  if (!on_wire_.empty()) return false;
  if (sent_.size() >= window) return true;
  MutexLock lock(mutex_);
  return unconfirmed_ == 0 && flush_waits_ && !gatherer_.HasSealed();
}

absl::Status RabbitmqPublisher::Settle() {
  std::map<Shard, uint64_t> wanted;  // the last before which all are confirmed
  std::set<Shard> unconfirmed, ended;
  for (const Sent& message : sent_) {
    if (!message.confirmed) unconfirmed.insert(message.shard);
    if (!message.stored && !unconfirmed.contains(message.shard)) {
      wanted[message.shard] = message.sequence;
    }
  }
  std::vector<Follow> follows;
  for (const auto& [shard, sequence] : wanted) {
    ShardTail* tail = &tails_[shard];
    auto take = [&, tail, number = shard,
                 until = sequence](const Taken& taken) -> absl::StatusOr<Follow::Then> {
      if (taken.step == ShardCursor::Step::kMoved) {
        ended.insert(number);
        tail->changes = 0;
        return Follow::Then::kDone;
      }
      // What is no pack takes as much as a record.
      tail->changes += taken.head.kind == Kind::kPack
                           ? static_cast<int64_t>(PackRecords(PayloadOf(taken.body)))
                           : 1;
      if (taken.head.kind == Kind::kPack && taken.head.nonce == nonce_) {
        tail->seen = std::max(tail->seen, taken.head.sequence);
        tail->seen_after = ToOffset(tail->cursor->base(), taken.stream_offset + 1);
      }
      return tail->seen >= until ? Follow::Then::kDone : Follow::Then::kMore;
    };
    follows.push_back({.cursor = &*tail->cursor, .from = {}, .begun = {}, .take = take});
  }
  MARQUEE_RETURN_IF_ERROR(follower_->Run(follows, kPatience));
  for (Sent& message : sent_) {
    if (message.confirmed && message.sequence <= tails_[message.shard].seen) {
      message.stored = true;
    } else if (ended.contains(message.shard)) {
      message.confirmed = false;
      message.tag = 0;
    }
  }
  unsent_ = 0;
  Recount();
  PopStored();
  for (const auto& [shard, sequence] : wanted) SpeakOfChanges(shard, &tails_[shard]);
  return absl::OkStatus();
}

void RabbitmqPublisher::PopStored() {
  while (!sent_.empty() && sent_.front().stored) {
    sent_.pop_front();
    unsent_ -= std::min<size_t>(unsent_, 1);
  }
}

void RabbitmqPublisher::Recount() {
  unconfirmed_ = unsettled_ = 0;
  for (const Sent& message : sent_) {
    if (!message.stored) ++(message.confirmed ? unsettled_ : unconfirmed_);
  }
}

absl::Status RabbitmqPublisher::Connect() {
  MARQUEE_ASSIGN_OR_RETURN(std::unique_ptr<Connection> connection,
                           world_.Connect("publisher of " + topic_.spec.name, kConnectTimeout));
  MutexLock lock(mutex_);
  if (stop_ || drop_) return absl::UnavailableError("not wanted any more");
  mine_ = std::move(connection);
  follower_.emplace(*mine_, Follower::Keeps::kConsumers);
  connection_ = mine_;
  return absl::OkStatus();
}

// Before anything is sent: makes sure that the former connection is no more.
absl::Status RabbitmqPublisher::Fence() {
  if (fenced_) return absl::OkStatus();
  absl::Status fenced = mine_->DeclareExclusive(fmt::format("marquee.publisher.{:016x}", nonce_));
  if (absl::IsAborted(fenced)) {
    return absl::UnavailableError(
        "the broker has not yet ended this publisher's former connection");
  }
  MARQUEE_RETURN_IF_ERROR(fenced);
  MARQUEE_RETURN_IF_ERROR(mine_->SelectConfirms(kPublishChannel));
  fenced_ = true;
  backoff_.Reset();
  MutexLock lock(mutex_);
  trouble_.clear();
  return absl::OkStatus();
}

absl::Status RabbitmqPublisher::TakeEvents() {
  while (true) {
    MARQUEE_ASSIGN_OR_RETURN(Event event, mine_->Wait(absl::ZeroDuration()));
    if (event.kind == Event::Kind::kNone) return absl::OkStatus();
    MARQUEE_RETURN_IF_ERROR(TakeEvent(std::move(event)));
  }
}

absl::Status RabbitmqPublisher::TakeEvent(Event event) {
  if (event.channel == kFollowChannel) {
    follower_->Keep(std::move(event));
    return absl::OkStatus();
  }
  if (event.channel != kPublishChannel) return absl::OkStatus();
  switch (event.kind) {
    case Event::Kind::kConfirmed:
      Confirm(event.tag, event.multiple);
      return absl::OkStatus();
    case Event::Kind::kChannelClosed:
      // A permission, or the broker's limit of a message: it would be so again.
      if (absl::IsFailedPrecondition(event.why)) return ClosedBecause(event);
      return WhyGone(event.text);
    case Event::Kind::kReturned:
      return WhyGone(event.text);
    case Event::Kind::kRefused:
      return absl::UnavailableError("the broker could not store a message");
    default:
      return absl::OkStatus();
  }
}

void RabbitmqPublisher::Confirm(uint64_t tag, bool multiple) {
  if (tag < first_tag_ || tag - first_tag_ >= on_wire_.size()) return;
  size_t last = tag - first_tag_;
  for (size_t i = multiple ? 0 : last; i <= last; ++i) {
    ConfirmOne(first_tag_ + i, std::exchange(on_wire_[i], 0));
  }
  while (!on_wire_.empty() && on_wire_.front() == 0) {
    on_wire_.pop_front();
    ++first_tag_;
  }
  PopStored();
}

void RabbitmqPublisher::ConfirmOne(uint64_t tag, uint64_t sequence) {
  auto message =
      std::lower_bound(sent_.begin(), sent_.end(), sequence,
                       [](const Sent& one, uint64_t wanted) { return one.sequence < wanted; });
  // Confirmed before, or published again since under another tag.
  if (message == sent_.end() || message->sequence != sequence || message->tag != tag) return;
  message->confirmed = true;
  message->stored = !IsEntity();
  --unconfirmed_;
  if (!message->stored) ++unsettled_;
}

// There is no exchange or no queue to publish to.
absl::Status RabbitmqPublisher::WhyGone(std::string_view text) {
  MARQUEE_ASSIGN_OR_RETURN(Topic topic, topics_.Find(topic_.spec.name));
  if (topic.identity != topic_.identity) {
    return absl::FailedPreconditionError(fmt::format(
        "topic {} was deleted and declared again: it was {}, it is {}; open a new publisher",
        topic_.spec.name, topic_.identity, topic.identity));
  }
  if (IsEntity()) return WhyEpochsGone(text);
  std::string what = "exchange " + exchange_;
  absl::Status there = mine_->CheckExchange(exchange_);
  for (uint32_t i = 0; there.ok() && i < topic.spec.shards; ++i) {
    std::string stream = EventStreamOf(topic.spec.name, Shard(i), topic.identity);
    what = "stream " + stream;
    there = mine_->CheckQueue(stream);
  }
  if (!absl::IsNotFound(there) && !there.ok()) return there;
  // That the topic was deleted may not be known here yet.
  bool is_gone = !there.ok() && absence_.IsForGood(world_.clock.Uptime());
  return is_gone ? DeletedUnderneath(topic_.spec.name, what)
                 : absl::UnavailableError(std::string(text));
}

// Epochs have passed since this publisher read the shard: it begins anew in the present one. That
// of a node that is behind may be gone for a while.
absl::Status RabbitmqPublisher::WhyEpochsGone(std::string_view text) {
  for (auto& [shard, tail] : tails_) {
    std::string stream = StateStreamOf(topic_.spec.name, shard, topic_.identity);
    absl::StatusOr<ShardState> state =
        ReadShardState(*mine_, topic_.spec.name, shard, topic_.identity);
    absl::Status there = state.status();
    if (there.ok()) {
      stream = EpochStreamOf(topic_.spec.name, shard, topic_.identity, state->epoch);
      there = mine_->CheckQueue(stream);
    }
    tail.cursor.reset();
    tail.known = false;
    if (!absl::IsNotFound(there)) {
      MARQUEE_RETURN_IF_ERROR(there);
      continue;
    }
    if (tail.absence.IsForGood(world_.clock.Uptime())) {
      return DeletedUnderneath(topic_.spec.name, "stream " + stream);
    }
  }
  return absl::UnavailableError(std::string(text));
}

// Where in sent_ the window ends.
size_t RabbitmqPublisher::MaySend() const {
  return std::min(sent_.size(), static_cast<size_t>(world_.settings.window_messages()));
}

// Sends what is not on this connection, in order, up to the end of the window.
absl::Status RabbitmqPublisher::SendUnsent() {
  while (unsent_ < MaySend() && mine_->blocked().empty()) {
    Sent& message = sent_[unsent_];
    uint64_t former = message.tag;
    if (former == 0) MARQUEE_RETURN_IF_ERROR(Send(&message));
    ++unsent_;
    // What the broker says may take messages from sent_.
    if (former == 0 && message.tag % kSentBetweenLooks == 0) MARQUEE_RETURN_IF_ERROR(TakeEvents());
  }
  return absl::OkStatus();
}

absl::Status RabbitmqPublisher::Send(Sent* message) {
  ShardTail& tail = tails_[message->shard];
  if (!tail.known) MARQUEE_RETURN_IF_ERROR(LearnTail(message->shard, &tail));
  bool is_entity = IsEntity();
  MARQUEE_RETURN_IF_ERROR(
      mine_->Publish(kPublishChannel, is_entity ? "" : exchange_,
                     is_entity ? tail.cursor->stream() : fmt::to_string(message->shard.value()),
                     message->body, message->plain.has_value() ? &*message->plain : nullptr));
  message->tag = mine_->published(kPublishChannel);
  if (on_wire_.empty()) first_tag_ = message->tag;
  on_wire_.push_back(message->sequence);
  return absl::OkStatus();
}

std::optional<SealedPack> RabbitmqPublisher::NextSealed() {
  MutexLock lock(mutex_);
  if (stop_ || drop_) return std::nullopt;
  gatherer_.SealLingered(world_.clock.Uptime());
  std::optional<SealedPack> sealed = gatherer_.TakeSealed();
  if (sealed.has_value()) done_.SignalAll();
  return sealed;
}

absl::Status RabbitmqPublisher::SendMore() {
  auto window = static_cast<size_t>(world_.settings.window_messages());
  while (sent_.size() < window && mine_->blocked().empty()) {
    std::optional<SealedPack> sealed = NextSealed();
    if (!sealed.has_value()) return absl::OkStatus();
    // From here on it is among what is sent again, whatever happens.
    MARQUEE_RETURN_IF_ERROR(Keep(&*sealed));
    MARQUEE_RETURN_IF_ERROR(SendUnsent());
    MARQUEE_RETURN_IF_ERROR(TakeEvents());
  }
  return absl::OkStatus();
}

absl::Status RabbitmqPublisher::Keep(SealedPack* sealed) {
  ShardTail& tail = tails_[sealed->shard];
  size_t before = sent_.size();
  if (world_.settings.pack) {
    KeepPack(sealed);
  } else {
    MARQUEE_RETURN_IF_ERROR(KeepPlain(sealed));
  }
  tail.sequence = sequence_;
  tail.unfound += static_cast<int64_t>(sent_.size() - before);
  unconfirmed_ += sent_.size() - before;
  touched_.insert(sealed->shard);
  return absl::OkStatus();
}

void RabbitmqPublisher::KeepPack(SealedPack* sealed) {
  Sent message{.shard = sealed->shard, .sequence = ++sequence_, .body = {}, .plain = {}};
  AppendHead({.kind = Kind::kPack, .nonce = nonce_, .sequence = message.sequence}, &message.body);
  sealed->encoder.Finish(compressor_, &message.body);
  sent_.push_back(std::move(message));
}

// One message for each record; a pack of one where the record cannot be plain.
absl::Status RabbitmqPublisher::KeepPlain(SealedPack* sealed) {
  std::string pack;
  sealed->encoder.Finish(compressor_, &pack);
  decoder_.Clear();
  MARQUEE_RETURN_IF_ERROR(decoder_.Add(pack, Offset(0)));
  for (const Record& record : decoder_.records()) {
    Sent message{.shard = sealed->shard, .sequence = ++sequence_, .body = {}, .plain = {}};
    Head head{.kind = Kind::kPack, .nonce = nonce_, .sequence = message.sequence};
    message.plain = ToPlain(head, record);
    if (message.plain.has_value()) {
      message.body = record.value.value_or("");
    } else {
      AppendHead(head, &message.body);
      sealed->encoder.Add(record.key, record.value, record.headers,
                          absl::ToUnixMillis(record.published));
      sealed->encoder.Finish(compressor_, &message.body);
    }
    sent_.push_back(std::move(message));
  }
  return absl::OkStatus();
}

absl::Status RabbitmqPublisher::Gone(const absl::Status& status) {
  if (absl::IsDeadlineExceeded(status)) {
    return absl::UnavailableError(std::string(status.message()));
  }
  return absl::IsNotFound(status) ? WhyGone(std::string(status.message())) : status;
}

// Before the first message to the shard: where it will be after.
absl::Status RabbitmqPublisher::LearnTail(Shard shard, ShardTail* tail) {
  if (IsEntity()) {
    absl::StatusOr<ShardState> state =
        ReadShardState(*mine_, topic_.spec.name, shard, topic_.identity);
    if (!state.ok()) return Gone(state.status());
    tail->cursor = ShardCursor::OfEntities(topic_, shard, *state, Offset(state->base));
    tail->changes = 0;
    tail->spoken = {.epoch = state->epoch};
    // Somebody did not come to the end of it.
    if (state->next != ShardState::Next::kNone) changes_seen_(topic_, shard, tail->spoken);
  } else {
    absl::StatusOr<ShardView> view = GlanceAtEvents(*mine_, {topic_, shard}, absl::InfinitePast());
    if (!view.ok()) return Gone(view.status());
    tail->hint = view->extent.end;
  }
  tail->known = true;
  return absl::OkStatus();
}

absl::Status RabbitmqPublisher::FinishFlush() {
  {
    MutexLock lock(mutex_);
    if (!flush_waits_ || drop_ || gatherer_.HasSealed() || !sent_.empty()) return absl::OkStatus();
  }
  FlushedThrough through;
  absl::Status found = FindTails();
  if (!found.ok()) return Gone(found);
  for (const auto& [shard, tail] : tails_) {
    if (tail.flushed) through[shard] = tail.hint;
  }
  MutexLock lock(mutex_);
  // An error may have been told meanwhile.
  if (!flush_waits_ || drop_ || gatherer_.HasSealed()) return absl::OkStatus();
  through_ = std::move(through);
  flush_waits_ = false;
  done_.SignalAll();
  return absl::OkStatus();
}

// Of all shards that were published to.
absl::Status RabbitmqPublisher::FindTails() {
  std::vector<Follow> follows;
  for (Shard shard : touched_) {
    ShardTail& tail = tails_[shard];
    // After so many it is quicker to look at the end.
    if (!IsEntity() && tail.unfound <= kFollowedMax) follows.push_back(FollowTail(shard, &tail));
  }
  MARQUEE_RETURN_IF_ERROR(follower_->Run(follows, kPatience));
  while (!touched_.empty()) {
    Shard shard = *touched_.begin();
    MARQUEE_RETURN_IF_ERROR(FindTail(shard, &tails_[shard]));
    touched_.erase(shard);
  }
  return absl::OkStatus();
}

Follow RabbitmqPublisher::FollowTail(Shard shard, ShardTail* tail) {
  if (!tail->cursor.has_value() || tail->cursor->position() < tail->hint) {
    tail->cursor = ShardCursor::OfEvents(topic_, shard, tail->hint);
  }
  tail->seen = 0;
  auto take = [this, tail](const Taken& taken) -> absl::StatusOr<Follow::Then> {
    if (MessageId{taken.head.nonce, taken.head.sequence} != MessageId{nonce_, tail->sequence}) {
      return Follow::Then::kMore;
    }
    tail->seen = tail->sequence;
    tail->seen_after = ToOffset(0, taken.stream_offset + 1);
    return Follow::Then::kDone;
  };
  return {.cursor = &*tail->cursor, .from = {}, .begun = {}, .take = take};
}

absl::Status RabbitmqPublisher::FindTail(Shard shard, ShardTail* tail) {
  tail->unfound = 0;
  if (IsEntity()) {
    tail->hint = tail->seen_after;
    tail->flushed = true;
    SpeakOfChanges(shard, tail);
    return absl::OkStatus();
  }
  Offset after = tail->seen_after;
  if (tail->seen != tail->sequence) {
    MARQUEE_ASSIGN_OR_RETURN(
        after, FindAfter(*mine_, {topic_, shard}, {nonce_, tail->sequence}, tail->hint, kPatience));
  }
  if (tail->repeated) {
    MARQUEE_ASSIGN_OR_RETURN(ShardView view,
                             GlanceAtEvents(*mine_, {topic_, shard}, absl::InfinitePast()));
    after = std::max(after, view.extent.end);
    tail->repeated = false;
  }
  if (after < tail->hint) {
    return absl::DataLossError(
        fmt::format("{}/{}: what was published last is before {}, but an earlier message was not: "
                    "the stream was "
                    "replaced by somebody else",
                    topic_.spec.name, shard.value(), after.value()));
  }
  tail->hint = after;
  tail->flushed = true;
  return absl::OkStatus();
}

void RabbitmqPublisher::SpeakOfChanges(Shard shard, ShardTail* tail) {
  EpochChanges changes{.epoch = tail->cursor->epoch(), .records = tail->changes};
  int64_t much = world_.settings.snapshot_records / kSpeakDivisor;
  bool is_same = changes.epoch == tail->spoken.epoch;
  if (is_same && changes.records - tail->spoken.records < much) return;
  tail->spoken = changes;
  changes_seen_(topic_, shard, changes);
}

// Until something is to be done: a word of the broker, a call, the linger.
void RabbitmqPublisher::Rest() {
  absl::Duration most = kRestMax;
  {
    MutexLock lock(mutex_);
    if (stop_ || drop_ || std::exchange(turn_again_, false)) return;
    bool can_send = mine_ != nullptr && fenced_ && mine_->blocked().empty();
    auto window = static_cast<size_t>(world_.settings.window_messages());
    if (can_send && ((gatherer_.HasSealed() && sent_.size() < window) || unsent_ < MaySend()))
      return;
    absl::Duration now = world_.clock.Uptime();
    most = std::min(most, gatherer_.LingersUntil() - now);
    bool has_work = gatherer_.HasSealed() || gatherer_.HasOpen() || !sent_.empty() || flush_waits_;
    if (mine_ == nullptr && has_work) {
      most = std::min(most, std::max(connect_at_ - now, absl::ZeroDuration()));
    }
    if (mine_ == nullptr && !has_work) most = absl::Seconds(60);
  }
  pollfd waiting[] = {
      {.fd = wake_, .events = POLLIN, .revents = 0},
      {.fd = mine_ != nullptr ? mine_->descriptor() : -1, .events = POLLIN, .revents = 0}};
  // Rounded up, or the last millisecond would be spent in turning round.
  auto most_ms = static_cast<int>(
      absl::ToInt64Milliseconds(std::max(most, absl::ZeroDuration()) + absl::Milliseconds(1)));
  (void)poll(waiting, 2, most_ms);
  uint64_t count = 0;
  (void)!read(wake_, &count, sizeof count);
}

}  // namespace marquee::messaging::rabbitmq
