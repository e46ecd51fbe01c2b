// One member of one Kafka group (classic protocol, cooperative-sticky), which shares the partitions
// of one topic, the lead. Other topics with as many shards follow it: shard i of each is with the
// lead's partition i. docs/design/0009 says why.
//
// This client fetches nothing: its partitions stay paused. Records are read by a Fetcher, so what
// was fetched before a loss is dropped by whoever owns that.
//
// Generations: Kafka's own, which grows with every rebalance of the group, times kGenerationStep,
// and what is above that counts shards that were given back and came again without one.
//
// Threads: one. Its bell may be rung from others.
#ifndef MARQUEE_MESSAGING_KAFKA_GROUP_MEMBERSHIP_H_
#define MARQUEE_MESSAGING_KAFKA_GROUP_MEMBERSHIP_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "messaging/broker.h"
#include "messaging/kafka/bell.h"
#include "messaging/kafka/client.h"
#include "messaging/kafka/handle.h"
#include "messaging/kafka/kafka_offset.h"
#include "messaging/kafka/settings.h"

namespace marquee::messaging::kafka {

inline constexpr uint64_t kGenerationStep = 1'000'000;

// What a committed offset says beside the offset: whose generation it is, and whether the position
// was reported or only stands for none.
std::string CommitText(uint64_t generation, bool reported);
struct CommitNote {
  uint64_t generation = 0;
  bool reported = true;  // another program's commit is a report
};
CommitNote ParseCommitText(std::string_view text);

struct MembershipOptions {
  std::string group;
  std::string member;
  absl::Duration session_timeout;
  std::vector<std::string> topics;  // the lead first
  uint32_t shards = 1;
};

class GroupMembership {
 public:
  // `settings`, `clock` and `bell` outlive it. The group is joined while Refresh is called.
  static absl::StatusOr<std::unique_ptr<GroupMembership>> Join(const KafkaSettings& settings,
                                                               MembershipOptions options,
                                                               Clock& clock, Bell* bell);
  // Leaves: reports what was not yet, and gives all up at once.
  ~GroupMembership();

  // Appends what has become of the shards. To be called once in every session timeout at least. An
  // error: the group refuses this member.
  absl::Status Refresh(std::vector<OwnershipEvent>* events);
  // kAborted where the shard is not this member's.
  absl::Status CheckOwns(const TopicShard& shard) const;
  bool Has(const TopicShard& shard) const;
  // Whether the last Refresh is too long ago for the group to still count on this member.
  bool IsExpired() const;
  void Release(const TopicShard& shard);
  void Report(const TopicShard& shard, KafkaOffset next);

 private:
  struct Holding {
    uint64_t generation = 0;
    bool revoked = false;   // asked for elsewhere, not released yet
    bool released = false;  // given back; Kafka still has it with this member
    absl::Duration released_at;
    std::optional<KafkaOffset> reported;  // what was reported for it, by anybody
  };

  GroupMembership(const KafkaSettings& settings, MembershipOptions options, Clock& clock,
                  Bell* bell)
      : settings_(settings), options_(std::move(options)), clock_(clock), bell_(bell) {}

  absl::Status Open();
  void Close();
  absl::Status Serve(std::vector<OwnershipEvent>* events);
  absl::Status TakeRebalance(EventPtr event, std::vector<OwnershipEvent>* events);
  absl::Status TakeAssigned(rd_kafka_topic_partition_list_t* partitions,
                            std::vector<OwnershipEvent>* events);
  absl::Status EndRevocation(std::vector<OwnershipEvent>* events);
  void Regain(std::vector<OwnershipEvent>* events);
  void LoseAll(std::vector<OwnershipEvent>* events);
  void Lose(const TopicShard& shard, std::vector<OwnershipEvent>* events);
  std::vector<TopicShard> ShardsOf(const rd_kafka_topic_partition_list_t& partitions) const;
  void ReadCommitted(const std::vector<TopicShard>& shards);
  PartitionsPtr Commits(bool all) const;
  void Commit(PartitionsPtr commits, bool wait);
  void WriteReports(bool at_once);
  uint64_t KafkaGeneration() const;
  // Under which the group knows this member; empty: under none.
  std::string MemberId() const;

  const KafkaSettings& settings_;
  const MembershipOptions options_;
  Clock& clock_;
  Bell* const bell_;

  std::unique_ptr<Client> client_;
  QueuePtr queue_;
  std::map<TopicShard, Holding> held_;
  std::string member_id_;  // that the shards of held_ were given to
  absl::Duration member_id_seen_at_ = -absl::InfiniteDuration();
  std::map<TopicShard, uint64_t> last_generation_;  // of what this member has had or read of
  EventPtr revocation_;                             // not answered yet
  absl::Duration revoked_at_;
  absl::Duration refreshed_at_;
  std::map<TopicShard, KafkaOffset> reports_;  // not committed yet
  absl::Duration reported_at_ = -absl::InfiniteDuration();
};

}  // namespace marquee::messaging::kafka

#endif  // MARQUEE_MESSAGING_KAFKA_GROUP_MEMBERSHIP_H_
