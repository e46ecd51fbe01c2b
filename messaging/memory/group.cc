#include "messaging/memory/group.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"

namespace marquee::messaging::memory {
namespace {

std::string Names(const Group::Topics& topics) {
  return absl::StrJoin(topics, ", ", [](std::string* out, const auto& topic) {
    absl::StrAppend(out, topic.first, " (", topic.second.first, ")");
  });
}

}  // namespace

absl::Status Group::Join(MemberId id, std::string_view member, absl::Duration session_timeout,
                         const Topics& topics, absl::Duration now) {
  if (topics != topics_) {
    if (!LiveMembers().empty()) {
      return absl::FailedPreconditionError(
          absl::StrCat("group ", name_, " shares the topics ", Names(topics_), ", not ",
                       Names(topics), "; give the group another name, or the same topics"));
    }
    MakeUnits(topics);
  }
  members_[id] = Member{
      .name = std::string(member), .session_timeout = session_timeout, .seen = now, .events = {}};
  Balance();
  return absl::OkStatus();
}

void Group::MakeUnits(const Topics& topics) {
  for (Unit& unit : units_) TakeAway(unit);
  topics_ = topics;
  units_.clear();
  unit_of_.clear();
  std::map<uint32_t, std::vector<std::string>> classes;
  for (const auto& [name, topic] : topics) classes[topic.second].push_back(name);
  for (const auto& [shards, names] : classes) {
    for (uint32_t i = 0; i < shards; ++i) {
      Unit& unit = units_.emplace_back();
      unit.topic_shards = shards;
      for (const std::string& name : names) {
        unit.shards.push_back({name, Shard(i)});
        unit_of_[unit.shards.back()] = units_.size() - 1;
        unit.generation = std::max(unit.generation, generations_[unit.shards.back()]);
      }
    }
  }
}

void Group::Leave(MemberId id) {
  if (!IsMember(id)) return;
  EndSession(id);
  members_.erase(id);
  Balance();
}

void Group::Abandon(MemberId id) {
  if (auto at = members_.find(id); at != members_.end()) {
    at->second.abandoned = true;
    at->second.polling = false;
  }
}

void Group::EndSession(MemberId id) {
  members_.at(id).live = false;
  for (Unit& unit : units_) {
    if (unit.owner == id) TakeAway(unit);
  }
}

void Group::BeginPoll(MemberId id, absl::Duration now) {
  Member& member = members_.at(id);
  member.seen = now;
  member.polling = true;
  if (!std::exchange(member.live, true)) Balance();
}

void Group::EndPoll(MemberId id, absl::Duration now) {
  auto at = members_.find(id);
  if (at == members_.end()) return;
  at->second.polling = false;
  at->second.seen = now;
}

std::vector<OwnershipEvent> Group::TakeEvents(MemberId id, absl::Duration now) {
  Member& member = members_.at(id);
  for (Unit& unit : units_) {
    if (unit.owner != id) continue;
    unit.announced = true;
    if (unit.revoking && unit.revoke_deadline == absl::InfiniteDuration()) {
      unit.revoke_deadline = now + member.session_timeout;
    }
  }
  return std::exchange(member.events, {});
}

bool Group::Owns(MemberId id, const TopicShard& shard) const {
  auto at = unit_of_.find(shard);
  if (at == unit_of_.end()) return false;
  const Unit& unit = units_[at->second];
  return unit.owner == id && unit.announced && !unit.released.contains(shard);
}

void Group::Release(MemberId id, const TopicShard& shard) {
  if (!Owns(id, shard)) return;
  Unit& unit = units_[unit_of_.at(shard)];
  Forget(members_.at(id), shard);
  unit.released.insert(shard);
  if (unit.released.size() == unit.shards.size()) {
    Free(unit);
  } else if (!unit.revoking) {
    // Given up of its own accord: the rest of the unit has to follow.
    Revoke(unit, 0);
  }
  Balance();
}

void Group::Tick(absl::Duration now) {
  bool changed = false;
  std::vector<MemberId> gone;
  for (auto& [id, member] : members_) {
    if (member.polling || !member.live || now - member.seen <= member.session_timeout) continue;
    EndSession(id);
    changed = true;
    if (member.abandoned) gone.push_back(id);
  }
  for (MemberId id : gone) members_.erase(id);
  for (Unit& unit : units_) {
    if (!unit.revoking || now <= unit.revoke_deadline) continue;
    TakeAway(unit);
    changed = true;
  }
  if (changed) Balance();
}

absl::Duration Group::NextDeadline() const {
  absl::Duration next = absl::InfiniteDuration();
  for (const auto& [id, member] : members_) {
    if (member.live && !member.polling) next = std::min(next, member.seen + member.session_timeout);
  }
  for (const Unit& unit : units_) next = std::min(next, unit.revoke_deadline);
  return next;
}

bool Group::HandOver() {
  std::vector<MemberId> live = LiveMembers();
  std::vector<Unit*> settled;
  for (Unit& unit : units_) {
    if (unit.owner != 0 && !unit.revoking) settled.push_back(&unit);
  }
  if (live.size() < 2 || settled.empty()) return false;
  Unit& unit = *settled[random_->Below(settled.size())];
  std::erase(live, unit.owner);
  MemberId target = live[random_->Below(live.size())];
  if (random_->OneIn(2)) {
    Revoke(unit, target);
  } else {
    TakeAway(unit);
    unit.target = target;
  }
  Balance();
  return true;
}

GroupInfo Group::Describe() const {
  GroupInfo info;
  info.group = name_;
  for (const auto& [id, member] : members_) {
    if (member.live) info.members.push_back(member.name);
  }
  std::map<TopicShard, GroupShard> shards;
  for (const auto& [shard, next] : reported_) {
    shards[shard] = {.shard = shard, .owner = "", .reported = next};
  }
  for (const Unit& unit : units_) {
    for (const TopicShard& shard : unit.shards) {
      GroupShard& entry = shards[shard];
      entry.shard = shard;
      entry.generation = unit.generation;
      if (unit.owner != 0) entry.owner = members_.at(unit.owner).name;
    }
  }
  for (auto& [shard, entry] : shards) info.shards.push_back(std::move(entry));
  return info;
}

bool Group::IsLive(MemberId id) const {
  auto at = members_.find(id);
  return at != members_.end() && at->second.live;
}

std::vector<MemberId> Group::LiveMembers() const {
  std::vector<MemberId> live;
  for (const auto& [id, member] : members_) {
    if (member.live) live.push_back(id);
  }
  return live;
}

void Group::Balance() {
  std::vector<MemberId> live = LiveMembers();
  if (live.empty()) return;
  std::set<uint32_t> classes;
  for (const Unit& unit : units_) classes.insert(unit.topic_shards);
  for (uint32_t topic_shards : classes) BalanceClass(topic_shards, live);
}

void Group::BalanceClass(uint32_t topic_shards, const std::vector<MemberId>& live) {
  for (Unit& unit : units_) {
    if (unit.topic_shards != topic_shards || IsLive(unit.target)) continue;
    if (unit.owner != 0 && !unit.revoking) continue;
    unit.target = LeastLoaded(CountLoads(topic_shards, live), unit.owner);
  }
  while (true) {
    Loads loads = CountLoads(topic_shards, live);
    auto less = [](const auto& a, const auto& b) { return a.second < b.second; };
    auto [least, most] = std::minmax_element(loads.begin(), loads.end(), less);
    if (most->second - least->second <= 1) break;
    MoveOne(topic_shards, most->first, least->first);
  }
  for (Unit& unit : units_) {
    if (unit.topic_shards == topic_shards && unit.owner == 0) Grant(unit, unit.target);
  }
}

void Group::MoveOne(uint32_t topic_shards, MemberId from, MemberId to) {
  std::vector<Unit*> owned;
  for (Unit& unit : units_) {
    if (unit.topic_shards != topic_shards) continue;
    if ((unit.owner == 0 || unit.revoking) && unit.target == from) {
      unit.target = to;  // it has not come yet
      return;
    }
    if (unit.owner == from && !unit.revoking) owned.push_back(&unit);
  }
  MARQUEE_CHECK(!owned.empty());
  Revoke(*owned[random_->Below(owned.size())], to);
}

Group::Loads Group::CountLoads(uint32_t topic_shards, const std::vector<MemberId>& live) const {
  Loads loads;
  for (MemberId id : live) loads[id] = 0;
  for (const Unit& unit : units_) {
    if (unit.topic_shards != topic_shards) continue;
    MemberId heir = unit.owner == 0 || unit.revoking ? unit.target : unit.owner;
    if (auto at = loads.find(heir); at != loads.end()) ++at->second;
  }
  return loads;
}

MemberId Group::LeastLoaded(const Loads& loads, MemberId but_rather_not) {
  int64_t least = loads.begin()->second;
  for (const auto& [id, load] : loads) least = std::min(least, load);
  std::vector<MemberId> ids;
  for (const auto& [id, load] : loads) {
    if (load == least) ids.push_back(id);
  }
  if (ids.size() > 1) std::erase(ids, but_rather_not);
  return ids[random_->Below(ids.size())];
}

void Group::Grant(Unit& unit, MemberId to) {
  unit.owner = to;
  unit.target = 0;
  ++unit.generation;
  for (const TopicShard& shard : unit.shards) {
    generations_[shard] = unit.generation;
    members_.at(to).events.push_back({OwnershipEvent::Kind::kGained, shard, unit.generation});
  }
}

void Group::Revoke(Unit& unit, MemberId target) {
  if (!unit.announced) {
    TakeAway(unit);
    unit.target = target;
    return;
  }
  unit.revoking = true;
  unit.target = target;
  for (const TopicShard& shard : unit.shards) {
    if (unit.released.contains(shard)) continue;
    members_.at(unit.owner)
        .events.push_back({OwnershipEvent::Kind::kRevoked, shard, unit.generation});
  }
}

// The owner learns of it at its next poll; what it was not told yet it never hears of.
void Group::TakeAway(Unit& unit) {
  if (unit.owner == 0) return;
  if (auto owner = members_.find(unit.owner); owner != members_.end()) {
    for (const TopicShard& shard : unit.shards) {
      std::erase_if(owner->second.events, [&](const OwnershipEvent& event) {
        return event.shard == shard && event.generation == unit.generation;
      });
      if (!unit.announced || unit.released.contains(shard)) continue;
      owner->second.events.push_back({OwnershipEvent::Kind::kLost, shard, unit.generation});
    }
  }
  Free(unit);
}

void Group::Free(Unit& unit) {
  unit.owner = 0;
  unit.announced = false;
  unit.revoking = false;
  unit.released.clear();
  unit.revoke_deadline = absl::InfiniteDuration();
}

void Group::Forget(Member& member, const TopicShard& shard) {
  std::erase_if(member.events, [&](const OwnershipEvent& event) { return event.shard == shard; });
}

}  // namespace marquee::messaging::memory
