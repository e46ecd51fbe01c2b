// `meanratingproducer`: owns shards of `ratings`, keeps the state of each, publishes the means that
// are due, a watermark after them, and now and then a checkpoint from which the next owner goes on.
// (design.md sections 3 and 4)
#ifndef MARQUEE_SERVICES_MEAN_RATING_PRODUCER_H_
#define MARQUEE_SERVICES_MEAN_RATING_PRODUCER_H_

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "domain/checkpoint.h"
#include "domain/shard_state.h"
#include "services/dead_letters.h"
#include "services/service.h"
#include "services/topic_reading.h"

namespace marquee::services {

struct MeanRatingProducerOptions {
  absl::Duration session_timeout = absl::Seconds(6);
  // While it keeps up with the stream, means are published at least this often.
  absl::Duration flush_interval = absl::Milliseconds(20);
  // Far behind the end of the log: ever more rarely, at last this often for each shard.
  absl::Duration backfill_flush_interval = absl::Milliseconds(500);
  // So many messages behind is far behind.
  int64_t backfill_lag_messages = 100'000;
  // A new owner reads again what was read since the last checkpoint.
  absl::Duration checkpoint_interval = absl::Milliseconds(500);
  // Checkpoints that took t to write are followed by none of any shard for this many times t: they
  // take no more than a twentieth of the time, however slow the broker, and far behind, where no
  // mean waits for them, a tenth.
  int checkpoint_pause_factor = 20;
  int backfill_checkpoint_pause_factor = 10;

  // Canaries: each breaks one rule, so that the simulation can prove that it would notice. Never
  // set outside it.
  struct Mutilations {
    bool checkpoint_before_means = false;
    bool no_repair_of_means = false;  // what a slower writer left as the newest record stays
  } mutilations;
};

class MeanRatingProducer final : public Service {
 public:
  static absl::StatusOr<std::unique_ptr<MeanRatingProducer>> Open(
      const World& world, const MeanRatingProducerOptions& options);

  absl::StatusOr<Turn> Step(absl::Duration wait) override;
  absl::Status Drain() override;
  // Not ready until the shards that came first are restored. A member for which none is left is
  // ready after the group's session timeout.
  std::string NotReady() const override;

  size_t shards_owned() const { return owned_.size(); }
  // Of all shards owned, as the broker counts.
  absl::StatusOr<int64_t> Lag();
  struct ShardLag {
    uint32_t shard;
    int64_t records;
  };
  absl::StatusOr<std::vector<ShardLag>> Lags();

 private:
  struct Owned {
    explicit Owned(domain::ShardState s) : state(std::move(s)), checkpoints(state.shard()) {}

    domain::ShardState state;
    std::optional<domain::Checkpoint::LastRecord> last_record;
    messaging::Offset means_read{
        0};  // `mean-ratings` is known below it: what is delivered again is passed over
    domain::LogOffset watermark{0};  // published by this owner, or found when it gained the shard
    messaging::Offset watermark_through{
        0};  // where in `mean-ratings` this owner's last one lies below
    domain::LogOffset newest_watermark{0};  // the newest record's, by offset, below means_read

    // As with the means: also when a slower writer's record is the newest, since compaction may
    // keep that one alone.
    bool watermark_is_due() const {
      return state.next() > watermark ||
             (means_read >= watermark_through && newest_watermark < watermark);
    }
    int64_t last_published_ms = 0;      // of the last message applied
    domain::LogOffset checkpointed{0};  // the offset of the newest checkpoint
    absl::Duration checkpoint_due;      // uptime
    domain::CheckpointCollector checkpoints;
    messaging::Offset checkpoints_read{0};  // as means_read, of `mean-ratings-checkpoints`
    domain::ShardState::Counters counted;   // what the metrics know
    uint64_t conflated = 0;
    // For the canary no_repair_of_means alone.
    absl::flat_hash_map<domain::MovieId, domain::LogOffset> highest_seen;
  };

  MeanRatingProducer(const World& world, const MeanRatingProducerOptions& options)
      : world_(world), options_(options) {}

  messaging::TopicShard RatingsShard(messaging::Shard shard) const {
    return {world_.topics.ratings(), shard};
  }
  messaging::TopicShard MeansShard(messaging::Shard shard) const {
    return {world_.topics.mean_ratings(), shard};
  }
  messaging::TopicShard CheckpointsShard(messaging::Shard shard) const {
    return {world_.topics.checkpoints(), shard};
  }

