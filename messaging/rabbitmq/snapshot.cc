#include "messaging/rabbitmq/snapshot.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "base/random.h"
#include "base/status.h"
#include "messaging/pack.h"
#include "messaging/rabbitmq/follow.h"
#include "messaging/rabbitmq/message.h"
#include "messaging/rabbitmq/shard_state.h"
#include "messaging/rabbitmq/stream.h"

namespace marquee::messaging::rabbitmq {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(10);
constexpr absl::Duration kDeletionsKept = absl::Hours(24);
constexpr absl::Duration kConnectTimeout = absl::Seconds(5);
constexpr absl::Duration kLookInterval = absl::Milliseconds(100);
constexpr int kMessagesBetweenRests = 64;
constexpr int kRestFactor = 3;
// With so many times the changes that an epoch takes, it is in a hurry.
constexpr int64_t kHurryFactor = 4;
// Between attempts at a shard that fail: longer each time.
constexpr absl::Duration kFailedIntervalMin = absl::Seconds(5);
constexpr absl::Duration kFailedIntervalMax = absl::Seconds(30);
constexpr absl::Duration kReplicaPause = absl::Milliseconds(50);

// Reads a part of the time alone: publishers and readers share the broker with it, and it is not in
// a hurry.
class Pace {
 public:
  Pace(Clock& clock, bool hurry) : clock_(clock), hurry_(hurry), began_(clock.Uptime()) {}
  // After each message.
  void Rest() {
    if (hurry_ || ++messages_ % kMessagesBetweenRests != 0) return;
    clock_.SleepFor(kRestFactor * (clock_.Uptime() - began_));
    began_ = clock_.Uptime();
  }

 private:
  Clock& clock_;
  const bool hurry_;
  int64_t messages_ = 0;
  absl::Duration began_;  // to work
};

// One change of epoch, under the shard's lock.
class EpochChange {
 public:
  EpochChange(Connection& connection, World& world, const Topic& topic, Shard shard,
              const EpochChanges& changes)
      : connection_(connection),
        world_(world),
        topic_(topic),
        shard_(shard),
        changes_(changes),
        writer_(connection, {topic.spec.name, shard, topic.identity}) {}

  // kNotFound: the topic is gone.
  absl::StatusOr<bool> RunIfDue();

 private:
  const std::string& name() const { return topic_.spec.name; }
  std::string Changes(uint64_t epoch) const {
    return EpochStreamOf(name(), shard_, topic_.identity, epoch);
  }
  std::string Snapshot(uint64_t epoch) const {
    return SnapshotStreamOf(name(), shard_, topic_.identity, epoch);
  }
  bool IsDue() const {
    return state_.next != ShardState::Next::kNone ||
           (changes_.epoch == state_.epoch && changes_.records >= Enough());
  }
  // From three quarters to five, so that shards that grow alike do not all begin at once: to
  // declare and delete streams keeps a broker from all else for some ten milliseconds.
  int64_t Enough() const {
    int64_t about = std::max(world_.settings.snapshot_records, 2 * state_.keys);
    return std::max<int64_t>(1, about * (6 + shard_.value() % 5) / 8);
  }
  absl::Status DeleteEpoch(uint64_t epoch);
  absl::Status Run();
  absl::Status ConnectToNodes();
  absl::Status CheckLock();
  absl::StatusOr<StreamMessage> ReadFirstSoon(Connection& connection, const std::string& stream);
  absl::Status CheckReplicas(const std::vector<std::string>& streams);
  // `node`: of the URL.
  absl::Status Divided(std::string_view made, size_t node, std::string_view shows);
  absl::Status OpenNext();
  absl::Status Cut();
  absl::Status Collect();
  absl::Status WriteSnapshot();
  absl::Status ReadBack(const std::vector<std::string>& written);

