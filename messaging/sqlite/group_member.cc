#include "messaging/sqlite/group_member.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/digest.h"
#include "base/random.h"
#include "base/status.h"

namespace marquee::messaging {
namespace {

// How often a member looks after the others where nothing was written: for leases that ran out and
// locks that were freed.
constexpr absl::Duration kLookInterval = absl::Milliseconds(100);
constexpr absl::Duration kLookIntervalWhileMoving = absl::Milliseconds(20);
// A lease is renewed when this share of it has passed.
constexpr int64_t kRenewDivisor = 4;

std::string JoinTopics(const std::map<std::string, uint32_t>& topics) {
  std::string text;
  for (const auto& [topic, shards] : topics) {
    if (!text.empty()) text += '\n';
    text += topic;
  }
  return text;
}

}  // namespace

absl::StatusOr<std::unique_ptr<GroupMember>> GroupMember::Join(
    Store& store, GroupStore& groups, const SubscriptionOptions& options,
    const std::map<std::string, uint32_t>& topics) {
  std::unique_ptr<GroupMember> member(new GroupMember(store, groups, options, topics));
  MARQUEE_RETURN_IF_ERROR(member->Enter());
  return member;
}

GroupMember::GroupMember(Store& store, GroupStore& groups, const SubscriptionOptions& options,
                         const std::map<std::string, uint32_t>& topics)
    : store_(store),
      groups_(groups),
      group_(options.group),
      topics_(topics),
      topics_text_(JoinTopics(topics)) {
  self_.name = options.member;
  self_.topics = topics_text_;
  self_.boot = groups.boot();
  self_.session_timeout_ns = absl::ToInt64Nanoseconds(options.session_timeout);
}

GroupMember::~GroupMember() {
  if (self_.id.empty()) return;
  // What cannot be written now, others do when they find the lock free.
  absl::StatusOr<sqlite::Transaction> transaction = groups_.Begin();
  if (transaction.ok()) {
    absl::Status left = groups_.RemoveMember(self_.id);
    absl::StatusOr<std::vector<Slot>> slots = groups_.Slots(group_);
    for (Slot& slot : slots.ok() ? *slots : std::vector<Slot>()) {
      if (slot.owner != self_.id || !left.ok()) continue;
      slot.owner.clear();
      slot.revoke_at_ns.reset();
      left = groups_.PutSlot(group_, slot);
    }
    if (left.ok()) (void)transaction->Commit();
  }
  lock_.reset();
  store_.notifier.Notify();
}

// As a new member: nothing is owned.
absl::Status GroupMember::Enter() {
  owned_.clear();
  Random random = Random::FromSystem();
  std::string id = Digest{random.Next(), random.Next()}.ToHex();
  if (self_.name.empty()) self_.name = "member-" + id.substr(0, 8);
  MARQUEE_ASSIGN_OR_RETURN(std::unique_ptr<MemberLock> lock, groups_.TakeLock(id));
  MARQUEE_ASSIGN_OR_RETURN(sqlite::Transaction transaction, groups_.Begin());
  int64_t now_ns = NowNs();
  MARQUEE_ASSIGN_OR_RETURN(std::vector<MemberRow> members, groups_.Members(group_));
  MARQUEE_RETURN_IF_ERROR(CheckTopics(Living(members, now_ns)));
  MARQUEE_RETURN_IF_ERROR(groups_.PutTopics(group_, topics_text_));
  MARQUEE_ASSIGN_OR_RETURN(std::vector<Slot> slots, groups_.Slots(group_));
  std::set<SlotId> missing;
  for (const auto& [topic, shards] : topics_) {
    for (uint32_t shard = 0; shard < shards; ++shard) missing.insert({shards, shard});
  }
  for (const Slot& slot : slots) missing.erase(slot.id);
  for (const SlotId& slot : missing)
    MARQUEE_RETURN_IF_ERROR(groups_.PutSlot(group_, {.id = slot, .owner = {}}));
  if (!self_.id.empty()) MARQUEE_RETURN_IF_ERROR(groups_.RemoveMember(self_.id));
  MemberRow row = self_;
  row.id = id;
  row.joined = members.empty() ? 1 : members.back().joined + 1;
  row.lease_until_ns = now_ns + row.session_timeout_ns;
  MARQUEE_RETURN_IF_ERROR(groups_.PutMember(group_, row));
  MARQUEE_RETURN_IF_ERROR(transaction.Commit());
  self_ = std::move(row);
  lock_ = std::move(lock);
  next_refresh_ns_ = 0;
  store_.notifier.Notify();
  return absl::OkStatus();
}

absl::Status GroupMember::CheckTopics(const std::vector<MemberRow>& members) {
  for (const MemberRow& member : members) {
    if (member.id == self_.id || member.topics == topics_text_) continue;
    auto one_line = [](std::string text) {
      std::replace(text.begin(), text.end(), '\n', ' ');
      return text;
    };
    return absl::FailedPreconditionError(
        fmt::format("group {}: its member {} shares the topics [{}], this one asks for [{}]; all "
                    "members share the "
                    "same topics",
                    group_, member.name, one_line(member.topics), one_line(topics_text_)));
  }
  return absl::OkStatus();
}

std::vector<MemberRow> GroupMember::Living(const std::vector<MemberRow>& members,
                                           int64_t now_ns) const {
  std::vector<MemberRow> living;
  for (const MemberRow& member : members) {
    if (member.id == self_.id || groups_.IsAlive(member, now_ns)) living.push_back(member);
  }
  return living;
}

absl::StatusOr<std::vector<Slot>> GroupMember::SharedSlots() {
  MARQUEE_ASSIGN_OR_RETURN(std::vector<Slot> slots, groups_.Slots(group_));
  std::set<uint32_t> shard_counts;
  for (const auto& [topic, shards] : topics_) shard_counts.insert(shards);
  // The group may have shared other topics before.
  std::erase_if(slots, [&](const Slot& slot) { return !shard_counts.contains(slot.id.shards); });
  return slots;
}

bool GroupMember::IsDue(int64_t now_ns, int64_t version) const {
  if (version != seen_version_ || now_ns >= next_refresh_ns_ || store_.clock.IsManual())
    return true;
  return std::any_of(owned_.begin(), owned_.end(), [now_ns](const auto& entry) {
    return entry.second.revoke_at_ns.has_value() && *entry.second.revoke_at_ns <= now_ns;
  });
}

absl::Status GroupMember::Refresh(std::vector<OwnershipEvent>* events) {
  int64_t now_ns = NowNs();
  if (now_ns >= self_.lease_until_ns) {
    LoseAll(events);
    MARQUEE_RETURN_IF_ERROR(Enter());
  }
  MARQUEE_ASSIGN_OR_RETURN(int64_t version, groups_.Version());
  if (!IsDue(now_ns, version)) return absl::OkStatus();
  seen_version_ = version;
  return Share(NowNs(), events);
}

absl::Status GroupMember::Share(int64_t now_ns, std::vector<OwnershipEvent>* events) {
  MARQUEE_ASSIGN_OR_RETURN(std::vector<MemberRow> members, groups_.Members(group_));
  MARQUEE_ASSIGN_OR_RETURN(std::vector<Slot> slots, SharedSlots());
  auto is_self = [this](const MemberRow& member) { return member.id == self_.id; };
  bool is_member = std::any_of(members.begin(), members.end(), is_self);
  if (is_member) {
    std::vector<MemberRow> living = Living(members, now_ns);
    if (living.size() < members.size() || !PlanSlots(living, slots, self_.id, now_ns).empty()) {
      MARQUEE_RETURN_IF_ERROR(WritePlan(now_ns, &slots, &is_member));
    } else if (self_.lease_until_ns - now_ns <
               self_.session_timeout_ns - self_.session_timeout_ns / kRenewDivisor) {
      MARQUEE_RETURN_IF_ERROR(Renew(now_ns, &is_member));
    }
  }
  if (!is_member) {
    // Others have taken this member for dead.
    LoseAll(events);
    return Enter();
  }
  Compare(slots, events);
  bool moving = std::any_of(slots.begin(), slots.end(), [](const Slot& slot) {
    return slot.owner.empty() || slot.revoke_at_ns.has_value();
  });
  next_refresh_ns_ =
      now_ns + absl::ToInt64Nanoseconds(moving ? kLookIntervalWhileMoving : kLookInterval);
  return absl::OkStatus();
}

absl::Status GroupMember::WritePlan(int64_t now_ns, std::vector<Slot>* slots, bool* is_member) {
  MARQUEE_RETURN_IF_ERROR(groups_.SyncCommits(true));
  absl::Status written = [&]() -> absl::Status {
    MARQUEE_ASSIGN_OR_RETURN(sqlite::Transaction transaction, groups_.Begin());
    MARQUEE_ASSIGN_OR_RETURN(std::vector<MemberRow> members, groups_.Members(group_));
    MARQUEE_ASSIGN_OR_RETURN(*slots, SharedSlots());
    std::vector<MemberRow> living = Living(members, now_ns);
    *is_member = std::any_of(living.begin(), living.end(),
                             [this](const MemberRow& row) { return row.id == self_.id; });
    if (!*is_member) return absl::OkStatus();
    for (const MemberRow& member : members) {
      bool lives = std::any_of(living.begin(), living.end(),
                               [&](const MemberRow& row) { return row.id == member.id; });
      if (!lives) MARQUEE_RETURN_IF_ERROR(groups_.RemoveMember(member.id));
    }
    for (const Slot& slot : PlanSlots(living, *slots, self_.id, now_ns)) {
      MARQUEE_RETURN_IF_ERROR(groups_.PutSlot(group_, slot));
    }
    MARQUEE_RETURN_IF_ERROR(groups_.RenewLease(self_.id, now_ns + self_.session_timeout_ns));
    MARQUEE_ASSIGN_OR_RETURN(*slots, SharedSlots());
    return transaction.Commit();
  }();
  MARQUEE_RETURN_IF_ERROR(groups_.SyncCommits(false));
  MARQUEE_RETURN_IF_ERROR(written);
  if (*is_member) self_.lease_until_ns = now_ns + self_.session_timeout_ns;
  store_.notifier.Notify();
  return absl::OkStatus();
}

absl::Status GroupMember::Renew(int64_t now_ns, bool* is_member) {
  MARQUEE_ASSIGN_OR_RETURN(sqlite::Transaction transaction, groups_.Begin());
  MARQUEE_ASSIGN_OR_RETURN(std::vector<MemberRow> members, groups_.Members(group_));
  *is_member = std::any_of(members.begin(), members.end(),
                           [this](const MemberRow& member) { return member.id == self_.id; });
  if (!*is_member) return absl::OkStatus();
  MARQUEE_RETURN_IF_ERROR(groups_.RenewLease(self_.id, now_ns + self_.session_timeout_ns));
  MARQUEE_RETURN_IF_ERROR(transaction.Commit());
  self_.lease_until_ns = now_ns + self_.session_timeout_ns;
  return absl::OkStatus();
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

void GroupMember::Compare(const std::vector<Slot>& slots, std::vector<OwnershipEvent>* events) {
  for (const Slot& slot : slots) {
    auto known = owned_.find(slot.id);
    if (known != owned_.end() &&
        (slot.owner != self_.id || slot.generation != known->second.generation)) {
      Append(OwnershipEvent::Kind::kLost, slot.id, known->second, events);
      owned_.erase(known);
      known = owned_.end();
    }
    if (slot.owner != self_.id) continue;
    if (known == owned_.end()) {
      known = owned_
                  .emplace(slot.id,
                           Owned{.generation = slot.generation, .revoke_at_ns = {}, .released = {}})
                  .first;
      Append(OwnershipEvent::Kind::kGained, slot.id, known->second, events);
    }
    if (slot.revoke_at_ns.has_value() && !known->second.revoke_at_ns.has_value()) {
      Append(OwnershipEvent::Kind::kRevoked, slot.id, known->second, events);
    }
    known->second.revoke_at_ns = slot.revoke_at_ns;
  }
}

absl::StatusOr<SlotId> GroupMember::SlotOf(const TopicShard& shard) const {
  auto topic = topics_.find(shard.topic);
  if (topic == topics_.end()) {
    return absl::AbortedError(fmt::format("group {} does not share topic {}", group_, shard.topic));
  }
  return SlotId{topic->second, shard.shard.value()};
}

absl::StatusOr<bool> GroupMember::StillOwns(const SlotId& id, uint64_t generation) {
  int64_t now_ns = NowNs();
  if (now_ns >= self_.lease_until_ns) return false;
  MARQUEE_ASSIGN_OR_RETURN(std::vector<Slot> slots, SharedSlots());
  for (const Slot& slot : slots) {
    if (slot.id != id) continue;
    bool in_time = !slot.revoke_at_ns.has_value() || *slot.revoke_at_ns > now_ns;
    return slot.owner == self_.id && slot.generation == generation && in_time;
  }
  return false;
}

absl::Status GroupMember::CheckOwns(const TopicShard& shard) {
  MARQUEE_ASSIGN_OR_RETURN(SlotId id, SlotOf(shard));
  auto owned = owned_.find(id);
  bool owns = owned != owned_.end() && !owned->second.released.contains(shard.topic);
  if (owns) {
    MARQUEE_ASSIGN_OR_RETURN(owns, StillOwns(id, owned->second.generation));
  }
  if (owns) return absl::OkStatus();
  return absl::AbortedError(
      fmt::format("group {}: {}/{} is not owned by member {}; poll to learn what is", group_,
                  shard.topic, shard.shard.value(), self_.name));
}

absl::Status GroupMember::Release(const TopicShard& shard) {
  auto topic = topics_.find(shard.topic);
  if (topic == topics_.end()) return absl::OkStatus();
  SlotId id{topic->second, shard.shard.value()};
  auto owned = owned_.find(id);
  if (owned == owned_.end() || owned->second.released.contains(shard.topic))
    return absl::OkStatus();
  MARQUEE_RETURN_IF_ERROR(CheckOwns(shard));
  owned->second.released.insert(shard.topic);
  for (const auto& [other, shards] : topics_) {
    if (shards == id.shards && !owned->second.released.contains(other)) return absl::OkStatus();
  }
  uint64_t generation = owned->second.generation;
  owned_.erase(owned);
  return GiveUp(id, generation);
}

absl::Status GroupMember::GiveUp(const SlotId& id, uint64_t generation) {
  MARQUEE_ASSIGN_OR_RETURN(sqlite::Transaction transaction, groups_.Begin());
  MARQUEE_ASSIGN_OR_RETURN(bool owns, StillOwns(id, generation));
  // Taken away in this very moment: it is given up all the same.
  if (!owns) return absl::OkStatus();
  MARQUEE_RETURN_IF_ERROR(groups_.PutSlot(
      group_, {.id = id, .owner = {}, .generation = generation, .revoke_at_ns = {}}));
  MARQUEE_RETURN_IF_ERROR(transaction.Commit());
  store_.notifier.Notify();
  return absl::OkStatus();
}

}  // namespace marquee::messaging
