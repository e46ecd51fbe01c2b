// 6. Owned: in a group each shard has one live member at a time, each time with a higher
// generation; a member learns of it where it polls. Members in this process; those in others are in
// owned_processes.cc. The herd's referee checks ownership at every step of every test here.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "messaging/conformance/herd.h"
#include "messaging/conformance/trial.h"

namespace marquee::messaging::conformance {
namespace {

using Kind = OwnershipEvent::Kind;

void AMemberAloneOwnsAllShards(Trial& trial) {
  std::string topic = trial.Declare(7);
  Herd herd(trial, trial.Name("group"), {topic});
  Member& member = herd.Join();
  EXPECT_TRUE(herd.EventuallySettled());
  EXPECT_EQ(member.owned().size(), 7u);
  for (const auto& [shard, generation] : member.owned()) EXPECT_GT(generation, 0u);
}

void EachShardHasOneOwnerAndSharesAreEven(Trial& trial) {
  std::string topic = trial.Declare(11);
  Herd herd(trial, trial.Name("group"), {topic});
  for (int i = 0; i < 4; ++i) herd.Join();
  EXPECT_TRUE(herd.EventuallySettled());
}

void MoreMembersThanShardsLeaveSomeIdle(Trial& trial) {
  std::string topic = trial.Declare(2);
  Herd herd(trial, trial.Name("group"), {topic});
  for (int i = 0; i < 4; ++i) herd.Join();
  EXPECT_TRUE(herd.EventuallySettled());
}

void WhoJoinsGetsItsShareByRevocation(Trial& trial) {
  std::string topic = trial.Declare(6);
  Herd herd(trial, trial.Name("group"), {topic});
  Member& first = herd.Join();
  EXPECT_TRUE(herd.EventuallySettled());
  std::map<TopicShard, uint64_t> before = first.owned();
  Member& second = herd.Join();
  EXPECT_TRUE(herd.EventuallySettled());
  EXPECT_EQ(second.owned().size(), 3u);
  for (const auto& [shard, generation] : second.owned()) {
    EXPECT_GT(generation, before[shard]);
    EXPECT_TRUE(first.Heard(Kind::kRevoked, shard)) << shard << " was asked for";
    EXPECT_FALSE(first.Heard(Kind::kLost, shard)) << shard << " was not torn away";
  }
}

void ARevokedShardStaysUntilItIsReleased(Trial& trial) {
  std::string topic = trial.Declare(2);
  PutMany(trial.broker(), topic, 1, 2'000, 100);
  Herd herd(trial, trial.Name("group"), {topic});
  Member& first = herd.Join();
  EXPECT_TRUE(herd.EventuallySettled());
  first.set_releasing(false);
  Member& second = herd.Join();
  std::optional<TopicShard> revoked;
  EXPECT_TRUE(herd.Eventually([&] {
    for (const OwnershipEvent& event : first.events()) {
      if (event.kind == Kind::kRevoked) revoked = event.shard;
    }
    return revoked.has_value();
  }));
  MUST_TRUE(revoked.has_value());
  // It is still the first member's: it may finish.
  MUST(first.subscription().Start(*revoked, StartPosition::AtEarliest()));
  EXPECT_EQ(second.owned().size(), 0u);
  MUST(first.subscription().Release(*revoked));
  EXPECT_TRUE(herd.Eventually([&] { return second.owned().contains(*revoked); }));
}

// Whoever gives up one shard after the other goes on with the rest meanwhile.
void ARevokedShardKeepsItsPlaceUntilItIsReleased(Trial& trial) {
  constexpr uint32_t kShards = 4;
  std::string topic = trial.Declare(kShards);
  auto publisher = MUST(trial.broker().OpenPublisher(topic));
  // Which shards are asked for is not known: in each round records of another one lie ready then.
  for (uint32_t round = 0; round < kShards; ++round) {
    Herd herd(trial, trial.Name("group"), {topic});
    Member& first = herd.Join();
    EXPECT_TRUE(herd.EventuallySettled());
    first.set_releasing(false);
    herd.Join();
    EXPECT_TRUE(herd.Eventually([&] {
      for (const auto& [shard, generation] : first.owned()) {
        (void)MUST(first.subscription().Next(shard));
        (void)MUST(first.subscription().Lag(shard));
      }
      for (int i = 0; i < 20; ++i) Put(*publisher, "k", "v", Shard(round));
      (void)MUST(publisher->Flush());
      return std::any_of(first.events().begin(), first.events().end(),
                         [](const auto& event) { return event.kind == Kind::kRevoked; });
    }));
  }
}

void ARevokedShardThatIsNotReleasedIsTakenAway(Trial& trial) {
  std::string topic = trial.Declare(4);
  PutMany(trial.broker(), topic, 1, 2'000, 100);
  Herd herd(trial, trial.Name("group"), {topic});
  Member& stubborn = herd.Join();
  EXPECT_TRUE(herd.EventuallySettled());
  stubborn.set_releasing(false);
  Member& second = herd.Join();
  EXPECT_TRUE(herd.EventuallySettled());
  EXPECT_EQ(second.owned().size(), 2u);
  for (const auto& [shard, generation] : second.owned()) {
    EXPECT_TRUE(stubborn.Heard(Kind::kRevoked, shard));
    EXPECT_TRUE(stubborn.Heard(Kind::kLost, shard));
  }
  EXPECT_TRUE(herd.EventuallyReadAll());
}

void WhoLeavesGivesItsShardsToTheOthers(Trial& trial) {
  std::string topic = trial.Declare(6);
  Herd herd(trial, trial.Name("group"), {topic});
  for (int i = 0; i < 3; ++i) herd.Join();
  EXPECT_TRUE(herd.EventuallySettled());
  std::map<TopicShard, uint64_t> given = herd.at(1).owned();
  herd.Leave(herd.at(1));
  EXPECT_TRUE(herd.EventuallySettled());
  for (const auto& [shard, generation] : given) {
    EXPECT_GT(herd.generation(shard), generation) << shard;
  }
}

void WhoDoesNotPollLosesItsShardsAndIsToldSo(Trial& trial) {
  std::string topic = trial.Declare(4);
  Herd herd(trial, trial.Name("group"), {topic});
  Member& slow = herd.Join();
  Member& second = herd.Join();
  EXPECT_TRUE(herd.EventuallySettled());
  std::map<TopicShard, uint64_t> before = slow.owned();
  EXPECT_EQ(before.size(), 2u);
  slow.set_polling(false);
  EXPECT_TRUE(herd.Eventually([&] { return second.owned().size() == 4; }));
  PutMany(trial.broker(), topic, 1, 1'000, 100);
  for (const auto& [shard, generation] : before) {
    EXPECT_EQ(slow.subscription().Start(shard, StartPosition::AtEarliest()).code(),
              absl::StatusCode::kAborted);
  }
  // The zombie wakes: it hears that it lost them, and gets no record of them (the referee looks).
  slow.set_polling(true);
  EXPECT_TRUE(herd.Eventually([&] {
    return std::all_of(before.begin(), before.end(),
                       [&](const auto& entry) { return slow.Heard(Kind::kLost, entry.first); });
  }));
  EXPECT_TRUE(herd.EventuallySettled()) << "it is a member again";
  EXPECT_TRUE(herd.EventuallyReadAll());
}

void OnlyTheOwnerMayStart(Trial& trial) {
  std::string topic = trial.Declare(2);
  Herd herd(trial, trial.Name("group"), {topic});
  herd.Join();
  herd.Join();
  EXPECT_TRUE(herd.EventuallySettled());
  for (const TopicShard& shard : herd.shards()) {
    for (size_t i = 0; i < 2; ++i) {
      Member& member = herd.at(i);
      absl::Status status = member.subscription().Start(shard, StartPosition::AtEarliest());
      EXPECT_EQ(status.code(), member.owned().contains(shard) ? absl::StatusCode::kOk
                                                              : absl::StatusCode::kAborted);
    }
  }
}

void WhatIsReleasedIsNotReadAnyMore(Trial& trial) {
  std::string topic = trial.Declare(1);
  PutMany(trial.broker(), topic, 1, 5'000, 10);
  Herd herd(trial, trial.Name("group"), {topic});
  Member& member = herd.Join();
  EXPECT_TRUE(herd.EventuallySettled());
  MUST(member.subscription().Release(At(topic, 0)));
  EXPECT_TRUE(trial.Soon([&] {
    Delivery delivery = MUST(member.subscription().Poll(absl::Milliseconds(20)));
    EXPECT_FALSE(delivery.batch) << "released, and not started again";
    // Nobody else is there, so it comes back, with a higher generation.
    return std::any_of(delivery.events.begin(), delivery.events.end(), [&](const auto& event) {
      return event.kind == Kind::kGained && event.generation > member.owned().at(At(topic, 0));
    });
  }));
}

void AGroupSharesSeveralTopicsTogether(Trial& trial) {
  std::vector<std::string> topics = {trial.Declare(5), trial.Declare(5), trial.Declare(2)};
  Herd herd(trial, trial.Name("group"), topics);
  for (int i = 0; i < 3; ++i) herd.Join();
  EXPECT_TRUE(herd.EventuallySettled());
  auto together = [&] {
    for (uint32_t i = 0; i < 5; ++i) {
      if (herd.owner(At(topics[0], i)) != herd.owner(At(topics[1], i))) return false;
    }
    return true;
  };
  EXPECT_TRUE(herd.Eventually([&] { return herd.Settled() && together(); }));
  herd.Leave(herd.at(0));
  EXPECT_TRUE(herd.Eventually([&] { return herd.Settled() && together(); }));
  herd.Join();
  EXPECT_TRUE(herd.Eventually([&] { return herd.Settled() && together(); }));
}

void GroupsOwnIndependently(Trial& trial) {
  std::string topic = trial.Declare(4);
  Herd one(trial, trial.Name("group"), {topic}), other(trial, trial.Name("group"), {topic});
  one.Join();
  other.Join();
  other.Join();
  EXPECT_TRUE(one.EventuallySettled());
  EXPECT_TRUE(other.EventuallySettled());
  one.Leave(one.at(0));
  PutMany(trial.broker(), topic, 1, 200, 40);
  EXPECT_TRUE(other.EventuallyReadAll());
  EXPECT_TRUE(other.Settled());
}

void GenerationsOutliveTheGroupsMembers(Trial& trial) {
  std::string topic = trial.Declare(2), group = trial.Name("group");
  std::map<TopicShard, uint64_t> before;
  for (int round = 0; round < 4; ++round) {
    {
      Herd herd(trial, group, {topic});
      herd.Join();
      EXPECT_TRUE(herd.EventuallySettled());
      for (const TopicShard& shard : herd.shards()) {
        EXPECT_GT(herd.generation(shard), before[shard]) << "in round " << round;
        before[shard] = herd.generation(shard);
      }
    }
    if (round == 1) trial.Restart();
  }
}

void StormsOfJoiningAndLeavingMissNothing(Trial& trial) {
  std::string topic = trial.Declare(6);
  auto publisher = MUST(trial.broker().OpenPublisher(topic));
  Herd herd(trial, trial.Name("group"), {topic});
  herd.Join();
  int published = 0;
  for (int round = 0; round < 60; ++round) {
    if (herd.size() < 2 || (herd.size() < 6 && trial.random().OneIn(2))) {
      herd.Join();
    } else {
      herd.Leave(herd.at(trial.random().Below(herd.size())));
    }
    for (int i = 0; i < 20; ++i) Put(*publisher, absl::StrCat("k", ++published), "v");
    MUST(publisher->Flush());
    for (uint64_t polls = trial.random().Below(6); polls > 0; --polls) herd.PollAll();
  }
  EXPECT_TRUE(herd.EventuallySettled());
  EXPECT_TRUE(herd.EventuallyReadAll());
  // A backend whose nodes are killed meanwhile may have stored a record twice.
  std::set<std::string> keys;
  for (const Got& got : herd.collector().Records()) keys.insert(got.key);
  EXPECT_EQ(keys.size(), static_cast<size_t>(published));
}

void TheGroupIsListedWithItsMembersAndOwners(Trial& trial) {
  std::string topic = trial.Declare(4);
  Herd herd(trial, trial.Name("group"), {topic});
  herd.Join();
  herd.Join();
  EXPECT_TRUE(herd.EventuallySettled());
  auto listed = [&] {
    for (const GroupInfo& info : MUST(trial.broker().ListGroups())) {
      if (info.group != herd.group()) continue;
      std::set<std::string> members(info.members.begin(), info.members.end());
      bool all = members == std::set<std::string>{herd.at(0).name(), herd.at(1).name()} &&
                 info.shards.size() == 4;
      for (const GroupShard& shard : info.shards) {
        Member* owner = herd.owner(shard.shard);
        all = all && owner != nullptr && shard.owner == owner->name() &&
              shard.generation == herd.generation(shard.shard);
      }
      return all;
    }
    return false;
  };
  EXPECT_TRUE(herd.Eventually(listed));
}

}  // namespace

std::vector<Fact> OwnedFacts() {
  return {MARQUEE_FACT(AMemberAloneOwnsAllShards),
          MARQUEE_FACT(EachShardHasOneOwnerAndSharesAreEven),
          MARQUEE_FACT(MoreMembersThanShardsLeaveSomeIdle),
          MARQUEE_FACT(WhoJoinsGetsItsShareByRevocation),
          MARQUEE_FACT(ARevokedShardStaysUntilItIsReleased),
          MARQUEE_FACT(ARevokedShardKeepsItsPlaceUntilItIsReleased),
          MARQUEE_FACT(ARevokedShardThatIsNotReleasedIsTakenAway),
          MARQUEE_FACT(WhoLeavesGivesItsShardsToTheOthers),
          MARQUEE_FACT(WhoDoesNotPollLosesItsShardsAndIsToldSo),
          MARQUEE_FACT(OnlyTheOwnerMayStart),
          MARQUEE_FACT(WhatIsReleasedIsNotReadAnyMore),
          MARQUEE_FACT(AGroupSharesSeveralTopicsTogether),
          MARQUEE_FACT(GroupsOwnIndependently),
          MARQUEE_FACT(GenerationsOutliveTheGroupsMembers),
          MARQUEE_FACT(StormsOfJoiningAndLeavingMissNothing),
          MARQUEE_FACT(TheGroupIsListedWithItsMembersAndOwners)};
}

}  // namespace marquee::messaging::conformance