  Connection& connection_;
  World& world_;
  const Topic& topic_;
  const Shard shard_;
  const EpochChanges changes_;
  ShardStateWriter writer_;
  std::vector<std::unique_ptr<Connection>> nodes_;  // one to each, where there are several
  ShardState state_;
  ShardState next_;
  Newest newest_;
  std::set<MessageId> covered_;
};

absl::Status EpochChange::DeleteEpoch(uint64_t epoch) {
  MARQUEE_RETURN_IF_ERROR(connection_.DeleteQueue(Changes(epoch)));
  return connection_.DeleteQueue(Snapshot(epoch));
}

absl::StatusOr<bool> EpochChange::RunIfDue() {
  MARQUEE_ASSIGN_OR_RETURN(state_, writer_.Read());
  // Of the epoch before; or somebody who crashed may have left it.
  if (state_.epoch > 0) MARQUEE_RETURN_IF_ERROR(DeleteEpoch(state_.epoch - 1));
  if (!IsDue()) return false;
  next_ = {.epoch = state_.epoch + 1};
  absl::Status status = Run();
  // Another writer, or who deletes the topic, was faster: the next look tells.
  if (absl::IsNotFound(status)) return absl::UnavailableError(status.message());
  MARQUEE_RETURN_IF_ERROR(status);
  // The former one stays until the next one comes, for those who are still reading it.
  return true;
}

absl::Status EpochChange::Run() {
  MARQUEE_RETURN_IF_ERROR(ConnectToNodes());
  MARQUEE_RETURN_IF_ERROR(CheckLock());
  MARQUEE_RETURN_IF_ERROR(OpenNext());
  nodes_.clear();  // nobody answers their heartbeats
  MARQUEE_RETURN_IF_ERROR(Cut());
  MARQUEE_RETURN_IF_ERROR(Collect());
  MARQUEE_RETURN_IF_ERROR(WriteSnapshot());
  return writer_.Write(next_);
}

absl::Status EpochChange::ConnectToNodes() {
  const std::vector<Node>& nodes = world_.url.nodes;
  for (size_t i = 0; nodes.size() > 1 && i < nodes.size(); ++i) {
    Url one = world_.url;
    one.nodes = {nodes[i]};
    MARQUEE_ASSIGN_OR_RETURN(
        std::unique_ptr<Connection> connection,
        Connection::Open(one, world_.settings, "replicas", 0, kConnectTimeout));
    nodes_.push_back(std::move(connection));
  }
  return absl::OkStatus();
}

absl::Status EpochChange::Divided(std::string_view made, size_t node, std::string_view shows) {
  const std::vector<Node>& nodes = world_.url.nodes;
  return absl::UnavailableError(fmt::format(
      "the node {} has made {}, and {} {}: one of them is behind, or was cut off from the cluster; "
      "if this goes on, restart that one",
      nodes[connection_.node_index()].ToString(), made, nodes[node].ToString(), shows));
}

// A node that is away, or that stood still and was cut off, does not know of the lock: found before
// anything is made, since what is made in a divided cluster is a burden to it. (It may know another
// lock of that name; then what is made shows it.)
absl::Status EpochChange::CheckLock() {
  std::string lock = LockOf(name(), shard_, topic_.identity);
  for (size_t i = 0; i < nodes_.size(); ++i) {
    absl::Status status = nodes_[i]->CheckQueue(lock);
    if (absl::IsAborted(status)) continue;
    if (!status.ok() && !absl::IsNotFound(status)) return status;
    return Divided("the queue " + lock, i, "does not know of it");
  }
  return absl::OkStatus();
}

// The first message, as soon as the node's replica runs.
absl::StatusOr<StreamMessage> EpochChange::ReadFirstSoon(Connection& connection,
                                                         const std::string& stream) {
  absl::Duration until = world_.clock.Uptime() + kPatience;
  while (true) {
    absl::StatusOr<StreamMessage> first = ReadFirst(connection, stream);
    bool may_come = absl::IsUnavailable(first.status()) && !connection.broken();
    if (!may_come || world_.clock.Uptime() > until) return first;
    world_.clock.SleepFor(kReplicaPause);
  }
}

// A stream has no replica on a node that was away when it was declared, and never gets one; whoever
// is connected to that node could not read it. And a node that stood still and was cut off knows
// queues of its own, of the same names. So the next epoch waits until all nodes show the same.
absl::Status EpochChange::CheckReplicas(const std::vector<std::string>& streams) {
  if (nodes_.empty()) return absl::OkStatus();  // they have just been written there
  for (const std::string& stream : streams) {
    MARQUEE_ASSIGN_OR_RETURN(StreamMessage mine, ReadFirstSoon(connection_, stream));
    for (size_t i = 0; i < nodes_.size(); ++i) {
      absl::StatusOr<StreamMessage> first = ReadFirstSoon(*nodes_[i], stream);
      if (first.ok() && first->body == mine.body) continue;
      std::string made = "the stream " + stream;
      if (absl::IsNotFound(first.status())) return Divided(made, i, "has none of that name");
      // One without an anchor is not this one either.
      if (first.ok() || absl::IsDataLoss(first.status())) {
        return Divided(made, i, "has another of that name");
      }
      return first.status();
    }
  }
  return absl::OkStatus();
}

absl::Status EpochChange::OpenNext() {
  bool is_open = state_.next == ShardState::Next::kOpen;
  if (!is_open) state_.next = ShardState::Next::kBegun;
  // A claim: what another opens or completes after it does not count, so what it left may go.
  MARQUEE_RETURN_IF_ERROR(writer_.Write(state_));
  StreamLimits limits{.segment_bytes = world_.settings.segment_bytes};
  std::string changes = Changes(next_.epoch), snapshot = Snapshot(next_.epoch);
  // Changes that count may be in it.
  if (is_open) MARQUEE_RETURN_IF_ERROR(connection_.CheckQueue(changes));
  std::vector<std::string> anew = {snapshot};
  if (!is_open) anew.push_back(changes);
  for (const std::string& stream : anew) {
    MARQUEE_RETURN_IF_ERROR(connection_.DeleteQueue(stream));
    MARQUEE_RETURN_IF_ERROR(MakeStream(connection_, stream, limits, kPatience));
  }
  MARQUEE_RETURN_IF_ERROR(CheckReplicas(anew));
  if (is_open) return absl::OkStatus();
  state_.next = ShardState::Next::kOpen;
  return writer_.Write(state_);
}

// What is published to the stream after it does not count: its publisher finds the cut before it,
// and publishes it again to the next epoch's.
absl::Status EpochChange::Cut() {
  return Append(connection_, Changes(state_.epoch), {MakeMessage({.kind = Kind::kCut}, "")},
                kPatience);
}

absl::Status EpochChange::Collect() {
  ShardCursor cursor = ShardCursor::OfEntities(topic_, shard_, state_, Offset(0));
  PackDecoder decoder;
  Pace pace(world_.clock, changes_.records >= kHurryFactor * Enough());
  absl::Status read =
      FollowOne(connection_, &cursor, kPatience, [&](const Taken& taken) -> absl::StatusOr<bool> {
        if (taken.step == ShardCursor::Step::kPack) {
          decoder.Clear();
          MARQUEE_RETURN_IF_ERROR(decoder.Add(PayloadOf(taken.body), cursor.pack_first()));
          for (const Record& record : decoder.records()) newest_.Take(record);
        }
        pace.Rest();
        return cursor.epoch() == state_.epoch;
      });
  MARQUEE_RETURN_IF_ERROR(read);
  next_.base = cursor.base();
  covered_ = cursor.covered();
  next_.floor = state_.floor;
  next_.end = std::max(state_.end, newest_.end());
  newest_.DropDeletions(world_.clock.Now() - kDeletionsKept, &next_.floor);
  next_.keys = static_cast<int64_t>(newest_.size());
  next_.begin = newest_.size() > 0 ? newest_.first_offset() : ToOffset(next_.base, 1);
  return absl::OkStatus();
}

absl::Status EpochChange::WriteSnapshot() {
  std::vector<std::string> messages = newest_.ToMessages(
      world_.settings.pack ? static_cast<size_t>(world_.settings.pack_bytes) : 1, covered_);
  MARQUEE_RETURN_IF_ERROR(Append(connection_, Snapshot(next_.epoch), messages, kPatience,
                                 /*plain=*/!world_.settings.pack));
  return ReadBack(messages);
}

absl::Status EpochChange::ReadBack(const std::vector<std::string>& written) {
  size_t count = 0;
  return ReadFrom(
      connection_, Snapshot(next_.epoch), {From::Place::kFirst}, kPatience,
      [&](StreamMessage message) -> absl::StatusOr<bool> {
        MARQUEE_ASSIGN_OR_RETURN(Head head, ReadHead(message.body));
        // Whoever waited for the stream on a slow node may have nudged it.
        if (head.kind == Kind::kAnchor || head.kind == Kind::kBarrier) return true;
        if (message.body != written[count++]) {
          return absl::DataLossError("the snapshot that was read back is not what was written");
        }
        return count < written.size();
      });
}

}  // namespace

