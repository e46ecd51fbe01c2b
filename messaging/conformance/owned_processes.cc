// 6. Owned, with members in other processes: killed, and stopped for longer than their session.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "messaging/conformance/herd.h"
#include "messaging/conformance/trial.h"

namespace marquee::messaging::conformance {
namespace {

// A member in another process, and all it was seen to do.
struct PeerMember {
  std::unique_ptr<Peer> peer;
  std::vector<PeerEvent> events;
  std::map<TopicShard, uint64_t> owned;

  void Take(const PeerEvent& event) {
    EXPECT_NE(event.kind, PeerEvent::Kind::kFailed) << event.text;
    events.push_back(event);
    if (event.kind == PeerEvent::Kind::kGained) owned[event.shard] = event.number;
    if (event.kind == PeerEvent::Kind::kReleased || event.kind == PeerEvent::Kind::kLost) {
      owned.erase(event.shard);
    }
  }
  // Takes what there is.
  void Look(absl::Duration wait = absl::ZeroDuration()) {
    while (auto event = peer->Next(wait)) Take(*event);
  }
  bool Heard(PeerEvent::Kind kind, const TopicShard& shard) const {
    return std::any_of(events.begin(), events.end(), [&](const PeerEvent& event) {
      return event.kind == kind && event.shard == shard;
    });
  }
};

PeerMember Spawn(Trial& trial, const std::string& group, const std::string& topic) {
  return {.peer = trial.backend().SpawnPeer({.role = PeerScript::Role::kMember,
                                             .name = trial.Name("peer"),
                                             .topics = {topic},
                                             .group = group,
                                             .session_timeout = trial.timings().session_timeout}),
          .events = {},
          .owned = {}};
}

// No poll that began after somebody gained a shard handed out records of it under a lower
// generation.
void ExpectOneOwnerAtATime(const std::vector<const PeerMember*>& peers) {
  std::map<TopicShard, std::map<uint64_t, absl::Duration>> gained;
  for (const PeerMember* peer : peers) {
    for (const PeerEvent& event : peer->events) {
      if (event.kind != PeerEvent::Kind::kGained) continue;
      bool is_new = gained[event.shard].emplace(event.number, event.at).second;
      EXPECT_TRUE(is_new) << event.shard << " was given twice with generation " << event.number;
    }
  }
  for (const PeerMember* peer : peers) {
    for (const PeerEvent& event : peer->events) {
      if (event.kind != PeerEvent::Kind::kRead) continue;
      for (const auto& [generation, at] : gained[event.shard]) {
        if (generation <= event.number) continue;
        EXPECT_LE(event.at, at) << event.shard << " was read with generation " << event.number
                                << " after it was given away with " << generation;
      }
    }
  }
}

void AKilledMembersShardsGoToOthersWithAHigherGeneration(Trial& trial) {
  std::string topic = trial.Declare(6);
  PutMany(trial.broker(), topic, 1, 300, 60);
  Herd herd(trial, trial.Name("group"), {topic});
  herd.Join();
  SystemClock clock;
  for (int round = 0; round < 3; ++round) {
    PeerMember doomed = Spawn(trial, herd.group(), topic);
    EXPECT_TRUE(herd.Eventually([&] {
      doomed.Look();
      return doomed.owned.size() == 3;
    })) << "it got its share";
    doomed.peer->Kill();
    absl::Duration killed = clock.Uptime();
    doomed.Look();
    EXPECT_TRUE(herd.EventuallySettled());
    EXPECT_LE(clock.Uptime() - killed, trial.timings().take_over);
    for (const auto& [shard, generation] : doomed.owned) {
      EXPECT_GT(herd.generation(shard), generation) << shard;
    }
  }
  EXPECT_TRUE(herd.EventuallyReadAll());
  EXPECT_EQ(herd.collector().size(), 300u);
}

void AStoppedMemberLosesItsShardsAndIsHandedNothingMore(Trial& trial) {
  std::string topic = trial.Declare(4);
  PutMany(trial.broker(), topic, 1, 400, 80);
  Herd herd(trial, trial.Name("group"), {topic});
  PeerMember zombie = Spawn(trial, herd.group(), topic);
  EXPECT_TRUE(trial.Soon([&] {
    zombie.Look(absl::Milliseconds(10));
    return zombie.owned.size() == 4;
  }));
  zombie.peer->Stop();
  zombie.Look();
  std::map<TopicShard, uint64_t> before = zombie.owned;
  Member& heir = herd.Join();
  EXPECT_TRUE(herd.Eventually([&] { return heir.owned().size() == 4; }));
  std::map<TopicShard, Offset> ends;
  for (const TopicShard& shard : herd.shards()) {
    EXPECT_GT(herd.generation(shard), before[shard]);
    ends[shard] = MUST(trial.broker().DescribeShard(shard)).end;
  }
  PutMany(trial.broker(), topic, 401, 800, 80);
  zombie.peer->Resume();
  EXPECT_TRUE(herd.Eventually([&] {
    zombie.Look();
    return std::all_of(before.begin(), before.end(), [&](const auto& entry) {
      return zombie.Heard(PeerEvent::Kind::kLost, entry.first);
    });
  })) << "it is told";
  EXPECT_TRUE(herd.Eventually([&] {
    zombie.Look();
    return zombie.owned.size() == 2 && heir.owned().size() == 2;
  })) << "it is a member again";
  for (const PeerEvent& event : zombie.events) {
    if (event.kind != PeerEvent::Kind::kRead || event.number > before[event.shard]) continue;
    EXPECT_LT(event.offset, ends[event.shard])
        << event.shard << " was published after the zombie had lost it";
  }
}

void StormsAcrossProcessesEndInBalance(Trial& trial) {
  std::string topic = trial.Declare(5), group = trial.Name("group");
  PutMany(trial.broker(), topic, 1, 500, 80);
  std::vector<std::unique_ptr<PeerMember>> members;
  std::vector<PeerMember*> live;
  auto look = [&] {
    for (PeerMember* member : live) member->Look();
  };
  for (int round = 0; round < 12; ++round) {
    if (live.size() < 2 || (live.size() < 4 && trial.random().OneIn(2))) {
      members.push_back(std::make_unique<PeerMember>(Spawn(trial, group, topic)));
      live.push_back(members.back().get());
    } else {
      PeerMember* leaver = live[trial.random().Below(live.size())];
      trial.random().OneIn(2) ? leaver->peer->Kill() : leaver->peer->Finish();
      while (auto event = leaver->peer->Next(trial.timings().soon)) leaver->Take(*event);
      std::erase(live, leaver);
    }
    absl::Duration until = trial.clock().Uptime() + absl::Milliseconds(trial.random().Below(300));
    trial.Eventually(trial.timings().soon, [&] {
      look();
      return trial.clock().Uptime() > until;
    });
  }
  absl::Duration settle = trial.timings().settle + trial.timings().session_timeout;
  EXPECT_TRUE(trial.Eventually(settle, [&] {
    look();
    std::map<TopicShard, int> owners;
    size_t least = 5, most = 0;
    for (PeerMember* member : live) {
      for (const auto& [shard, generation] : member->owned) ++owners[shard];
      least = std::min(least, member->owned.size());
      most = std::max(most, member->owned.size());
    }
    return owners.size() == 5 && most <= least + 1 &&
           std::all_of(owners.begin(), owners.end(), [](const auto& e) { return e.second == 1; });
  }));
  std::vector<const PeerMember*> all;
  all.reserve(members.size());
  for (const auto& member : members) all.push_back(member.get());
  ExpectOneOwnerAtATime(all);
}

void WhoFinishesInAnotherProcessGivesUpAtOnce(Trial& trial) {
  std::string topic = trial.Declare(4);
  Herd herd(trial, trial.Name("group"), {topic});
  Member& member = herd.Join();
  PeerMember peer = Spawn(trial, herd.group(), topic);
  EXPECT_TRUE(herd.Eventually([&] {
    peer.Look();
    return peer.owned.size() == 2;
  }));
  peer.peer->Finish();
  bool finished = false;
  EXPECT_TRUE(herd.Eventually([&] {
    while (auto event = peer.peer->Next(absl::ZeroDuration())) {
      finished = finished || event->kind == PeerEvent::Kind::kFinished;
    }
    return finished && member.owned().size() == 4;
  }));
}

}  // namespace

std::vector<Fact> OwnedAcrossProcessesFacts() {
  return {MARQUEE_FACT(AKilledMembersShardsGoToOthersWithAHigherGeneration),
          MARQUEE_FACT(AStoppedMemberLosesItsShardsAndIsHandedNothingMore),
          MARQUEE_FACT(StormsAcrossProcessesEndInBalance),
          MARQUEE_FACT(WhoFinishesInAnotherProcessGivesUpAtOnce)};
}

}  // namespace marquee::messaging::conformance
