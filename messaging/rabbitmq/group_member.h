// One member of a group, as its subscription knows it: it reads the group's log, beats, and does
// its part of what the others need to have done (expelling the dead, taking away what is not
// released).
//
// A member owns while it has a lease: from when it sent the last of its beats that it has read in
// the log, for a session timeout. It loses all with its connection; and with a lease that was seen
// to have ended, even if a beat that was on its way would have prolonged it: whoever was refused a
// shard is told that it is lost.
// Threads: one at a time.
#ifndef MARQUEE_MESSAGING_RABBITMQ_GROUP_MEMBER_H_
#define MARQUEE_MESSAGING_RABBITMQ_GROUP_MEMBER_H_

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "messaging/broker.h"
#include "messaging/rabbitmq/connection.h"
#include "messaging/rabbitmq/group_state.h"
#include "messaging/rabbitmq/message.h"

namespace marquee::messaging::rabbitmq {

inline constexpr char kGroupConsumer[] = "group";

// Reads a log of a group from whatever its begin is now.
class GroupLog {
 public:
  void Take(int64_t offset, const Head& head, std::string_view body);
  // Whether the state is known: from the log's first entry, or from one that says it all.
  bool loaded() const { return loaded_; }
  const GroupState& state() const { return state_; }
  int64_t next_offset() const { return next_; }
  int64_t last_state_at() const { return last_state_at_; }

 private:
  GroupState state_;
  bool loaded_ = false;
  int64_t next_ = 0;
  int64_t last_state_at_ = 0;
  std::deque<std::pair<int64_t, std::string>> kept_;  // while not loaded
};

class GroupMember {
 public:
  GroupMember(Clock& clock, const SubscriptionOptions& options,
              std::map<std::string, uint32_t> topics);

  // On a new connection: reads the log on, joins.
  absl::Status Attach(Connection& connection);
  // The connection is gone, and with it all that is owned.
  void Detach();
  // An entry of the log.
  absl::Status Take(int64_t offset, std::string_view body);
  // Whether the member's join was read; kFailedPrecondition: the group shares other topics.
  absl::StatusOr<bool> HasJoined() const;

  // Does what is due, and appends what has changed for it to `events`. Often.
  absl::Status Refresh(Connection& connection, std::vector<OwnershipEvent>* events);
  // kAborted where the shard is not this member's, or may no longer be.
  absl::Status CheckOwns(const TopicShard& shard) const;
  // Others get the slot once all of its shards are released.
  absl::Status Release(Connection* connection, const TopicShard& shard);
  absl::Status Leave(Connection& connection);

 private:
  struct Owned {
    uint64_t generation = 0;
    bool revoked = false;
    std::set<std::string> released;  // topics
  };
  struct Watched {
    int64_t beat_at = -1;
    absl::Duration seen;
    absl::Duration asked;     // when its presence was last looked for, or its expulsion asked for
    bool is_history = false;  // it joined before, and no beat of it has come since
  };

  absl::Status Join(Connection& connection);
  absl::Status Send(Connection& connection, std::string_view entry);
  bool HasLease() const;
  absl::Duration BeatInterval() const;
  absl::Status Beat(Connection& connection);
  void Compare(std::vector<OwnershipEvent>* events);
  void LoseAll(std::vector<OwnershipEvent>* events);
  void Append(OwnershipEvent::Kind kind, const SlotId& slot, const Owned& owned,
              std::vector<OwnershipEvent>* events) const;
  absl::Status LookAfterOthers(Connection& connection);
  absl::Status LookAfter(Connection& connection, const std::string& id,
                         const GroupMemberState& member);
  absl::Status ExpelIfAbsent(Connection& connection, const std::string& id,
                             const GroupMemberState& member);
  absl::Status LookAfterRevoked(Connection& connection);
  absl::Status WriteState(Connection& connection);

  Clock& clock_;
  const SubscriptionOptions options_;
  const std::map<std::string, uint32_t> topics_;
  const std::string stream_;
  GroupLog log_;
  std::string id_;
  uint64_t nonce_ = 0;
  uint64_t sequence_ = 0;
  int64_t joined_at_ = -1;                   // where this id's join is in the log
  std::map<uint64_t, absl::Duration> sent_;  // beats that were not read yet: when
  absl::Duration lease_until_ = -absl::InfiniteDuration();
  mutable bool lapsed_ = false;  // it was seen to have ended
  absl::Duration next_beat_ = -absl::InfiniteDuration();
  bool beat_now_ = false;
  int64_t wrote_state_after_ = -1;  // not the same twice
  std::map<SlotId, Owned> owned_;
  std::map<std::string, Watched> watched_;
  std::map<std::pair<SlotId, uint64_t>, absl::Duration> revoked_;  // by generation: since when
};

}  // namespace marquee::messaging::rabbitmq

#endif  // MARQUEE_MESSAGING_RABBITMQ_GROUP_MEMBER_H_