  void Queue(const messaging::OwnershipEvent& event);
  absl::Status HandleNext();
  absl::Status DescribeGained();
  absl::Status Restore(messaging::Shard shard);
  absl::StatusOr<Owned> LoadCheckpoint(messaging::Shard shard);
  absl::Status VerifyLog(messaging::Shard shard, const domain::Checkpoint& checkpoint);
  absl::Status ReadMeans(messaging::Shard shard, Owned& owned);
  absl::StatusOr<messaging::Offset> ReadFrom(const messaging::TopicShard& shard,
                                             const messaging::StartPosition& from,
                                             messaging::Offset end, const RecordVisitor& visit);
  absl::StatusOr<messaging::Offset> ReadToGained(const messaging::TopicShard& shard,
                                                 const RecordVisitor& visit);
  absl::Status Apply(const messaging::Batch& batch);
  absl::Status BuryDeadLetter(const messaging::Batch& batch, const domain::LogMessage& message,
                              const std::string& why);
  absl::Status Follow(const messaging::TopicShard& shard, messaging::Offset from);
  absl::Status ObserveEntities();
  void ObserveMean(Owned& owned, const messaging::Record& record);
  static void ObserveCheckpoint(Owned& owned, const messaging::Record& record);

  bool IsFarBehind() const;
  absl::StatusOr<bool> FlushIsDue(bool nothing_came);
  absl::Duration NextFlushInterval(bool published, int64_t lag) const;
  std::vector<messaging::Shard> ShardsToFlush();
  absl::Status FlushMeans(const std::vector<messaging::Shard>& shards);
  absl::StatusOr<bool> PublishDue(const std::vector<messaging::Shard>& shards);
  class Outgoing;
  absl::StatusOr<uint64_t> SendDue(messaging::Shard shard, std::vector<messaging::Shard>* told);
  absl::Status PublishWatermarks(const std::vector<messaging::Shard>& shards);
  std::string EncodeWatermark(messaging::Shard shard, const Owned& owned) const;
  void WatermarksFlushed(const std::vector<messaging::Shard>& shards,
                         const messaging::FlushedThrough& through);
  absl::Status CheckpointWhatIsDue(const std::vector<messaging::Shard>& flushed);
  std::vector<messaging::Shard> DueForCheckpoint(const std::vector<messaging::Shard>& flushed,
                                                 absl::Duration now) const;
  absl::Status WriteCheckpoints(const std::vector<messaging::Shard>& shards);
  absl::Status PublishCheckpoint(messaging::Shard shard, Owned& owned);
  absl::Status DeleteOldCheckpoints(messaging::Shard shard, Owned& owned);
  absl::Status ReadCheckpoints(messaging::Shard shard, Owned& owned);
  absl::Status GiveUp(messaging::Shard shard);
  void Forget(messaging::Shard shard);
  void TellMetrics(Owned& owned);
  absl::Status ReportPositionsNowAndThen();
  absl::Status ReportPositions();

  World world_;
  MeanRatingProducerOptions options_;
  std::string ratings_identity_;
  std::map<std::string, messaging::TopicIdentity> identities_;  // of the entity topics
  std::string group_;
  std::unique_ptr<messaging::Publisher> means_;
  std::unique_ptr<messaging::Publisher> checkpoints_;
  std::unique_ptr<DeadLetters> dead_letters_;
  std::unique_ptr<messaging::Subscription> entities_reader_;
  std::unique_ptr<messaging::Subscription> restoring_reader_;  // while shards are restored
  std::map<messaging::Shard, Owned> owned_;
  // Gained and revoked, one answered between two polls: restoring a shard or giving it up takes
  // its time, and who does not poll loses all of them.
  std::deque<messaging::OwnershipEvent> unanswered_;
  // Of the topics' shards that were gained, asked for after that.
  std::map<messaging::TopicShard, messaging::Extent> gained_;
  absl::Duration settled_at_;                 // uptime: no more shards are expected then
  std::vector<domain::LogMessage> messages_;  // of the batch that is being applied
  absl::Duration flushed_at_;
  absl::Duration flush_interval_;
  uint32_t turn_ = 0;  // which of its shards it flushes next, far behind
  absl::Duration reported_at_;
  absl::Duration next_checkpoint_;  // uptime: none of any shard before
  // Last, so that it leaves the group before anything else goes.
  std::unique_ptr<messaging::Subscription> member_;
};

}  // namespace marquee::services

#endif  // MARQUEE_SERVICES_MEAN_RATING_PRODUCER_H_
