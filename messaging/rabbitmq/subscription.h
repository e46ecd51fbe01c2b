// Reads shards of a broker's topics, as a reader of its own choice or as a member of a group, on a
// connection of its own that is made again when it breaks. A shard whose node does not serve it is
// read at another one.
//
// Memory: what the broker sends ahead, `amqp.prefetch_messages` packs of each started shard.
// Threads: one at a time.
#ifndef MARQUEE_MESSAGING_RABBITMQ_SUBSCRIPTION_H_
#define MARQUEE_MESSAGING_RABBITMQ_SUBSCRIPTION_H_

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "messaging/broker.h"
#include "messaging/pack.h"
#include "messaging/rabbitmq/absence.h"
#include "messaging/rabbitmq/acks.h"
#include "messaging/rabbitmq/connection.h"
#include "messaging/rabbitmq/consumer_watch.h"
#include "messaging/rabbitmq/group_member.h"
#include "messaging/rabbitmq/session.h"
#include "messaging/rabbitmq/shard_cursor.h"
#include "messaging/rabbitmq/shard_view.h"
#include "messaging/rabbitmq/topics.h"

namespace marquee::messaging::rabbitmq {

class RabbitmqSubscription final : public Subscription {
 public:
  RabbitmqSubscription(World& world, Session& session, Topics& topics, ShardViews& views,
                       SubscriptionOptions options);
  ~RabbitmqSubscription() override;
  absl::Status Join(std::span<const std::string> topics);

  absl::StatusOr<Delivery> Poll(absl::Duration wait) override;
  absl::Status Start(const TopicShard& shard, const StartPosition& position) override;
  absl::Status Release(const TopicShard& shard) override;
  absl::StatusOr<Offset> Next(const TopicShard& shard) const override;
  absl::StatusOr<int64_t> Lag(const TopicShard& shard) override;
  absl::Status ReportPosition(const TopicShard& shard, Offset next) override;

 private:
  struct Pending {
    uint64_t tag = 0;
    int64_t stream_offset = 0;
    int64_t records = 0;
    std::string body;
  };
  struct Started {
    Topic topic;
    ShardCursor cursor;
    ConsumerWatch watch;
    std::string consumer;         // empty: none
    Absence absence;              // of its stream
    std::deque<Pending> pending;  // sent by the broker, not handed out
    // As it was when those of all shards were asked for, and of which stream.
    StreamEnd end;
    std::string end_of;
    int64_t records_a_message = 1;  // in the last that was handed out
    // Of a start at a time: until then nothing is handed out.
    std::optional<absl::Time> since;
    // Nothing was passed over since the last batch: neither what a snapshot has the newest of
    // alone, nor what is before a time.
    bool whole = true;
    // A record that retention keeps is before the position, so all that follow are kept too.
    bool past_retention = false;
  };

  absl::Status Connect();
  void Disconnect();
  void ForgetConsumers();
  // What a call on the connection came to: a connection that broke is tried again until the
  // deadline.
  absl::Status Survive(const absl::Status& status);
  absl::Status Turn(absl::Duration wait);
  absl::Status ConsumeAll();
  absl::Status Consume(const TopicShard& shard, Started* started);
  absl::Status Ask(const TopicShard& shard, Started* started);
  absl::Status Renew(const TopicShard& shard, Started* started);
  absl::Status Watch();
  void NudgeAll(std::span<const std::string> streams);
  absl::Status LookElsewhere(const Started& started);
  std::string Purpose() const;
  absl::Status Resolve(const TopicShard& shard, Started* started);
  absl::Status StillGone(const TopicShard& shard, Started* started);
  absl::Status Dispatch(Event event);
  bool HasPending() const;
  absl::StatusOr<std::optional<Batch>> NextBatch();
  absl::StatusOr<std::optional<Batch>> ReadOne(const TopicShard& shard, Started* started);
  absl::StatusOr<std::optional<Batch>> TakePending(const TopicShard& shard, Started* started);
  absl::Status CheckGap(const TopicShard& shard, const Started& started, int64_t stream_offset);
  absl::StatusOr<std::optional<Batch>> Decode(const TopicShard& shard, Started* started,
                                              std::string_view pack, Offset first);
  absl::Status CheckRetention(const TopicShard& shard, Started* started, absl::Time newest);
  // Whether the next poll tells of it.
  bool IsUntold(OwnershipEvent::Kind kind, const TopicShard& shard) const;
  absl::StatusOr<Started> Begin(Connection& connection, const Topic& topic, Shard shard,
                                const StartPosition& position);
  absl::Status WriteReports(bool at_once);
  bool HasAll(const Started& started) const;
  static int64_t Beyond(const Started& started);
  bool KnowsEnd(const Started& started) const;
  bool ShouldAskForEnd(const Started& started) const;
  absl::Status RefreshEnds();
  void StopConsumer(Started* started);

  World& world_;
  Session& session_;
  Topics& topics_;
  ShardViews& views_;
  const SubscriptionOptions options_;
  std::unique_ptr<Connection> connection_;
  std::optional<absl::Duration> down_since_;
  absl::Duration connect_at_ = -absl::InfiniteDuration();
  Backoff backoff_;
  std::optional<GroupMember> member_;
  std::vector<OwnershipEvent> events_;  // not delivered yet
  std::map<TopicShard, Started> started_;
  std::map<std::string, TopicShard> consumers_;
  Acks acks_;
  absl::Duration ack_at_;                                   // what waits there, at the latest
  absl::Duration ask_ends_at_ = -absl::InfiniteDuration();  // again, at the earliest
  TopicShard last_read_;  // the next batch is of one after it, in turn
  PackDecoder decoder_;
  std::map<TopicShard, std::pair<TopicIdentity, Offset>> reports_;  // not written yet
  bool has_report_stream_ = false;
  absl::Duration reported_at_ = -absl::InfiniteDuration();
};

}  // namespace marquee::messaging::rabbitmq

#endif  // MARQUEE_MESSAGING_RABBITMQ_SUBSCRIPTION_H_