void Newest::Take(const Record& record) {
  Kept& kept = records_[std::string(record.key)];
  kept.value.reset();
  if (record.value.has_value()) kept.value.emplace(*record.value);
  kept.headers.clear();
  for (const Header& header : record.headers) kept.headers.emplace_back(header.name, header.value);
  kept.published = record.published;
  kept.offset = record.offset;
  end_ = std::max(end_, record.offset.next());
}

void Newest::DropDeletions(absl::Time oldest, Offset* floor) {
  for (auto at = records_.begin(); at != records_.end();) {
    if (at->second.value.has_value() || at->second.published >= oldest) {
      ++at;
      continue;
    }
    *floor = std::max(*floor, at->second.offset.next());
    at = records_.erase(at);
  }
}

Offset Newest::first_offset() const {
  MARQUEE_CHECK(!records_.empty());
  auto lower = [](const auto& a, const auto& b) { return a.second.offset < b.second.offset; };
  return std::min_element(records_.begin(), records_.end(), lower)->second.offset;
}

std::vector<std::string> Newest::ToMessages(size_t pack_bytes,
                                            const std::set<MessageId>& covered) const {
  std::vector<const std::pair<const std::string, Kept>*> by_offset;
  by_offset.reserve(records_.size());
  for (const auto& entry : records_) by_offset.push_back(&entry);
  std::sort(by_offset.begin(), by_offset.end(),
            [](const auto* a, const auto* b) { return a->second.offset < b->second.offset; });
  std::vector<std::string> messages;
  SnapshotEnd end{.records = by_offset.size(), .digest = 0, .covered = covered};
  // An attempt that went on where another crashed must not be taken for it.
  uint64_t nonce = Random::FromSystem().Next();
  PackEncoder encoder;
  PackCompressor compressor;
  Offset first, next;
  auto finish = [&] {
    std::string pack;
    encoder.Finish(compressor, &pack);
    end.digest = SnapshotDigest(end.digest, pack);
    messages.push_back(MakeMessage(
        {.kind = Kind::kPack, .nonce = nonce, .sequence = static_cast<uint64_t>(first.value())},
        pack));
  };
  for (const auto* entry : by_offset) {
    const Kept& kept = entry->second;
    if (encoder.empty()) first = next = kept.offset;
    std::vector<Header> headers;
    for (const auto& [name, value] : kept.headers) headers.push_back({name, value});
    encoder.Add(entry->first, kept.value, headers, absl::ToUnixMillis(kept.published),
                static_cast<uint64_t>(kept.offset.value() - next.value()));
    next = kept.offset.next();
    if (encoder.raw_bytes() >= pack_bytes) finish();
  }
  if (!encoder.empty()) finish();
  messages.push_back(MakeMessage({.kind = Kind::kSnapshotEnd, .nonce = nonce}, end.ToBytes()));
  return messages;
}

