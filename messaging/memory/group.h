// One group of readers: its members, and which of them has which shard.
//
// Shards with the same number in topics with the same number of shards form a unit, which is handed
// over as a whole: it is granted when all its shards are free.
//
// Threads: one at a time (the server's lock). Time is passed in: uptimes of the world's clock.
#ifndef MARQUEE_MESSAGING_MEMORY_GROUP_H_
#define MARQUEE_MESSAGING_MEMORY_GROUP_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/random.h"
#include "messaging/broker.h"

namespace marquee::messaging::memory {

// 0: none.
using MemberId = uint64_t;

class Group {
 public:
  Group(std::string name, Random* random) : name_(std::move(name)), random_(random) {}

  // Which topics the members share: name -> identity and number of shards.
  using Topics = std::map<std::string, std::pair<TopicIdentity, uint32_t>>;

  // kFailedPrecondition: the live members share other topics.
  absl::Status Join(MemberId id, std::string_view member, absl::Duration session_timeout,
                    const Topics& topics, absl::Duration now);
  void Leave(MemberId id);
  // The member's process died: the membership ends with its session.
  void Abandon(MemberId id);

  // The member begins to poll, and stays alive until the poll has ended. One that was taken for
  // dead joins again.
  void BeginPoll(MemberId id, absl::Duration now);
  void EndPoll(MemberId id, absl::Duration now);
  std::vector<OwnershipEvent> TakeEvents(MemberId id, absl::Duration now);

  bool Owns(MemberId id, const TopicShard& shard) const;
  void Release(MemberId id, const TopicShard& shard);
  bool IsMember(MemberId id) const { return members_.contains(id); }

  // Ends sessions, and revocations that were not answered in time.
  void Tick(absl::Duration now);
  // When Tick has something to do next.
  absl::Duration NextDeadline() const;

  // Hands a drawn unit to another live member: asks for it, or tears it away. False where that
  // cannot be.
  bool HandOver();

  void Report(const TopicShard& shard, Offset next) { reported_[shard] = next; }

  const std::string& name() const { return name_; }
  // Without lag: the group does not know it.
  GroupInfo Describe() const;

 private:
  struct Member {
    std::string name;
    absl::Duration session_timeout;
    absl::Duration seen;
    bool polling = false;
    bool live = true;
    bool abandoned = false;
    std::vector<OwnershipEvent> events;  // not delivered yet
  };
  struct Unit {
    uint32_t topic_shards = 0;  // units of equal number are balanced among themselves
    std::vector<TopicShard> shards;
    std::set<TopicShard> released;
    MemberId owner = 0;
    MemberId target = 0;     // who gets it next
    bool announced = false;  // the owner has learned of it
    bool revoking = false;
    absl::Duration revoke_deadline = absl::InfiniteDuration();
    uint64_t generation = 0;
  };
  using Loads = std::map<MemberId, int64_t>;

  void MakeUnits(const Topics& topics);
  bool IsLive(MemberId id) const;
  std::vector<MemberId> LiveMembers() const;

  // Settles who gets what is free, evens the loads out, and grants what is free by then.
  void Balance();
  void BalanceClass(uint32_t topic_shards, const std::vector<MemberId>& live);
  void MoveOne(uint32_t topic_shards, MemberId from, MemberId to);
  Loads CountLoads(uint32_t topic_shards, const std::vector<MemberId>& live) const;
  MemberId LeastLoaded(const Loads& loads, MemberId but_rather_not);

  void Grant(Unit& unit, MemberId to);
  void Revoke(Unit& unit, MemberId target);
  void TakeAway(Unit& unit);
  void Free(Unit& unit);
  void EndSession(MemberId id);
  static void Forget(Member& member, const TopicShard& shard);

  const std::string name_;
  Random* const random_;
  Topics topics_;
  std::map<MemberId, Member> members_;
  std::vector<Unit> units_;
  std::map<TopicShard, size_t> unit_of_;
  std::map<TopicShard, uint64_t> generations_;  // outlives units
  std::map<TopicShard, Offset> reported_;
};

}  // namespace marquee::messaging::memory

#endif  // MARQUEE_MESSAGING_MEMORY_GROUP_H_
