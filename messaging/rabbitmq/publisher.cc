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
constexpr absl::Duration kEndTimeout = absl::Seconds(1);
// A node that has not heard for so long that an epoch has ended is not only behind.
constexpr absl::Duration kGoneMax = absl::Seconds(5);

absl::Status SomebodyDeleted(std::string_view topic, std::string_view text) {
  return absl::DataLossError(fmt::format(
      "topic {}: the broker has no queue for what was published ({}): somebody else deleted a "
      "stream or an exchange of it; restore it, or delete the topic and declare it anew",
      topic, text));
}

}  // namespace

RabbitmqPublisher::RabbitmqPublisher(World& world, Topics& topics, Topic topic,
                                     ChangesSeen changes_seen)
    : world_(world),
      topics_(topics),
      topic_(std::move(topic)),
      changes_seen_(std::move(changes_seen)),
      exchange_(ExchangeOf(topic_.spec.name, topic_.identity)),
      nonce_(Random::FromSystem().Next()),
      wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
      open_(topic_.spec.shards) {
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
  if (open_bytes_ == 0) {
    open_since_ = world_.clock.Uptime();
    Wake();
  }
  auto pack_bytes = static_cast<size_t>(world_.settings.pack_bytes);
  for (const NewRecord& record : records) {
    Shard shard =
        record.shard.has_value() ? *record.shard : ShardOfKey(record.key, topic_.spec.shards);
    PackEncoder& encoder = open_[shard.value()];
    size_t before = encoder.raw_bytes();
    encoder.Add(record.key, record.value, record.headers, now_ms);
    open_bytes_ += std::max<size_t>(1, encoder.raw_bytes() - before);
    if (encoder.raw_bytes() < pack_bytes && encoder.records() < kPackRecordsMax &&
        open_bytes_ < kQueueBytesMax) {
      continue;
    }
    if (open_bytes_ < kQueueBytesMax) {
      Seal(shard.value());
    } else {
      SealAll();
    }
    MARQUEE_RETURN_IF_ERROR(WaitUntil(
        [this] {
          mutex_.AssertHeld();
          return queue_bytes_ <= kQueueBytesMax;
        },
        "publishing"));
  }
  return absl::OkStatus();
}

absl::StatusOr<FlushedThrough> RabbitmqPublisher::Flush() {
  MutexLock lock(mutex_);
  if (!error_.ok()) return TakeError();
  if (!thread_.joinable()) return through_;
  SealAll();
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
  DiscardUnsent();
  flush_waits_ = false;
  // Nothing of it is sent any more: what is on the connection ends with it.
  drop_ = true;
  if (connection_ != nullptr) connection_->Interrupt();
  Wake();
  return std::exchange(error_, absl::OkStatus());
}

void RabbitmqPublisher::DiscardUnsent() {
  for (PackEncoder& encoder : open_) encoder.Clear();
  open_bytes_ = 0;
  queue_.clear();
  queue_bytes_ = 0;
}

void RabbitmqPublisher::Seal(size_t shard) {
  PackEncoder encoder;
  std::swap(encoder, open_[shard]);
  size_t bytes = encoder.raw_bytes();
  open_bytes_ -= std::min(open_bytes_, std::max<size_t>(1, bytes));
  queue_bytes_ += bytes;
  queue_.push_back({Shard(static_cast<uint32_t>(shard)), std::move(encoder)});
  Wake();
}

void RabbitmqPublisher::SealAll() {
  for (size_t shard = 0; shard < open_.size(); ++shard) {
    if (!open_[shard].empty()) Seal(shard);
  }
  open_bytes_ = 0;
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
  DiscardUnsent();
  ForgetSent();
  DropConnection();
  connect_at_ = world_.clock.Uptime() + backoff_.Next();
  if (error_.ok()) error_ = status;
  flush_waits_ = false;
  done_.SignalAll();
}