absl::StatusOr<bool> BeginEpochIfDue(Connection& connection, World& world, const Topic& topic,
                                     Shard shard, const EpochChanges& changes) {
  std::string lock = LockOf(topic.spec.name, shard, topic.identity);
  absl::Status locked = connection.DeclareExclusive(lock);
  if (absl::IsAborted(locked)) return false;
  MARQUEE_RETURN_IF_ERROR(locked);
  absl::StatusOr<bool> done = EpochChange(connection, world, topic, shard, changes).RunIfDue();
  // A lock that cannot be given back goes with the connection.
  absl::Status unlocked = connection.DeleteQueue(lock);
  if (done.ok() && !unlocked.ok()) return unlocked;
  return done;
}

Compactor::~Compactor() {
  {
    MutexLock lock(mutex_);
    stop_ = true;
    due_.clear();
    work_.SignalAll();
    // Where it stands, the next one goes on.
    if (connection_ != nullptr) connection_->Interrupt();
  }
  if (thread_.joinable()) thread_.join();
}

void Compactor::Request(const Topic& topic, Shard shard, const EpochChanges& changes) {
  MutexLock lock(mutex_);
  if (stop_) return;
  Due due{topic.identity, shard};
  auto not_before = not_before_.find(due);
  absl::Duration at = world_.clock.Uptime();
  if (not_before != not_before_.end()) at = std::max(at, not_before->second);
  auto [waiting, is_new] = due_.try_emplace(due, Waiting{topic, changes, at});
  EpochChanges& known = waiting->second.changes;
  bool is_more = std::pair(changes.epoch, changes.records) > std::pair(known.epoch, known.records);
  if (!is_new && is_more) known = changes;
  if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
  work_.Signal();
}

