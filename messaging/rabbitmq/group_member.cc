#include "messaging/rabbitmq/group_member.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/random.h"
#include "base/status.h"
#include "messaging/rabbitmq/stream.h"

namespace marquee::messaging::rabbitmq {
namespace {

constexpr int kPrefetch = 500;
constexpr absl::Duration kPatience = absl::Seconds(10);
// A beat is sent so many times in a session timeout.
constexpr int64_t kBeatDivisor = 5;
// What is asked for is not asked for again at once.
constexpr absl::Duration kAskAgain = absl::Milliseconds(250);
// From writing that it joins until a member reads that.
constexpr absl::Duration kAnswerMax = absl::Seconds(5);
// After so many entries the whole state is written once more, long before retention cuts the log.
constexpr int64_t kStateInterval = 2'000;
constexpr int64_t kLogSegmentBytes = 1 << 20;
constexpr int64_t kLogBytesMax = 8 << 20;

}  // namespace

void GroupLog::Take(int64_t offset, const Head& head, std::string_view body) {
  if (offset < next_) return;
  next_ = offset + 1;
  if (offset == 0) loaded_ = true;
  if (head.kind != Kind::kEntry) return;
  std::string_view entry = PayloadOf(body);
  bool says_all = entry.starts_with("state\t");
  if (says_all) last_state_at_ = offset;
  if (loaded_) {
    if (!says_all) state_.Take(offset, entry);
    return;
  }
  int64_t from = 0;
  int64_t first = kept_.empty() ? offset : kept_.front().first;
  GroupState whole;
  if (says_all && whole.FromEntry(entry, &from) && from >= first) {
    state_ = std::move(whole);
    loaded_ = true;
    for (const auto& [at, kept] : kept_) {
      if (at >= from) state_.Take(at, kept);
    }
    kept_.clear();
  } else {
    kept_.emplace_back(offset, entry);
  }
}

GroupMember::GroupMember(Clock& clock, const SubscriptionOptions& options,
                         std::map<std::string, uint32_t> topics)
    : clock_(clock),
      options_(options),
      topics_(std::move(topics)),
      stream_(GroupStreamOf(options.group)) {}

bool GroupMember::HasLease() const {
  lapsed_ = lapsed_ || clock_.Uptime() >= lease_until_;
  return !lapsed_;
}

absl::Duration GroupMember::BeatInterval() const {
  return std::max(options_.session_timeout / kBeatDivisor, absl::Milliseconds(10));
}

absl::Status GroupMember::Attach(Connection& connection) {
  MARQUEE_RETURN_IF_ERROR(MakeStream(connection, stream_,
                                     {.segment_bytes = kLogSegmentBytes, .max_bytes = kLogBytesMax},
                                     kPatience));
  MARQUEE_RETURN_IF_ERROR(connection.SelectConfirms(kPublishChannel));
  From from{From::Place::kOffset, log_.next_offset()};
  MARQUEE_RETURN_IF_ERROR(
      connection.Consume(kReadChannel, stream_, kGroupConsumer, from, kPrefetch));
  return Join(connection);
}

void GroupMember::Detach() {
  lease_until_ = -absl::InfiniteDuration();
  sent_.clear();
}

absl::Status GroupMember::Send(Connection& connection, std::string_view entry) {
  Head head{.kind = Kind::kEntry, .nonce = nonce_, .sequence = ++sequence_};
  return connection.Publish(kPublishChannel, "", stream_, MakeMessage(head, entry));
}

// As a new member: nothing is owned.
absl::Status GroupMember::Join(Connection& connection) {
  if (!id_.empty()) MARQUEE_RETURN_IF_ERROR(Send(connection, LeaveEntry(id_)));
  nonce_ = Random::FromSystem().Next();
  id_ = fmt::format("{:016x}", nonce_);
  joined_at_ = -1;
  sent_.clear();
  lease_until_ = -absl::InfiniteDuration();
  MARQUEE_RETURN_IF_ERROR(connection.DeclareExclusive(PresenceOf(id_)));
  std::string name = options_.member.empty() ? "member-" + id_.substr(0, 8) : options_.member;
  absl::Duration now = clock_.Uptime();
  MARQUEE_RETURN_IF_ERROR(
      Send(connection,
           JoinEntry(id_, name, absl::ToInt64Milliseconds(options_.session_timeout), topics_)));
  sent_[sequence_] = now;
  next_beat_ = now + BeatInterval();
  return absl::OkStatus();
}

absl::Status GroupMember::Take(int64_t offset, std::string_view body) {
  MARQUEE_ASSIGN_OR_RETURN(Head head, ReadHead(body));
  log_.Take(offset, head, body);
  if (head.nonce != nonce_) return absl::OkStatus();
  auto sent = sent_.find(head.sequence);
  if (sent == sent_.end()) return absl::OkStatus();
  if (joined_at_ < 0) {
    joined_at_ = offset;
    lapsed_ = false;
  }
  if (log_.state().members().contains(id_)) {
    lease_until_ = std::max(lease_until_, sent->second + options_.session_timeout);
  }
  sent_.erase(sent_.begin(), std::next(sent));
  return absl::OkStatus();
}

absl::StatusOr<bool> GroupMember::HasJoined() const {
  if (joined_at_ < 0 || !log_.loaded()) return false;
  const GroupState& state = log_.state();
  if (state.members().contains(id_) || state.topics() == topics_) return true;
  auto show = [](const std::map<std::string, uint32_t>& topics) {
    std::string text;
    for (const auto& [topic, shards] : topics) {
      text += fmt::format("{}{} ({} shards)", text.empty() ? "" : ", ", topic, shards);
    }
    return text;
  };
  return absl::FailedPreconditionError(fmt::format(
      "group {}: its members share the topics [{}], this one asks for [{}]; all members "
      "share the same topics",
      options_.group, show(state.topics()), show(topics_)));
}

void GroupMember::Append(OwnershipEvent::Kind kind, const SlotId& slot, const Owned& owned,
                         std::vector<OwnershipEvent>* events) const {
  for (const auto& [topic, shards] : topics_) {
    if (shards != slot.shards || owned.released.contains(topic)) continue;
    events->push_back({kind, {topic, Shard(slot.shard)}, owned.generation});
  }
}

void GroupMember::LoseAll(std::vector<OwnershipEvent>* events) {
  for (const auto& [slot, owned] : owned_) Append(OwnershipEvent::Kind::kLost, slot, owned, events);
  owned_.clear();
}

absl::Status GroupMember::Refresh(Connection& connection, std::vector<OwnershipEvent>* events) {
  // Its join may still be on its way; but the node may not serve the log either.
  bool is_unanswered = joined_at_ < 0 && !sent_.empty();
  absl::Duration silent =
      is_unanswered ? clock_.Uptime() - sent_.begin()->second : absl::ZeroDuration();
  if (silent >= std::max(options_.session_timeout, kAnswerMax)) {
    return absl::UnavailableError(
        fmt::format("the log of group {} does not show what was written "
                    "{} ago",
                    options_.group, absl::FormatDuration(silent)));
  }
  if (!log_.loaded()) return absl::OkStatus();
  bool is_member = log_.state().members().contains(id_);
  if (!is_member || !HasLease()) {
    LoseAll(events);
    return is_unanswered ? absl::OkStatus() : Join(connection);
  }
  Compare(events);
  if (beat_now_ || clock_.Uptime() >= next_beat_) MARQUEE_RETURN_IF_ERROR(Beat(connection));
  MARQUEE_RETURN_IF_ERROR(LookAfterOthers(connection));
  MARQUEE_RETURN_IF_ERROR(LookAfterRevoked(connection));
  return WriteState(connection);
}

absl::Status GroupMember::Beat(Connection& connection) {
  beat_now_ = false;
  absl::Duration now = clock_.Uptime();
  next_beat_ = now + BeatInterval();
  MARQUEE_RETURN_IF_ERROR(Send(connection, BeatEntry(id_, log_.state().next_offset())));
  sent_[sequence_] = now;
  return absl::OkStatus();
}

void GroupMember::Compare(std::vector<OwnershipEvent>* events) {
  for (const auto& [id, slot] : log_.state().slots()) {
    auto known = owned_.find(id);
    bool mine = slot.owner == id_ && slot.forced_at < 0;
    if (known != owned_.end() && (!mine || slot.generation != known->second.generation)) {
      Append(OwnershipEvent::Kind::kLost, id, known->second, events);
      owned_.erase(known);
      known = owned_.end();
    }
    // The others wait for the beat that says that this was read.
    if (slot.owner == id_ && slot.forced_at >= 0) beat_now_ = true;
    if (!mine) continue;
    if (known == owned_.end()) {
      known = owned_.emplace(id, Owned{.generation = slot.generation, .released = {}}).first;
      Append(OwnershipEvent::Kind::kGained, id, known->second, events);
    }
    if (slot.revoked_at >= 0 && !known->second.revoked) {
      Append(OwnershipEvent::Kind::kRevoked, id, known->second, events);
      known->second.revoked = true;
    }
  }
}

absl::Status GroupMember::LookAfterOthers(Connection& connection) {
  std::erase_if(watched_, [this](const auto& entry) {
    return !log_.state().members().contains(entry.first);
  });
  for (const auto& [id, member] : log_.state().members()) {
    if (id != id_) MARQUEE_RETURN_IF_ERROR(LookAfter(connection, id, member));
  }
  return absl::OkStatus();
}

absl::Status GroupMember::LookAfter(Connection& connection, const std::string& id,
                                    const GroupMemberState& member) {
  absl::Duration now = clock_.Uptime();
  auto [found, is_new] = watched_.try_emplace(id);
  Watched& watched = found->second;
  if (watched.beat_at != member.beat_at) {
    bool is_history = is_new && member.joined_at < joined_at_;
    watched = {.beat_at = member.beat_at, .seen = now, .asked = now, .is_history = is_history};
    return is_history ? ExpelIfAbsent(connection, id, member) : absl::OkStatus();
  }
  absl::Duration timeout = absl::Milliseconds(member.session_timeout_ms);
  absl::Duration silent = now - watched.seen;
  if (silent > timeout) {
    if (now - watched.asked < kAskAgain) return absl::OkStatus();
    watched.asked = now;
    return Send(connection, ExpelEntry(id, member.beat_at));
  }
  // Two beats are missing, or none was heard at all: is its connection there? A program that
  // crashed is started again soon.
  bool is_silent = watched.is_history || silent >= 2 * timeout / kBeatDivisor;
  absl::Duration pause = watched.is_history ? kAskAgain : timeout / kBeatDivisor;
  if (!is_silent || now - watched.asked < pause) return absl::OkStatus();
  watched.asked = now;
  return ExpelIfAbsent(connection, id, member);
}

// Its presence ends with its connection.
absl::Status GroupMember::ExpelIfAbsent(Connection& connection, const std::string& id,
                                        const GroupMemberState& member) {
  absl::Status present = connection.CheckQueue(PresenceOf(id));
  if (absl::IsNotFound(present)) return Send(connection, ExpelEntry(id, member.beat_at));
  return absl::IsAborted(present) ? absl::OkStatus() : present;
}

absl::Status GroupMember::LookAfterRevoked(Connection& connection) {
  absl::Duration now = clock_.Uptime();
  std::map<std::pair<SlotId, uint64_t>, absl::Duration> revoked;
  for (const auto& [id, slot] : log_.state().slots()) {
    if (slot.revoked_at < 0 || slot.forced_at >= 0) continue;
    std::pair key(id, slot.generation);
    auto known = revoked_.find(key);
    absl::Duration since = known == revoked_.end() ? now : known->second;
    auto owner = log_.state().members().find(slot.owner);
    if (owner != log_.state().members().end() &&
        now - since > absl::Milliseconds(owner->second.session_timeout_ms)) {
      MARQUEE_RETURN_IF_ERROR(Send(connection, ForceEntry(id, slot.generation)));
      since += kAskAgain;
    }
    revoked[key] = since;
  }
  revoked_ = std::move(revoked);
  return absl::OkStatus();
}

// By the member that joined first.
absl::Status GroupMember::WriteState(Connection& connection) {
  if (log_.next_offset() - log_.last_state_at() < kStateInterval) return absl::OkStatus();
  for (const auto& [id, member] : log_.state().members()) {
    if (member.joined_at < log_.state().members().at(id_).joined_at) return absl::OkStatus();
  }
  if (wrote_state_after_ == log_.last_state_at()) return absl::OkStatus();
  wrote_state_after_ = log_.last_state_at();
  return Send(connection, log_.state().ToEntry());
}

absl::Status GroupMember::CheckOwns(const TopicShard& shard) const {
  auto topic = topics_.find(shard.topic);
  if (topic != topics_.end() && HasLease()) {
    auto owned = owned_.find({topic->second, shard.shard.value()});
    if (owned != owned_.end() && !owned->second.released.contains(shard.topic)) {
      return absl::OkStatus();
    }
  }
  return absl::AbortedError(
      fmt::format("group {}: {}/{} is not owned by this member; poll to learn what is",
                  options_.group, shard.topic, shard.shard.value()));
}

absl::Status GroupMember::Release(Connection* connection, const TopicShard& shard) {
  auto topic = topics_.find(shard.topic);
  if (topic == topics_.end()) return absl::OkStatus();
  SlotId id{topic->second, shard.shard.value()};
  auto owned = owned_.find(id);
  if (owned == owned_.end() || owned->second.released.contains(shard.topic)) {
    return absl::OkStatus();
  }
  owned->second.released.insert(shard.topic);
  for (const auto& [other, shards] : topics_) {
    if (shards == id.shards && !owned->second.released.contains(other)) return absl::OkStatus();
  }
  // Without a connection all is lost anyway, as the next poll says.
  if (connection == nullptr) return absl::OkStatus();
  return Send(*connection, ReleaseEntry(id_, id, owned->second.generation));
}

absl::Status GroupMember::Leave(Connection& connection) {
  owned_.clear();
  return Send(connection, LeaveEntry(id_));
}

}  // namespace marquee::messaging::rabbitmq
