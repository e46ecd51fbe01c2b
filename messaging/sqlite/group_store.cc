#include "messaging/sqlite/group_store.h"

#include <fmt/format.h>
#include <unistd.h>

#include <fstream>
#include <utility>

#include "base/status.h"

namespace marquee::messaging {
namespace {

constexpr FileKind kKind = {
    .noun = "groups",
    .application_id = 0x4d515447,  // "MQTG"
    .schema_version = 1,
    .schema = R"(
      CREATE TABLE members(
        id TEXT PRIMARY KEY, "group" TEXT NOT NULL, name TEXT NOT NULL, topics TEXT NOT NULL, boot TEXT NOT NULL,
        joined INTEGER NOT NULL, lease_until_ns INTEGER NOT NULL, session_timeout_ns INTEGER NOT NULL) WITHOUT ROWID;
      CREATE TABLE groups("group" TEXT PRIMARY KEY, topics TEXT NOT NULL) WITHOUT ROWID;
      CREATE TABLE slots(
        "group" TEXT NOT NULL, shards INTEGER NOT NULL, shard INTEGER NOT NULL, owner TEXT NOT NULL,
        generation INTEGER NOT NULL, revoke_at_ns INTEGER,
        PRIMARY KEY("group", shards, shard)) WITHOUT ROWID;
      CREATE TABLE reported(
        "group" TEXT NOT NULL, topic TEXT NOT NULL, shard INTEGER NOT NULL, next INTEGER NOT NULL,
        PRIMARY KEY("group", topic, shard)) WITHOUT ROWID;
    )",
};
constexpr int64_t kCacheBytes = 128 << 10;
// A member that polls does not wait longer than this for others' small transactions.
constexpr absl::Duration kBusyTimeout = absl::Seconds(5);

// Which run of the machine this is: uptimes of another mean nothing.
std::string ReadBootId() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(file, id);
  return id.empty() ? "unknown" : id;
}

}  // namespace

absl::StatusOr<std::unique_ptr<GroupStore>> GroupStore::Open(const Store& store) {
  if (store.on_system_files()) MARQUEE_RETURN_IF_ERROR(PrepareDirectory(store.PathOf("groups")));
  MARQUEE_ASSIGN_OR_RETURN(
      sqlite::Database database,
      OpenStoreFile(store, store.PathOf("groups.db"), kKind, IfMissing::kCreate, kCacheBytes));
  MARQUEE_RETURN_IF_ERROR(database.Execute("PRAGMA synchronous=NORMAL"));
  std::unique_ptr<GroupStore> opened(new GroupStore(store, std::move(database), ReadBootId()));
  MARQUEE_ASSIGN_OR_RETURN(opened->version_, opened->database_.Prepare("PRAGMA data_version"));
  return opened;
}

GroupStore::GroupStore(const Store& store, sqlite::Database database, std::string boot)
    : store_(store), database_(std::move(database)), boot_(std::move(boot)) {}

absl::StatusOr<int64_t> GroupStore::Version() {
  MARQUEE_RETURN_IF_ERROR(version_.Step().status());
  int64_t version = version_.Int(0);
  version_.Reset();
  return version;
}

absl::StatusOr<sqlite::Transaction> GroupStore::Begin() {
  return BeginWriting(database_, store_.clock, kBusyTimeout);
}

