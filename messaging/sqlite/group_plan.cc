#include "messaging/sqlite/group_plan.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "base/status.h"

namespace marquee::messaging {
namespace {

struct Share {
  const MemberRow* member;
  size_t held = 0;            // slots that it has and was not asked to give up
  size_t held_elsewhere = 0;  // the same, of topics with another number of shards
  size_t quota = 0;           // slots that it should have
};

bool IsHeld(const Slot& slot) { return !slot.owner.empty() && !slot.revoke_at_ns.has_value(); }

// For the slots of the topics with so many shards. Those who hold most of them keep the one that is
// left over, so that nothing moves without need; among equals, those who have least of other topics
// get it.
std::map<std::string, Share> FairShares(const std::vector<MemberRow>& members,
                                        const std::vector<Slot>& slots, uint32_t shards) {
  std::map<std::string, Share> shares;
  for (const MemberRow& member : members) shares[member.id] = {&member};
  size_t total = 0;
  for (const Slot& slot : slots) {
    bool counts = slot.id.shards == shards;
    total += counts ? 1 : 0;
    if (!IsHeld(slot)) continue;
    Share& share = shares.at(slot.owner);
    ++(counts ? share.held : share.held_elsewhere);
  }
  std::vector<Share*> by_claim;
  by_claim.reserve(shares.size());
  for (auto& [id, share] : shares) by_claim.push_back(&share);
  std::sort(by_claim.begin(), by_claim.end(), [](const Share* a, const Share* b) {
    return std::tuple(b->held, a->held_elsewhere, a->member->joined, a->member->id) <
           std::tuple(a->held, b->held_elsewhere, b->member->joined, b->member->id);
  });
  size_t each = total / members.size();
  size_t left_over = total % members.size();
  for (size_t i = 0; i < by_claim.size(); ++i) by_claim[i]->quota = each + (i < left_over ? 1 : 0);
  return shares;
}

void PlanTopics(const std::vector<MemberRow>& members, uint32_t shards, const std::string& self,
                int64_t now_ns, std::vector<Slot>* slots) {
  std::map<std::string, Share> shares = FairShares(members, *slots, shards);
  // The last ones are given up and the first free ones taken.
  for (auto slot = slots->rbegin(); slot != slots->rend(); ++slot) {
    if (slot->id.shards != shards || !IsHeld(*slot)) continue;
    Share& share = shares.at(slot->owner);
    if (share.held <= share.quota) continue;
    slot->revoke_at_ns = now_ns + share.member->session_timeout_ns;
    --share.held;
  }
  Share& mine = shares.at(self);
  for (Slot& slot : *slots) {
    if (slot.id.shards != shards || !slot.owner.empty() || mine.held >= mine.quota) continue;
    slot.owner = self;
    ++slot.generation;
    ++mine.held;
  }
}

}  // namespace

std::vector<Slot> PlanSlots(const std::vector<MemberRow>& members, const std::vector<Slot>& slots,
                            const std::string& self, int64_t now_ns) {
  std::vector<Slot> planned = slots;
  std::map<std::string, bool> alive;
  for (const MemberRow& member : members) alive[member.id] = true;
  MARQUEE_CHECK(alive.contains(self));
  for (Slot& slot : planned) {
    bool overdue = slot.revoke_at_ns.has_value() && *slot.revoke_at_ns <= now_ns;
    if (!slot.owner.empty() && (overdue || !alive.contains(slot.owner))) {
      slot.owner.clear();
      slot.revoke_at_ns.reset();
    }
  }
  std::set<uint32_t> shard_counts;
  for (const Slot& slot : planned) shard_counts.insert(slot.id.shards);
  for (uint32_t shards : shard_counts) PlanTopics(members, shards, self, now_ns, &planned);
  std::vector<Slot> changed;
  for (size_t i = 0; i < slots.size(); ++i) {
    if (!(planned[i] == slots[i])) changed.push_back(planned[i]);
  }
  return changed;
}

}  // namespace marquee::messaging
