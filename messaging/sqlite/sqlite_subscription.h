// Reads shards of a broker's topics, as a reader of its own choice or as a member of a group.
//
// Threads: one at a time.
#ifndef MARQUEE_MESSAGING_SQLITE_SQLITE_SUBSCRIPTION_H_
#define MARQUEE_MESSAGING_SQLITE_SQLITE_SUBSCRIPTION_H_

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "messaging/broker.h"
#include "messaging/pack.h"
#include "messaging/sqlite/group_member.h"
#include "messaging/sqlite/group_store.h"
#include "messaging/sqlite/store.h"
#include "messaging/sqlite/topic_directory.h"
#include "messaging/sqlite/topic_reader.h"

namespace marquee::messaging {

class SqliteSubscription final : public Subscription {
 public:
  SqliteSubscription(Store& store, TopicDirectory& directory, SubscriptionOptions options);
  ~SqliteSubscription() override;
  absl::Status Join(std::span<const std::string> topics);

  absl::StatusOr<Delivery> Poll(absl::Duration wait) override;
  absl::Status Start(const TopicShard& shard, const StartPosition& position) override;
  absl::Status Release(const TopicShard& shard) override;
  absl::StatusOr<Offset> Next(const TopicShard& shard) const override;
  absl::StatusOr<int64_t> Lag(const TopicShard& shard) override;
  absl::Status ReportPosition(const TopicShard& shard, Offset next) override;

 private:
  absl::StatusOr<TopicReader*> ReaderOf(const std::string& topic);
  void Forget(const TopicShard& shard);
  absl::Status RefreshReaders();
  absl::StatusOr<std::optional<Batch>> NextBatch();
  absl::StatusOr<std::optional<Batch>> ReadStarted();
  absl::StatusOr<std::optional<Batch>> ReadOne(const TopicShard& shard, Offset* position);
  // By an event that goes out with the next delivery.
  bool IsBeingRevoked(const TopicShard& shard) const;
  absl::Status OpenGroups();
  absl::Status WriteReports(bool at_once);

  Store& store_;
  TopicDirectory& directory_;
  const SubscriptionOptions options_;
  std::unique_ptr<GroupStore> groups_;
  std::unique_ptr<GroupMember> member_;  // none: not in a group
  std::vector<OwnershipEvent> events_;   // not delivered yet

  std::map<std::string, std::unique_ptr<TopicReader>>
      readers_;                           // of the topics with started shards
  std::map<TopicShard, Offset> started_;  // where the next batch begins
  TopicShard last_read_;                  // the next batch is of one after it, in turn
  absl::Duration refreshed_at_ = -absl::InfiniteDuration();
  PackDecoder decoder_;

  GroupStore::Reported reports_;  // not written yet
  absl::Duration reported_at_ = -absl::InfiniteDuration();
};

}  // namespace marquee::messaging

#endif  // MARQUEE_MESSAGING_SQLITE_SQLITE_SUBSCRIPTION_H_
