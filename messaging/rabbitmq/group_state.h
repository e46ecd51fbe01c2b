// The state of a group: a pure fold of its log, so all who have read the log to the same entry
// agree on members, owners and generations without talking to each other.
//
// What is owned is a slot: shard i of every topic of the group that has the same number of shards.
// A slot's generation is the log's offset, plus one, of the entry by which it was given away.
// Threads: one at a time.
#ifndef MARQUEE_MESSAGING_RABBITMQ_GROUP_STATE_H_
#define MARQUEE_MESSAGING_RABBITMQ_GROUP_STATE_H_

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "messaging/record.h"

namespace marquee::messaging::rabbitmq {

struct SlotId {
  uint32_t shards = 0;  // of its topics
  uint32_t shard = 0;
  friend auto operator<=>(const SlotId&, const SlotId&) = default;
};

struct Slot {
  std::string owner;  // a member's id; empty: nobody
  uint64_t generation = 0;
  int64_t revoked_at = -1;  // the entry by which its owner was asked to give it up
  int64_t forced_at = -1;   // the entry by which it is taken away once the owner has read that
  friend bool operator==(const Slot&, const Slot&) = default;
};

struct GroupMemberState {
  std::string name;  // for people
  int64_t joined_at = 0;
  int64_t beat_at = 0;  // its last entry
  int64_t session_timeout_ms = 0;
  friend bool operator==(const GroupMemberState&, const GroupMemberState&) = default;
};

struct GroupReport {
  std::string topic_identity;
  int64_t next = 0;
  friend bool operator==(const GroupReport&, const GroupReport&) = default;
};

// Entries of the log, as text.
std::string JoinEntry(std::string_view id, std::string_view name, int64_t session_timeout_ms,
                      const std::map<std::string, uint32_t>& topics);
std::string BeatEntry(std::string_view id, int64_t read_to);
std::string LeaveEntry(std::string_view id);
std::string ExpelEntry(std::string_view id, int64_t beat_at);
std::string ReleaseEntry(std::string_view id, const SlotId& slot, uint64_t generation);
std::string ForceEntry(const SlotId& slot, uint64_t generation);
std::string ReportEntry(const TopicShard& shard, std::string_view topic_identity, Offset next);

class GroupState {
 public:
  // Applies the entry that is at `offset` of the log. REQUIRES: in order. One that is no longer
  // valid where it stands changes nothing.
  void Take(int64_t offset, std::string_view entry);

  // The whole state after the entry before `next_offset`, as an entry itself: from it the fold can
  // begin where the log's begin was cut off.
  std::string ToEntry() const;
  // Whether it was one, of the state before `*next_offset`, which is *this then.
  bool FromEntry(std::string_view entry, int64_t* next_offset);

  const std::map<std::string, GroupMemberState>& members() const { return members_; }
  const std::map<SlotId, Slot>& slots() const { return slots_; }
  const std::map<std::string, uint32_t>& topics() const { return topics_; }
  const std::map<TopicShard, GroupReport>& reports() const { return reports_; }
  int64_t next_offset() const { return next_offset_; }
  friend bool operator==(const GroupState&, const GroupState&) = default;

 private:
  void Join(int64_t offset, const std::vector<std::string>& words);
  void Beat(int64_t offset, const std::vector<std::string>& words);
  void Remove(const std::string& id);
  Slot* Find(const std::string& shards, const std::string& shard, const std::string& generation);
  void Balance(int64_t offset);
  void BalanceSlots(int64_t offset, uint32_t shards);

  std::map<std::string, GroupMemberState> members_;
  std::map<SlotId, Slot> slots_;
  std::map<std::string, uint32_t> topics_;
  std::map<TopicShard, GroupReport> reports_;
  int64_t next_offset_ = 0;
};

}  // namespace marquee::messaging::rabbitmq

#endif  // MARQUEE_MESSAGING_RABBITMQ_GROUP_STATE_H_
