// One member of a group, as its subscription knows it: its lease, and the shards that it owns.
//
// A member lives while its lease is renewed (by Refresh) and while its process lives (by its lock).
// Everything is compared with what is written down, so a member that was stopped for long learns at
// its next Refresh that it has lost all.
//
// Threads: one at a time.
#ifndef MARQUEE_MESSAGING_SQLITE_GROUP_MEMBER_H_
#define MARQUEE_MESSAGING_SQLITE_GROUP_MEMBER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "messaging/broker.h"
#include "messaging/sqlite/group_plan.h"
#include "messaging/sqlite/group_store.h"
#include "messaging/sqlite/store.h"

namespace marquee::messaging {

class GroupMember {
 public:
  // Topics with their numbers of shards. kFailedPrecondition: the group shares other topics.
  static absl::StatusOr<std::unique_ptr<GroupMember>> Join(
      Store& store, GroupStore& groups, const SubscriptionOptions& options,
      const std::map<std::string, uint32_t>& topics);
  // Leaves.
  ~GroupMember();
  GroupMember(const GroupMember&) = delete;

  // Renews the lease, does the member's part of sharing, and appends what has changed for it to
  // `events`. Cheap where nothing has: may be called at every poll.
  absl::Status Refresh(std::vector<OwnershipEvent>* events);

  // kAborted where the shard is not this member's, or may no longer be.
  absl::Status CheckOwns(const TopicShard& shard);
  // Others get the slot once all of its shards are released. Harmless where the shard is not owned;
  // kAborted where it was lost and the member does not know yet.
  absl::Status Release(const TopicShard& shard);

 private:
  struct Owned {
    uint64_t generation = 0;
    std::optional<int64_t> revoke_at_ns;
    std::set<std::string> released;  // topics
  };

  GroupMember(Store& store, GroupStore& groups, const SubscriptionOptions& options,
              const std::map<std::string, uint32_t>& topics);
  absl::Status Enter();
  absl::Status CheckTopics(const std::vector<MemberRow>& members);
  bool IsDue(int64_t now_ns, int64_t version) const;
  absl::Status Share(int64_t now_ns, std::vector<OwnershipEvent>* events);
  absl::Status WritePlan(int64_t now_ns, std::vector<Slot>* slots, bool* is_member);
  absl::Status Renew(int64_t now_ns, bool* is_member);
  absl::StatusOr<std::vector<Slot>> SharedSlots();
  std::vector<MemberRow> Living(const std::vector<MemberRow>& members, int64_t now_ns) const;
  void Compare(const std::vector<Slot>& slots, std::vector<OwnershipEvent>* events);
  void LoseAll(std::vector<OwnershipEvent>* events);
  void Append(OwnershipEvent::Kind kind, const SlotId& slot, const Owned& owned,
              std::vector<OwnershipEvent>* events) const;
  absl::StatusOr<bool> StillOwns(const SlotId& id, uint64_t generation);
  absl::StatusOr<SlotId> SlotOf(const TopicShard& shard) const;
  absl::Status GiveUp(const SlotId& id, uint64_t generation);
  int64_t NowNs() const { return absl::ToInt64Nanoseconds(store_.clock.Uptime()); }

  Store& store_;
  GroupStore& groups_;
  const std::string group_;
  const std::map<std::string, uint32_t> topics_;
  const std::string topics_text_;
  MemberRow self_;
  std::unique_ptr<MemberLock> lock_;
  std::map<SlotId, Owned> owned_;
  int64_t next_refresh_ns_ = 0;
  int64_t seen_version_ = -1;
};

}  // namespace marquee::messaging

#endif  // MARQUEE_MESSAGING_SQLITE_GROUP_MEMBER_H_