absl::Status GroupStore::SyncCommits(bool sync) {
  return database_.Execute(sync ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL");
}

absl::StatusOr<std::vector<MemberRow>> GroupStore::Members(const std::string& group) {
  MARQUEE_ASSIGN_OR_RETURN(
      sqlite::Statement select,
      database_.Prepare(
          "SELECT id, name, topics, boot, joined, lease_until_ns, session_timeout_ns FROM members "
          "WHERE \"group\" = ?1 ORDER BY joined, id"));
  select.BindText(1, group);
  std::vector<MemberRow> members;
  while (true) {
    MARQUEE_ASSIGN_OR_RETURN(bool row, select.Step());
    if (!row) return members;
    members.push_back({.id = std::string(select.Text(0)),
                       .name = std::string(select.Text(1)),
                       .topics = std::string(select.Text(2)),
                       .boot = std::string(select.Text(3)),
                       .joined = select.Int(4),
                       .lease_until_ns = select.Int(5),
                       .session_timeout_ns = select.Int(6)});
  }
}

absl::Status GroupStore::PutMember(const std::string& group, const MemberRow& member) {
  MARQUEE_ASSIGN_OR_RETURN(
      sqlite::Statement insert,
      database_.Prepare("INSERT INTO members VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"));
  return insert.BindText(1, member.id)
      .BindText(2, group)
      .BindText(3, member.name)
      .BindText(4, member.topics)
      .BindText(5, member.boot)
      .Bind(6, member.joined)
      .Bind(7, member.lease_until_ns)
      .Bind(8, member.session_timeout_ns)
      .Run();
}

absl::Status GroupStore::RenewLease(const std::string& member_id, int64_t lease_until_ns) {
  MARQUEE_ASSIGN_OR_RETURN(
      sqlite::Statement update,
      database_.Prepare("UPDATE members SET lease_until_ns = ?2 WHERE id = ?1"));
  return update.BindText(1, member_id).Bind(2, lease_until_ns).Run();
}

absl::Status GroupStore::RemoveMember(const std::string& member_id) {
  MARQUEE_ASSIGN_OR_RETURN(sqlite::Statement remove,
                           database_.Prepare("DELETE FROM members WHERE id = ?1"));
  MARQUEE_RETURN_IF_ERROR(remove.BindText(1, member_id).Run());
  if (store_.on_system_files() && !MemberLock::IsHeld(LockPath(member_id)))
    unlink(LockPath(member_id).c_str());
  return absl::OkStatus();
}

std::string GroupStore::LockPath(const std::string& member_id) const {
  return store_.PathOf("groups/" + member_id + ".lock");
}

bool GroupStore::IsAlive(const MemberRow& member, int64_t now_ns) const {
  if (member.boot != boot_ || member.lease_until_ns <= now_ns) return false;
  return !store_.on_system_files() || MemberLock::IsHeld(LockPath(member.id));
}

absl::StatusOr<std::unique_ptr<MemberLock>> GroupStore::TakeLock(const std::string& member_id) {
  if (!store_.on_system_files()) return std::unique_ptr<MemberLock>();
  return MemberLock::Take(LockPath(member_id));
}

absl::StatusOr<std::vector<Slot>> GroupStore::Slots(const std::string& group) {
  MARQUEE_ASSIGN_OR_RETURN(
      sqlite::Statement select,
      database_.Prepare(
          "SELECT shards, shard, owner, generation, revoke_at_ns FROM slots WHERE \"group\" = ?1 "
          "ORDER BY shards, shard"));
  select.BindText(1, group);
  std::vector<Slot> slots;
  while (true) {
    MARQUEE_ASSIGN_OR_RETURN(bool row, select.Step());
    if (!row) return slots;
    Slot slot{.id = {static_cast<uint32_t>(select.Int(0)), static_cast<uint32_t>(select.Int(1))},
              .owner = std::string(select.Text(2)),
              .generation = static_cast<uint64_t>(select.Int(3)),
              .revoke_at_ns = std::nullopt};
    if (!select.IsNull(4)) slot.revoke_at_ns = select.Int(4);
    slots.push_back(std::move(slot));
  }
}

absl::Status GroupStore::PutSlot(const std::string& group, const Slot& slot) {
  MARQUEE_ASSIGN_OR_RETURN(
      sqlite::Statement insert,
      database_.Prepare("INSERT OR REPLACE INTO slots VALUES(?1, ?2, ?3, ?4, ?5, ?6)"));
  insert.BindText(1, group)
      .Bind(2, slot.id.shards)
      .Bind(3, slot.id.shard)
      .BindText(4, slot.owner)
      .Bind(5, static_cast<int64_t>(slot.generation));
  if (slot.revoke_at_ns.has_value()) insert.Bind(6, *slot.revoke_at_ns);
  return insert.Run();
}

absl::StatusOr<GroupStore::Reported> GroupStore::ReportedPositions(const std::string& group) {
  MARQUEE_ASSIGN_OR_RETURN(
      sqlite::Statement select,
      database_.Prepare("SELECT topic, shard, next FROM reported WHERE \"group\" = ?1"));
  select.BindText(1, group);
  Reported reported;
  while (true) {
    MARQUEE_ASSIGN_OR_RETURN(bool row, select.Step());
    if (!row) return reported;
    reported[{std::string(select.Text(0)), Shard(static_cast<uint32_t>(select.Int(1)))}] =
        Offset(select.Int(2));
  }
}

absl::Status GroupStore::PutReported(const std::string& group, const Reported& reported) {
  MARQUEE_ASSIGN_OR_RETURN(sqlite::Transaction transaction, Begin());
  for (const auto& [at, next] : reported) {
    MARQUEE_ASSIGN_OR_RETURN(
        sqlite::Statement insert,
        database_.Prepare("INSERT OR REPLACE INTO reported VALUES(?1, ?2, ?3, ?4)"));
    MARQUEE_RETURN_IF_ERROR(insert.BindText(1, group)
                                .BindText(2, at.topic)
                                .Bind(3, at.shard.value())
                                .Bind(4, next.value())
                                .Run());
  }
  return transaction.Commit();
}

absl::StatusOr<std::string> GroupStore::Topics(const std::string& group) {
  MARQUEE_ASSIGN_OR_RETURN(sqlite::Statement select,
                           database_.Prepare("SELECT topics FROM groups WHERE \"group\" = ?1"));
  MARQUEE_ASSIGN_OR_RETURN(bool found, select.BindText(1, group).Step());
  return found ? std::string(select.Text(0)) : std::string();
}

absl::Status GroupStore::PutTopics(const std::string& group, const std::string& topics) {
  MARQUEE_ASSIGN_OR_RETURN(sqlite::Statement insert,
                           database_.Prepare("INSERT OR REPLACE INTO groups VALUES(?1, ?2)"));
  return insert.BindText(1, group).BindText(2, topics).Run();
}

absl::StatusOr<std::vector<std::string>> GroupStore::Groups() {
  MARQUEE_ASSIGN_OR_RETURN(
      sqlite::Statement select,
      database_.Prepare(
          "SELECT \"group\" FROM groups UNION SELECT \"group\" FROM reported ORDER BY 1"));
  std::vector<std::string> groups;
  while (true) {
    MARQUEE_ASSIGN_OR_RETURN(bool row, select.Step());
    if (!row) return groups;
    groups.emplace_back(select.Text(0));
  }
}

}  // namespace marquee::messaging
