// Who of a group should own what: a pure function of what is written down about the group. Every
// member computes it and carries out its own part; whoever comes first marks what others should
// give up.
//
// What is owned is a slot: shard i of every topic of the group that has the same number of shards.
#ifndef MARQUEE_MESSAGING_SQLITE_GROUP_PLAN_H_
#define MARQUEE_MESSAGING_SQLITE_GROUP_PLAN_H_

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace marquee::messaging {

struct SlotId {
  uint32_t shards = 0;  // of its topics
  uint32_t shard = 0;
  friend auto operator<=>(const SlotId&, const SlotId&) = default;
};

struct Slot {
  SlotId id;
  std::string owner;  // empty: nobody
  uint64_t generation = 0;
  // Set where the owner is asked to give it up: the uptime at which it is taken away.
  std::optional<int64_t> revoke_at_ns;
  friend bool operator==(const Slot&, const Slot&) = default;
};

struct MemberRow {
  std::string id;
  std::string name;  // for people
  std::string topics;
  std::string boot;
  int64_t joined = 0;
  int64_t lease_until_ns = 0;
  int64_t session_timeout_ns = 0;
};

// The slots that `self` must change, as they are to be: those of owners that are no longer members
// become free, free ones are claimed up to a fair share with the next generation, surplus ones of
// any member are marked, and marked ones whose time has come are taken away. Shares differ by at
// most 1. Empty where all is as it should be. REQUIRES: `self` is among `members`, who are alive.
std::vector<Slot> PlanSlots(const std::vector<MemberRow>& members, const std::vector<Slot>& slots,
                            const std::string& self, int64_t now_ns);

}  // namespace marquee::messaging

#endif  // MARQUEE_MESSAGING_SQLITE_GROUP_PLAN_H_