bool RabbitmqPublisher::HasWork() {
  MutexLock lock(mutex_);
  return !queue_.empty() || !sent_.empty() || flush_waits_ || Lingered();
}

bool RabbitmqPublisher::Lingered() {
  return open_bytes_ > 0 && world_.clock.Uptime() - open_since_ >= kLinger / 2;
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
  MARQUEE_RETURN_IF_ERROR(SendAgain());
  MARQUEE_RETURN_IF_ERROR(SendMore());
  MARQUEE_RETURN_IF_ERROR(TakeEvents());
  if (ShouldSettle()) {
    absl::Status settled = Settle();
    if (!settled.ok()) return Gone(settled);
    MARQUEE_RETURN_IF_ERROR(SendAgain());
    // What came meanwhile makes no noise any more.
    MARQUEE_RETURN_IF_ERROR(TakeEvents());
    turn_again_ = true;
  }
  return FinishFlush();
}

// Not for each: once for many, and where a flush waits.
bool RabbitmqPublisher::ShouldSettle() {
  if (!IsEntity()) return false;
  auto window = static_cast<size_t>(world_.settings.confirm_window_messages);
  size_t confirmed = 0, unconfirmed = 0;
  for (const Sent& message : sent_) {
    if (!message.stored) ++(message.confirmed ? confirmed : unconfirmed);
  }
  if (confirmed > window / 2) return true;
  MutexLock lock(mutex_);
  return confirmed > 0 && unconfirmed == 0 && flush_waits_ && queue_.empty();
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
        return Follow::Then::kDone;
      }
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
  PopStored();
  return absl::OkStatus();
}

void RabbitmqPublisher::PopStored() {
  while (!sent_.empty() && sent_.front().stored) sent_.pop_front();
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
    case Event::Kind::kReturned:
    case Event::Kind::kChannelClosed:
      return WhyGone(event.text);
    case Event::Kind::kRefused:
      return absl::UnavailableError("the broker could not store a message");
    default:
      return absl::OkStatus();
  }
}

void RabbitmqPublisher::Confirm(uint64_t tag, bool multiple) {
  // What was published again has a higher tag than what stands behind it.
  for (Sent& message : sent_) {
    if (message.tag == 0 || message.tag > tag) continue;
    if (message.tag == tag || multiple) {
      message.confirmed = true;
      message.stored = !IsEntity();
    }
  }
  PopStored();
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
  for (uint32_t i = 0; i < topic.spec.shards; ++i) {
    absl::Status there =
        mine_->CheckQueue(EventStreamOf(topic.spec.name, Shard(i), topic.identity));
    if (absl::IsNotFound(there)) break;
    MARQUEE_RETURN_IF_ERROR(there);
    if (i + 1 == topic.spec.shards) return absl::UnavailableError(std::string(text));
  }
  return SomebodyDeleted(topic_.spec.name, text);
}

// Epochs have passed since this publisher read the shard: it begins anew in the present one. That
// of a node that is behind may be gone for a while.
absl::Status RabbitmqPublisher::WhyEpochsGone(std::string_view text) {
  for (auto& [shard, tail] : tails_) {
    absl::StatusOr<ShardState> state =
        ReadShardState(*mine_, topic_.spec.name, shard, topic_.identity);
    absl::Status there = state.status();
    if (there.ok()) {
      there =
          mine_->CheckQueue(EpochStreamOf(topic_.spec.name, shard, topic_.identity, state->epoch));
    }
    tail.cursor.reset();
    tail.known = false;
    if (!absl::IsNotFound(there)) {
      MARQUEE_RETURN_IF_ERROR(there);
      tail.gone_since.reset();
      continue;
    }
    absl::Duration now = world_.clock.Uptime();
    if (!tail.gone_since.has_value()) tail.gone_since = now;
    if (now - *tail.gone_since > kGoneMax) return SomebodyDeleted(topic_.spec.name, text);
  }
  return absl::UnavailableError(std::string(text));
}

