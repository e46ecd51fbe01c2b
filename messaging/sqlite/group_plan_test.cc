#include "messaging/sqlite/group_plan.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "base/random.h"

namespace marquee::messaging {
namespace {

constexpr int64_t kTimeoutNs = 1'000;

std::vector<MemberRow> Members(int count) {
  std::vector<MemberRow> members;
  for (int i = 0; i < count; ++i) {
    MemberRow member;
    member.id = fmt::format("m{}", i);
    member.joined = i;
    member.session_timeout_ns = kTimeoutNs;
    members.push_back(member);
  }
  return members;
}

std::vector<Slot> Slots(std::vector<uint32_t> shard_counts) {
  std::vector<Slot> slots;
  std::sort(shard_counts.begin(), shard_counts.end());
  for (uint32_t shards : shard_counts) {
    for (uint32_t i = 0; i < shards; ++i)
      slots.push_back({.id = {shards, i}, .owner = {}, .generation = 0, .revoke_at_ns = {}});
  }
  return slots;
}

// As if the member had written what it planned.
bool Carry(const std::vector<MemberRow>& members, const std::string& self, int64_t now_ns,
           std::vector<Slot>* slots) {
  std::vector<Slot> changed = PlanSlots(members, *slots, self, now_ns);
  for (const Slot& slot : changed) {
    auto at = std::find_if(slots->begin(), slots->end(),
                           [&](const Slot& other) { return other.id == slot.id; });
    EXPECT_TRUE(slot.owner == at->owner || slot.owner == self || slot.owner.empty());
    bool claimed = slot.generation == at->generation + 1 && slot.owner == self;
    bool kept =
        slot.generation == at->generation && (slot.owner == at->owner || slot.owner.empty());
    EXPECT_TRUE(claimed || kept);
    *at = slot;
  }
  return !changed.empty();
}

TEST(GroupPlanTest, OneMemberTakesAll) {
  std::vector<Slot> slots = Slots({3});
  Carry(Members(1), "m0", 0, &slots);
  for (const Slot& slot : slots) {
    EXPECT_EQ(slot.owner, "m0");
    EXPECT_EQ(slot.generation, 1u);
  }
  EXPECT_FALSE(Carry(Members(1), "m0", 0, &slots)) << "and is content";
}

TEST(GroupPlanTest, ASurplusIsMarkedNotTaken) {
  std::vector<Slot> slots = Slots({4});
  Carry(Members(1), "m0", 0, &slots);
  Carry(Members(2), "m1", 10, &slots);
  int marked = 0;
  for (const Slot& slot : slots) {
    EXPECT_EQ(slot.owner, "m0");
    if (slot.revoke_at_ns.has_value()) {
      ++marked;
      EXPECT_EQ(*slot.revoke_at_ns, 10 + kTimeoutNs);
    }
  }
  EXPECT_EQ(marked, 2);
}

TEST(GroupPlanTest, WhatIsNotGivenUpInTimeIsTaken) {
  std::vector<Slot> slots = Slots({4});
  Carry(Members(1), "m0", 0, &slots);
  Carry(Members(2), "m1", 10, &slots);
  Carry(Members(2), "m1", 10 + kTimeoutNs, &slots);
  EXPECT_EQ(
      std::count_if(slots.begin(), slots.end(),
                    [](const Slot& slot) { return slot.owner == "m1" && slot.generation == 2; }),
      2);
}

TEST(GroupPlanTest, TheSlotsOfTheDeadAreFree) {
  std::vector<Slot> slots = Slots({4});
  Carry(Members(1), "m0", 0, &slots);
  std::vector<MemberRow> others = Members(2);
  others.erase(others.begin());
  Carry(others, "m1", 1, &slots);
  for (const Slot& slot : slots) EXPECT_EQ(slot.owner, "m1");
}

// Members come, go and plan in any order: it ends in balance, and stays there.
TEST(GroupPlanTest, AnyHistoryEndsInBalance) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random(seed);
    std::vector<Slot> slots = random.OneIn(2) ? Slots({12}) : Slots({1, 5, 7});
    std::vector<MemberRow> all = Members(6);
    std::vector<MemberRow> members = {all[0]};
    int64_t now_ns = 0;
    for (int step = 0; step < 40; ++step) {
      if (random.OneIn(4)) {
        members.clear();
        for (const MemberRow& member : all) {
          if (random.OneIn(2)) members.push_back(member);
        }
        if (members.empty()) members.push_back(all[random.Below(6)]);
      }
      Carry(members, members[random.Below(members.size())].id, now_ns += 100, &slots);
    }
    bool moving = true;
    for (int round = 0; moving && round < 20; ++round) {
      moving = false;
      now_ns += kTimeoutNs;
      for (const MemberRow& member : members) moving |= Carry(members, member.id, now_ns, &slots);
    }
    ASSERT_FALSE(moving);
    std::map<uint32_t, std::map<std::string, int>> held;
    for (const Slot& slot : slots) {
      for (const MemberRow& member : members)
        held[slot.id.shards][member.id] += slot.owner == member.id ? 1 : 0;
      EXPECT_FALSE(slot.revoke_at_ns.has_value());
    }
    for (const auto& [shards, counts] : held) {
      auto [least, most] =
          std::minmax_element(counts.begin(), counts.end(),
                              [](const auto& a, const auto& b) { return a.second < b.second; });
      EXPECT_LE(most->second - least->second, 1) << shards;
    }
  }
}

}  // namespace
}  // namespace marquee::messaging
