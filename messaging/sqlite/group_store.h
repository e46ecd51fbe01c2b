// What is written down about groups: DIR/groups.db, and the members' locks in DIR/groups/.
//
// Ownership changes are synced, so that no power loss takes a generation back; the rest is not.
// Threads: one at a time. Each subscription has a store of its own.
#ifndef MARQUEE_MESSAGING_SQLITE_GROUP_STORE_H_
#define MARQUEE_MESSAGING_SQLITE_GROUP_STORE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/sqlite/database.h"
#include "messaging/record.h"
#include "messaging/sqlite/group_plan.h"
#include "messaging/sqlite/member_lock.h"
#include "messaging/sqlite/store.h"

namespace marquee::messaging {

class GroupStore {
 public:
  static absl::StatusOr<std::unique_ptr<GroupStore>> Open(const Store& store);

  // Grows when another connection has written.
  absl::StatusOr<int64_t> Version();
  absl::StatusOr<sqlite::Transaction> Begin();
  // Whether transactions from now on are synced.
  absl::Status SyncCommits(bool sync);

  // All members that are written down, dead ones too.
  absl::StatusOr<std::vector<MemberRow>> Members(const std::string& group);
  absl::Status PutMember(const std::string& group, const MemberRow& member);
  absl::Status RenewLease(const std::string& member_id, int64_t lease_until_ns);
  absl::Status RemoveMember(const std::string& member_id);
  // By lease, lock and boot.
  bool IsAlive(const MemberRow& member, int64_t now_ns) const;
  absl::StatusOr<std::unique_ptr<MemberLock>> TakeLock(const std::string& member_id);

  absl::StatusOr<std::vector<Slot>> Slots(const std::string& group);  // in order
  absl::Status PutSlot(const std::string& group, const Slot& slot);

  using Reported = std::map<TopicShard, Offset>;
  absl::StatusOr<Reported> ReportedPositions(const std::string& group);
  absl::Status PutReported(const std::string& group, const Reported& reported);

  // The topics that a group's members share, separated by newlines; empty where nobody ever joined.
  absl::StatusOr<std::string> Topics(const std::string& group);
  absl::Status PutTopics(const std::string& group, const std::string& topics);

  absl::StatusOr<std::vector<std::string>> Groups();
  const std::string& boot() const { return boot_; }

 private:
  GroupStore(const Store& store, sqlite::Database database, std::string boot);
  std::string LockPath(const std::string& member_id) const;

  const Store& store_;
  sqlite::Database database_;
  sqlite::Statement version_;
  const std::string boot_;
};

}  // namespace marquee::messaging

#endif  // MARQUEE_MESSAGING_SQLITE_GROUP_STORE_H_