void Compactor::Run() {
  MutexLock lock(mutex_);
  while (!stop_) {
    if (due_.empty()) {
      connection_.reset();
      work_.Wait(mutex_);
      continue;
    }
    auto first = std::min_element(due_.begin(), due_.end(), [](const auto& a, const auto& b) {
      return a.second.at < b.second.at;
    });
    absl::Duration left = first->second.at - world_.clock.Uptime();
    if (left > absl::ZeroDuration()) {
      work_.WaitFor(mutex_, left);
      continue;
    }
    auto [due, waiting] = *first;
    // What is asked for meanwhile is looked at again.
    due_.erase(first);
    RunOne(due, waiting);
  }
}

void Compactor::RunOne(const Due& due, const Waiting& waiting) {
  mutex_.Unlock();
  absl::StatusOr<bool> done = Compact(due.second, waiting);
  mutex_.Lock();
  absl::Duration pause = kLookInterval;
  if (done.ok()) {
    failed_.erase(due);
  } else {
    absl::Duration& last = failed_[due];
    last = std::clamp(2 * last, kFailedIntervalMin, kFailedIntervalMax);
    pause = last;
    connection_.reset();  // another node may know more
  }
  absl::Duration next = world_.clock.Uptime() + pause;
  not_before_[due] = next;
  if (stop_) return;
  // After a change of epoch to delete the one before. Of a topic that is gone whoever publishes to
  // it is told.
  bool again = done.ok() ? *done : !absl::IsNotFound(done.status());
  if (again) due_.try_emplace(due, Waiting{waiting.topic, waiting.changes, next});
  auto asked = due_.find(due);
  if (asked != due_.end()) asked->second.at = next;
  if (done.ok()) return;
  spdlog::warn("{}/{}: its snapshot is not written{}: {}", waiting.topic.spec.name,
               due.second.value(), again ? ", and tried again until it is" : "",
               std::string(done.status().message()));
}

absl::StatusOr<bool> Compactor::Compact(Shard shard, const Waiting& waiting) {
  std::shared_ptr<Connection> connection;
  {
    MutexLock lock(mutex_);
    if (connection_ != nullptr && connection_->broken()) connection_.reset();
    connection = connection_;
  }
  if (connection == nullptr) {
    MARQUEE_ASSIGN_OR_RETURN(connection, world_.Connect("snapshots", kConnectTimeout));
    MutexLock lock(mutex_);
    if (stop_) return absl::CancelledError("the broker object is being closed");
    connection_ = connection;
  }
  return BeginEpochIfDue(*connection, world_, waiting.topic, shard, waiting.changes);
}

}  // namespace marquee::messaging::rabbitmq
