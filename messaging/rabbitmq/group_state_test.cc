#include "messaging/rabbitmq/group_state.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"

namespace marquee::messaging::rabbitmq {
namespace {

const std::map<std::string, uint32_t> kTopics = {{"means", 5}, {"movies", 2}, {"ratings", 5}};

// A log, and the state after it.
struct Log {
  std::vector<std::string> entries = {""};  // the anchor
  GroupState state;

  int64_t Add(const std::string& entry) {
    entries.push_back(entry);
    auto offset = static_cast<int64_t>(entries.size()) - 1;
    state.Take(offset, entry);
    return offset;
  }
  std::map<std::string, std::vector<SlotId>> Owned(bool with_revoked = true) const {
    std::map<std::string, std::vector<SlotId>> owned;
    for (const auto& [id, slot] : state.slots()) {
      if (with_revoked || slot.revoked_at < 0) owned[slot.owner].push_back(id);
    }
    return owned;
  }
};

TEST(GroupStateTest, AMemberAloneIsGivenEverything) {
  Log log;
  log.Add(JoinEntry("a", "ann", 1000, kTopics));
  EXPECT_EQ(log.Owned()["a"].size(), 7u);
  for (const auto& [id, slot] : log.state.slots()) EXPECT_EQ(slot.generation, 2u);
}

TEST(GroupStateTest, WhoJoinsIsGivenWhatIsReleasedForIt) {
  Log log;
  log.Add(JoinEntry("a", "ann", 1000, kTopics));
  int64_t joined = log.Add(JoinEntry("b", "bob", 1000, kTopics));
  EXPECT_EQ(log.Owned()["b"].size(), 0u) << "nothing is torn away";
  EXPECT_EQ(log.Owned(false)["a"].size(), 4u) << "3 of 5 and 1 of 2 stay";
  for (const auto& [id, slot] : std::map(log.state.slots())) {
    if (slot.revoked_at != joined) continue;
    int64_t at = log.Add(ReleaseEntry("a", id, slot.generation));
    EXPECT_EQ(log.state.slots().at(id).owner, "b");
    EXPECT_EQ(log.state.slots().at(id).generation, static_cast<uint64_t>(at) + 1);
  }
}

TEST(GroupStateTest, AForcedSlotIsFreeOnceItsOwnerHasReadThat) {
  Log log;
  log.Add(JoinEntry("a", "ann", 1000, {{"t", 2}}));
  log.Add(JoinEntry("b", "bob", 1000, {{"t", 2}}));
  SlotId slot{2, 1};
  uint64_t generation = log.state.slots().at(slot).generation;
  log.Add(ForceEntry({2, 0}, generation));
  EXPECT_LT(log.state.slots().at({2, 0}).forced_at, 0) << "it was not revoked";
  int64_t forced = log.Add(ForceEntry(slot, generation));
  log.Add(BeatEntry("a", forced));
  EXPECT_EQ(log.state.slots().at(slot).owner, "a") << "it has read to before it";
  log.Add(BeatEntry("b", forced + 1));
  EXPECT_EQ(log.state.slots().at(slot).owner, "a") << "another has read it";
  log.Add(BeatEntry("a", forced + 1));
  EXPECT_EQ(log.state.slots().at(slot).owner, "b");
}

TEST(GroupStateTest, WhoWasHeardOfSinceIsNotExpelled) {
  Log log;
  int64_t joined = log.Add(JoinEntry("a", "ann", 1000, kTopics));
  int64_t beat = log.Add(BeatEntry("a", 1));
  log.Add(ExpelEntry("a", joined));
  EXPECT_TRUE(log.state.members().contains("a"));
  log.Add(ExpelEntry("a", beat));
  EXPECT_TRUE(log.state.members().empty());
  log.Add(BeatEntry("a", 1));
  EXPECT_TRUE(log.state.members().empty()) << "a late beat is not a join";
}

TEST(GroupStateTest, WhoAsksForOtherTopicsBecomesNoMember) {
  Log log;
  log.Add(JoinEntry("a", "ann", 1000, kTopics));
  log.Add(JoinEntry("b", "bob", 1000, {{"ratings", 5}}));
  EXPECT_FALSE(log.state.members().contains("b"));
  log.Add(LeaveEntry("a"));
  log.Add(JoinEntry("b", "bob", 1000, {{"ratings", 5}}));
  EXPECT_EQ(log.Owned()["b"].size(), 5u) << "when nobody is there, it may";
}

TEST(GroupStateTest, AReportIsKeptAndANameMayHoldAnything) {
  Log log;
  log.Add(JoinEntry("a", "tab\tand\nline", 1000, kTopics));
  log.Add(ReportEntry({"ratings", Shard(3)}, "id", Offset(77)));
  EXPECT_EQ(log.state.members().at("a").name, "tab\tand\nline");
  EXPECT_EQ(log.state.reports().at({"ratings", Shard(3)}), (GroupReport{"id", 77}));
}

uint64_t Seed() {
  const char* wanted = std::getenv("MARQUEE_SEED");
  uint64_t seed =
      wanted != nullptr ? std::strtoull(wanted, nullptr, 10) : Random::FromSystem().Next();
  std::printf("MARQUEE_SEED=%llu\n", static_cast<unsigned long long>(seed));
  return seed;
}

std::string RandomEntry(Random& random, const Log& log) {
  std::string id(1, static_cast<char>('a' + random.Below(6)));
  auto slot = log.state.slots().begin();
  if (!log.state.slots().empty()) std::advance(slot, random.Below(log.state.slots().size()));
  auto somewhere = static_cast<int64_t>(random.Below(log.entries.size() + 1));
  switch (random.Below(7)) {
    case 0:
      return JoinEntry(id, "name", 1000, kTopics);
    case 1:
      return BeatEntry(id, random.OneIn(2) ? log.state.next_offset() : somewhere);
    case 2:
      return LeaveEntry(id);
    case 3: {
      auto member = log.state.members().find(id);
      bool knows = member != log.state.members().end() && random.OneIn(2);
      return ExpelEntry(id, knows ? member->second.beat_at : somewhere);
    }
    case 4:
      if (log.state.slots().empty()) return "of a later version";
      return ReleaseEntry(slot->second.owner, slot->first, slot->second.generation);
    case 5:
      if (log.state.slots().empty()) return "";
      return ForceEntry(slot->first, slot->second.generation - random.Below(2));
    default:
      return ReportEntry({"ratings", Shard(1)}, "id", Offset(somewhere));
  }
}

// What must hold between two neighbouring states.
void ExpectStep(const GroupState& before, const GroupState& after) {
  std::map<uint32_t, std::map<std::string, size_t>> held;
  for (const auto& [id, slot] : after.slots()) {
    if (after.members().empty()) {
      EXPECT_TRUE(slot.owner.empty());
      continue;
    }
    if (!slot.owner.empty()) {
      EXPECT_TRUE(after.members().contains(slot.owner));
    }
    if (slot.revoked_at < 0) ++held[id.shards][slot.owner];
    auto was = before.slots().find(id);
    if (was == before.slots().end()) continue;
    EXPECT_GE(slot.generation, was->second.generation);
    bool given = !slot.owner.empty() &&
                 (slot.owner != was->second.owner || slot.generation != was->second.generation);
    if (given) {
      EXPECT_GT(slot.generation, was->second.generation) << "a new owner has a higher generation";
    }
  }
  for (const auto& [shards, members] : held) {
    size_t most = 0;
    for (const auto& [id, count] : members) most = std::max(most, count);
    EXPECT_LE(most, (shards + after.members().size() - 1) / after.members().size())
        << "nobody holds more than its share but what it was asked to give up";
  }
}

TEST(GroupStatePropertyTest, WhateverTheLogHoldsItsRulesAreKept) {
  uint64_t seed = Seed();
  for (uint64_t run = 0; run < 200; ++run) {
    SCOPED_TRACE(testing::Message() << "MARQUEE_SEED=" << seed << ", run " << run);
    Random random(seed + run);
    Log log;
    for (int i = 0; i < 100; ++i) {
      GroupState before = log.state;
      log.Add(RandomEntry(random, log));
      ExpectStep(before, log.state);
    }
    // Another who begins where the log was cut off comes to the same.
    size_t cut = random.Below(log.entries.size());
    GroupState first;
    for (size_t i = 1; i <= cut; ++i) first.Take(static_cast<int64_t>(i), log.entries[i]);
    GroupState second;
    int64_t from = 0;
    ASSERT_TRUE(second.FromEntry(first.ToEntry(), &from));
    EXPECT_EQ(second, first);
    for (auto i = static_cast<size_t>(from); i < log.entries.size(); ++i) {
      if (i > cut) second.Take(static_cast<int64_t>(i), log.entries[i]);
    }
    EXPECT_EQ(second.slots(), log.state.slots());
    EXPECT_EQ(second.members(), log.state.members());
  }
}

}  // namespace
}  // namespace marquee::messaging::rabbitmq
