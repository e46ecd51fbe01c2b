// Reads shards of a broker's topics, as a reader of its own choice or as a member of a group.
//
// Threads: one at a time.
#ifndef MARQUEE_MESSAGING_KAFKA_SUBSCRIPTION_H_
#define MARQUEE_MESSAGING_KAFKA_SUBSCRIPTION_H_

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "messaging/broker.h"
#include "messaging/kafka/bell.h"
#include "messaging/kafka/delivery_queue.h"
#include "messaging/kafka/fetcher.h"
#include "messaging/kafka/group_membership.h"
#include "messaging/kafka/identity_watch.h"
#include "messaging/kafka/world.h"

namespace marquee::messaging::kafka {

class KafkaSubscription final : public Subscription {
 public:
  KafkaSubscription(World& world, SubscriptionOptions options);
  ~KafkaSubscription() override;
  absl::Status Join(std::span<const std::string> topics);

  absl::StatusOr<Delivery> Poll(absl::Duration wait) override;
  absl::Status Start(const TopicShard& shard, const StartPosition& position) override;
  absl::Status Release(const TopicShard& shard) override;
  absl::StatusOr<Offset> Next(const TopicShard& shard) const override;
  absl::StatusOr<int64_t> Lag(const TopicShard& shard) override;
  absl::Status ReportPosition(const TopicShard& shard, Offset next) override;

 private:
  struct Started {
    TopicKind kind;
    Offset next;
    // Of a start at a time: until a record is as young nothing is handed out.
    std::optional<absl::Time> since;
    int64_t records_a_message = 1;  // about
    bool fetching = false;          // begins with the next Poll: a Start may follow a Start
    bool heard = false;             // something of it has come since it was started
    absl::Status error;             // told by every Poll until it is started again

    // What ended its fetching, to be weighed by the next Poll; then it is fetched again from
    // `next`, unless it is an error.
    rd_kafka_resp_err_t trouble = RD_KAFKA_RESP_ERR_NO_ERROR;
    std::string trouble_text;
    absl::Duration failing_since = absl::InfiniteDuration();  // without a record since
    absl::Duration fetch_at;                                  // not before
  };

  GroupMembership* MembershipOf(const std::string& topic) const;
  absl::Status Refresh();
  // From another member's Start on, nothing of these is handed out any more.
  void ForgetLost(size_t first_event);
  void Forget(const TopicShard& shard);
  absl::Status Fetch();
  std::optional<Batch> NextBatch();
  std::optional<Batch> BatchOf(const Portion& portion, Started& at);
  void StopFetching(const TopicShard& shard, Started& started);
  void WeighTroubles();
  // Ok: it is worth another try.
  absl::Status ErrorOf(const TopicShard& shard, Started& started);
  void RenewFetcher();
  absl::Status FirstError() const;
  absl::StatusOr<Offset> Resolve(const TopicShard& shard, const TopicInfo& info,
                                 const StartPosition& position);
  bool IsExpired() const;
  bool IsBeingRevoked(const TopicShard& shard) const;
  absl::StatusOr<TopicKind> KindOf(const std::string& topic);
  void WriteReports(bool at_once);

  World& world_;
  SubscriptionOptions options_;
  Bell bell_;
  std::unique_ptr<Fetcher> fetcher_;
  std::vector<std::unique_ptr<GroupMembership>> memberships_;  // empty: not in a group
  std::map<std::string, GroupMembership*> membership_of_;      // by topic
  std::vector<OwnershipEvent> events_;                         // not delivered yet

  std::map<TopicShard, Started> started_;
  DeliveryQueue ready_;
  IdentityWatch watch_;
  std::map<std::string, Watched> watched_;  // the topics of started_ and of the group
  std::set<std::string>
      suspects_;  // gone or another, says one broker: to be weighed by the next Poll
  absl::Status watch_error_;
  bool fetcher_is_old_ =
      false;  // it KnowsAnother; renewed by the next Poll, which frees its records

  std::map<TopicShard, KafkaOffset> reports_;  // of a subscription that is in no group
  absl::Duration reported_at_ = -absl::InfiniteDuration();
};

}  // namespace marquee::messaging::kafka

#endif  // MARQUEE_MESSAGING_KAFKA_SUBSCRIPTION_H_