absl::Status RabbitmqPublisher::SendAgain() {
  for (Sent& message : sent_) {
    if (message.tag != 0) continue;
    ShardTail& tail = tails_[message.shard];
    if (!tail.known) MARQUEE_RETURN_IF_ERROR(LearnTail(message.shard, &tail));
    bool is_entity = IsEntity();
    MARQUEE_RETURN_IF_ERROR(mine_->Publish(
        kPublishChannel, is_entity ? "" : exchange_,
        is_entity ? tail.cursor->stream() : fmt::to_string(message.shard.value()), message.body));
    message.tag = mine_->published(kPublishChannel);
  }
  return absl::OkStatus();
}

std::optional<RabbitmqPublisher::Sealed> RabbitmqPublisher::NextSealed() {
  MutexLock lock(mutex_);
  if (stop_ || drop_) return std::nullopt;
  if (Lingered()) SealAll();
  if (queue_.empty()) return std::nullopt;
  Sealed sealed = std::move(queue_.front());
  queue_.pop_front();
  queue_bytes_ -= std::min(queue_bytes_, sealed.encoder.raw_bytes());
  done_.SignalAll();
  return sealed;
}

absl::Status RabbitmqPublisher::SendMore() {
  auto window = static_cast<size_t>(world_.settings.confirm_window_messages);
  while (sent_.size() < window && mine_->blocked().empty()) {
    std::optional<Sealed> sealed = NextSealed();
    if (!sealed.has_value()) return absl::OkStatus();
    // From here on it is among what is sent again, whatever happens.
    Sent message{.shard = sealed->shard, .sequence = ++sequence_, .body = {}};
    ShardTail& tail = tails_[message.shard];
    if (tail.unspoken >= 0) tail.unspoken += sealed->encoder.records();
    AppendHead({.kind = Kind::kPack, .nonce = nonce_, .sequence = message.sequence}, &message.body);
    sealed->encoder.Finish(compressor_, &message.body);
    tail.sequence = message.sequence;
    ++tail.unfound;
    touched_.insert(message.shard);
    sent_.push_back(std::move(message));
    MARQUEE_RETURN_IF_ERROR(SendAgain());
    MARQUEE_RETURN_IF_ERROR(TakeEvents());
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
    if (!flush_waits_ || drop_ || !queue_.empty() || !sent_.empty()) return absl::OkStatus();
  }
  FlushedThrough through;
  absl::Status found = FindTails();
  if (!found.ok()) return Gone(found);
  for (const auto& [shard, tail] : tails_) {
    if (tail.flushed) through[shard] = tail.hint;
  }
  MutexLock lock(mutex_);
  // An error may have been told meanwhile.
  if (!flush_waits_ || drop_ || !queue_.empty()) return absl::OkStatus();
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
  bool is_much = tail->unspoken >= world_.settings.snapshot_records / kSpeakDivisor;
  if (tail->unspoken >= 0 && !is_much && tail->epoch == tail->cursor->epoch()) return;
  tail->epoch = tail->cursor->epoch();
  tail->unspoken = 0;
  changes_seen_(topic_, shard);
}

// Until something is to be done: a word of the broker, a call, the linger.
void RabbitmqPublisher::Rest() {
  absl::Duration most = kRestMax;
  {
    MutexLock lock(mutex_);
    if (stop_ || drop_ || std::exchange(turn_again_, false)) return;
    bool can_send = mine_ != nullptr && fenced_ && mine_->blocked().empty();
    auto window = static_cast<size_t>(world_.settings.confirm_window_messages);
    if (can_send && !queue_.empty() && sent_.size() < window) return;
    absl::Duration now = world_.clock.Uptime();
    if (open_bytes_ > 0) most = std::min(most, open_since_ + kLinger / 2 - now);
    bool has_work = !queue_.empty() || !sent_.empty() || flush_waits_ || open_bytes_ > 0;
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
