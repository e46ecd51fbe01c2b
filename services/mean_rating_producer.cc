#include "services/mean_rating_producer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/crash_point.h"
#include "base/status.h"

namespace marquee::services {
namespace {

using domain::Checkpoint;
using domain::LogOffset;
using domain::ShardState;
using messaging::Batch;
using messaging::Delivery;
using messaging::Extent;
using messaging::NewRecord;
using messaging::Offset;
using messaging::OwnershipEvent;
using messaging::Position;
using messaging::Record;
using messaging::Shard;
using messaging::StartPosition;

constexpr size_t kMeansPerPublish = 4096;
constexpr absl::Duration kPositionReportInterval = absl::Seconds(1);
// Batches of `mean-ratings` that are read between two turns.
constexpr int kEntityBatchesPerTurn = 8;
constexpr absl::Duration kEntitiesLinger = absl::Milliseconds(100);
// Far behind, more is waited for so long before anything else is done.
constexpr absl::Duration kBackfillWait = absl::Milliseconds(5);
// Far behind, the shards are flushed in so many parts, one after the other.
constexpr uint32_t kBackfillParts = 3;
// So many shards of topics are described at once: of four gained ones.
constexpr size_t kDescribedMax = 12;
// Who gained a shard expects the next of its share within this time.
constexpr absl::Duration kSettlingTime = absl::Milliseconds(500);

LogOffset ToLog(Offset offset) { return LogOffset(offset.value()); }
Offset ToTopic(LogOffset offset) { return Offset(offset.value()); }

}  // namespace

absl::StatusOr<std::unique_ptr<MeanRatingProducer>> MeanRatingProducer::Open(
    const World& world, const MeanRatingProducerOptions& options) {
  std::unique_ptr<MeanRatingProducer> producer(new MeanRatingProducer(world, options));
  const Topics& topics = world.topics;
  MARQUEE_ASSIGN_OR_RETURN(messaging::TopicInfo ratings,
                           world.broker.DescribeTopic(topics.ratings()));
  producer->ratings_identity_ = ratings.identity;
  for (const std::string& topic : {topics.mean_ratings(), topics.checkpoints()}) {
    MARQUEE_ASSIGN_OR_RETURN(messaging::TopicInfo described, world.broker.DescribeTopic(topic));
    producer->identities_[topic] = described.identity;
  }
  producer->group_ = topics.group("meanratingproducer");
  MARQUEE_ASSIGN_OR_RETURN(producer->means_, world.broker.OpenPublisher(topics.mean_ratings()));
  MARQUEE_ASSIGN_OR_RETURN(producer->checkpoints_,
                           world.broker.OpenPublisher(topics.checkpoints()));
  MARQUEE_ASSIGN_OR_RETURN(producer->dead_letters_,
                           DeadLetters::Open(world, topics.ratings(), "meanratingproducer"));
  // What it wrote itself: nobody waits for it.
  MARQUEE_ASSIGN_OR_RETURN(producer->entities_reader_,
                           world.broker.OpenReader({.headers = false, .linger = kEntitiesLinger}));
  const std::string group_topics[] = {topics.ratings()};
  MARQUEE_ASSIGN_OR_RETURN(
      producer->member_,
      world.broker.JoinGroup(group_topics, {.group = producer->group_,
                                            .member = world.instance,
                                            .session_timeout = options.session_timeout,
                                            .headers = false}));
  producer->flushed_at_ = producer->reported_at_ = world.clock.Uptime();
  producer->flush_interval_ = options.flush_interval;
  producer->settled_at_ = producer->flushed_at_ + options.session_timeout;
  return producer;
}

std::string MeanRatingProducer::NotReady() const {
  if (!unanswered_.empty()) {
    return absl::StrCat("restoring shards: ", owned_.size(), " done, ", unanswered_.size(),
                        " to do");
  }
  if (owned_.size() == world_.rules.shards || world_.clock.Uptime() >= settled_at_) return {};
  return absl::StrCat("waiting for its share of the shards, has ", owned_.size());
}

absl::StatusOr<Turn> MeanRatingProducer::Step(absl::Duration wait) {
  bool due = std::any_of(owned_.begin(), owned_.end(), [](const auto& o) {
    return o.second.state.due() > 0 || o.second.watermark_is_due();
  });
  if (!unanswered_.empty()) {
    wait = absl::ZeroDuration();
  } else if (due) {
    wait = std::min(wait, IsFarBehind() ? kBackfillWait : absl::ZeroDuration());
  }
  MARQUEE_ASSIGN_OR_RETURN(Delivery delivery, member_->Poll(wait));
  for (const OwnershipEvent& event : delivery.events) Queue(event);
  MARQUEE_RETURN_IF_ERROR(HandleNext());
  if (delivery.batch) MARQUEE_RETURN_IF_ERROR(Apply(*delivery.batch));
  MARQUEE_RETURN_IF_ERROR(ObserveEntities());
  MARQUEE_ASSIGN_OR_RETURN(bool flush, FlushIsDue(/*nothing_came=*/!delivery.batch));
  if (flush) {
    std::vector<Shard> shards = ShardsToFlush();
    if (options_.mutilations.checkpoint_before_means)
      MARQUEE_RETURN_IF_ERROR(CheckpointWhatIsDue(shards));
    MARQUEE_RETURN_IF_ERROR(FlushMeans(shards));
    MARQUEE_RETURN_IF_ERROR(CheckpointWhatIsDue(shards));
    MARQUEE_RETURN_IF_ERROR(ReportPositionsNowAndThen());
  }
  bool worked = delivery.batch || !delivery.events.empty() || !unanswered_.empty();
  return worked ? Turn::kWorked : Turn::kIdle;
}

// What is lost is gone already, for the subscription too: nothing of it is done any more. What is
// revoked before it was restored need not be.
void MeanRatingProducer::Queue(const OwnershipEvent& event) {
  world_.metrics.Rebalances(group_).Increment();
  std::erase_if(unanswered_,
                [&](const OwnershipEvent& earlier) { return earlier.shard == event.shard; });
  std::erase_if(gained_,
                [&](const auto& gained) { return gained.first.shard == event.shard.shard; });
  if (event.kind == OwnershipEvent::Kind::kLost) {
    Forget(event.shard.shard);
  } else {
    unanswered_.push_back(event);
  }
}

absl::Status MeanRatingProducer::HandleNext() {
  if (unanswered_.empty()) {
    restoring_reader_.reset();
    return absl::OkStatus();
  }
  MARQUEE_RETURN_IF_ERROR(DescribeGained());
  OwnershipEvent event = unanswered_.front();
  unanswered_.pop_front();
  if (event.kind == OwnershipEvent::Kind::kGained) {
    MARQUEE_RETURN_IF_ERROR(Restore(event.shard.shard));
    settled_at_ = world_.clock.Uptime() + kSettlingTime;
    flush_interval_ = options_.flush_interval;
    return absl::OkStatus();
  }
  return GiveUp(event.shard.shard);
}

// ---- Restoring

// How far the next shards that are to be restored go: some brokers answer many questions as soon as
// one. Not too many, since it does not poll meanwhile.
absl::Status MeanRatingProducer::DescribeGained() {
  const OwnershipEvent& next = unanswered_.front();
  if (next.kind != OwnershipEvent::Kind::kGained || gained_.contains(next.shard))
    return absl::OkStatus();
  std::vector<messaging::TopicShard> unknown;
  for (const OwnershipEvent& event : unanswered_) {
    if (event.kind != OwnershipEvent::Kind::kGained || gained_.contains(event.shard)) continue;
    Shard shard = event.shard.shard;
    unknown.insert(unknown.end(),
                   {RatingsShard(shard), MeansShard(shard), CheckpointsShard(shard)});
    if (unknown.size() >= kDescribedMax) break;
  }
  MARQUEE_ASSIGN_OR_RETURN(std::vector<Extent> extents, world_.broker.DescribeShards(unknown));
  for (size_t i = 0; i < unknown.size(); ++i) gained_[unknown[i]] = extents[i];
  return absl::OkStatus();
}

absl::Status MeanRatingProducer::Restore(Shard shard) {
  absl::Duration began = world_.clock.Uptime();
  Forget(shard);
  MARQUEE_ASSIGN_OR_RETURN(Owned loaded, LoadCheckpoint(shard));
  Owned& owned = owned_.emplace(shard, std::move(loaded)).first->second;
  MARQUEE_RETURN_IF_ERROR(ReadMeans(shard, owned));
  MARQUEE_RETURN_IF_ERROR(Follow(MeansShard(shard), owned.means_read));
  MARQUEE_RETURN_IF_ERROR(Follow(CheckpointsShard(shard), owned.checkpoints_read));
  absl::Status started =
      member_->Start(RatingsShard(shard),
                     StartPosition::At(Position{ratings_identity_, ToTopic(owned.state.next())}));
  if (absl::IsAborted(started)) {  // taken away meanwhile: the next poll says so
    Forget(shard);
    return absl::OkStatus();
  }
  if (absl::IsOutOfRange(started)) {
    return absl::FailedPreconditionError(absl::StrCat(
        world_.topics.ratings(), "/", shard.value(), ": the state is known up to offset ",
        owned.state.next().value(), ", and the log cannot be read from there: ", started.message(),
        ". The broker lost part of its log, or retention cut it before it was processed; restore "
        "it from a backup"));
  }
  MARQUEE_RETURN_IF_ERROR(started);
  owned.checkpoint_due = world_.clock.Uptime() + options_.checkpoint_interval;
  world_.metrics.Restore().Observe(absl::ToDoubleSeconds(world_.clock.Uptime() - began));
  return absl::OkStatus();
}

absl::StatusOr<MeanRatingProducer::Owned> MeanRatingProducer::LoadCheckpoint(Shard shard) {
  Owned owned{ShardState(world_.rules, shard.value())};
  MARQUEE_RETURN_IF_ERROR(ReadCheckpoints(shard, owned));
  std::optional<Checkpoint> checkpoint = owned.checkpoints.Best();
  if (!checkpoint) return owned;
  MARQUEE_RETURN_IF_ERROR(VerifyLog(shard, *checkpoint));
  MARQUEE_ASSIGN_OR_RETURN(owned.state,
                           ShardState::Decode(checkpoint->state, world_.rules, shard.value()));
  owned.state.SkipTo(checkpoint->next);
  owned.last_record = checkpoint->last_record;
  owned.checkpointed = checkpoint->next;
  owned.counted = owned.state.counters();
  return owned;
}

// The log has to be the one that the checkpoint was taken of.
absl::Status MeanRatingProducer::VerifyLog(Shard shard, const Checkpoint& checkpoint) {
  std::string where = absl::StrCat(world_.topics.ratings(), "/", shard.value());
  constexpr char kAdvice[] =
      ". The broker lost or replaced the log: restore it from a backup, or begin anew with another "
      "--topic-prefix";
  if (checkpoint.ratings_identity != ratings_identity_) {
    return absl::FailedPreconditionError(absl::StrCat(where, ": the checkpoint is of the topic ",
                                                      checkpoint.ratings_identity, ", found ",
                                                      ratings_identity_, kAdvice));
  }
  // Where somebody else has written it since, the log has grown, too.
  Extent extent = gained_.at(RatingsShard(shard));
  if (ToTopic(checkpoint.next) > extent.end) {
    MARQUEE_ASSIGN_OR_RETURN(extent, world_.broker.DescribeShard(RatingsShard(shard)));
  }
  if (ToTopic(checkpoint.next) > extent.end) {
    return absl::FailedPreconditionError(absl::StrCat(where, ": the checkpoint is at offset ",
                                                      checkpoint.next.value(), ", the log ends at ",
                                                      extent.end.value(), kAdvice));
  }
  if (!checkpoint.last_record || ToTopic(checkpoint.last_record->offset) < extent.begin)
    return absl::OkStatus();
  Offset offset = ToTopic(checkpoint.last_record->offset);
  bool same = false;
  MARQUEE_RETURN_IF_ERROR(ReadFrom(RatingsShard(shard),
                                   StartPosition::At(Position{ratings_identity_, offset}),
                                   offset.next(),
                                   [&](const Record& record) {
                                     if (record.offset == offset) {
                                       same = domain::DigestOfLogRecord(record.key, record.value) ==
                                              checkpoint.last_record->digest;
                                     }
                                     return absl::OkStatus();
                                   })
                              .status());
  if (same) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(where, ": the record at offset ", offset.value(),
                   " is not the one that the checkpoint was taken after", kAdvice));
}

// Reads the shard of `mean-ratings` from its start to its end, so that the newest record of every
// movie is known.
absl::Status MeanRatingProducer::ReadMeans(Shard shard, Owned& owned) {
  MARQUEE_ASSIGN_OR_RETURN(Offset next, ReadToGained(MeansShard(shard), [&](const Record& record) {
                             ObserveMean(owned, record);
                             return absl::OkStatus();
                           }));
  owned.means_read = next;
  owned.watermark = owned.newest_watermark;
  owned.state.ObservedMeansThrough(ToLog(next));
  return absl::OkStatus();
}

// Up to `end`; what comes after that is at the offset that is returned, or beyond. One reader for
// all shards that are restored one after the other: some brokers connect for each.
absl::StatusOr<Offset> MeanRatingProducer::ReadFrom(const messaging::TopicShard& shard,
                                                    const StartPosition& from, Offset end,
                                                    const RecordVisitor& visit) {
  if (restoring_reader_ == nullptr) {
    MARQUEE_ASSIGN_OR_RETURN(restoring_reader_, world_.broker.OpenReader({.headers = false}));
  }
  MARQUEE_RETURN_IF_ERROR(restoring_reader_->Start(shard, from));
  MARQUEE_RETURN_IF_ERROR(ReadThrough(*restoring_reader_, shard, end, visit));
  MARQUEE_ASSIGN_OR_RETURN(Offset next, restoring_reader_->Next(shard));
  MARQUEE_RETURN_IF_ERROR(restoring_reader_->Release(shard));
  return next;
}

// To where it ended when it was gained, or beyond.
absl::StatusOr<Offset> MeanRatingProducer::ReadToGained(const messaging::TopicShard& shard,
                                                        const RecordVisitor& visit) {
  const Extent& extent = gained_.at(shard);
  if (extent.begin == extent.end) return extent.end;
  return ReadFrom(shard, StartPosition::AtEarliest(), extent.end, visit);
}

absl::Status MeanRatingProducer::Follow(const messaging::TopicShard& shard, Offset from) {
  return entities_reader_->Start(shard,
                                 StartPosition::At(Position{identities_.at(shard.topic), from}));
}

// ---- Reading

absl::Status MeanRatingProducer::Apply(const Batch& batch) {
  auto found = owned_.find(batch.shard.shard);
  if (found == owned_.end()) return absl::OkStatus();
  Owned& owned = found->second;
  messages_.clear();
  const Record* last = nullptr;
  for (const Record& record : batch.records) {
    if (ToLog(record.offset) < owned.state.next()) continue;  // delivered again
    messages_.push_back({.offset = ToLog(record.offset), .key = record.key, .value = record.value});
    last = &record;
  }
  absl::Status buried;
  owned.state.ApplyAll(messages_, [&](const domain::LogMessage& message, domain::Outcome outcome) {
    if (outcome != domain::Outcome::kDeadLetter || !buried.ok()) return;
    buried = BuryDeadLetter(batch, message, owned.state.reason());
  });
  MARQUEE_RETURN_IF_ERROR(buried);
  if (last != nullptr) {
    owned.last_record = {ToLog(last->offset), domain::DigestOfLogRecord(last->key, last->value)};
    owned.last_published_ms = absl::ToUnixMillis(last->published);
  }
  if (ToLog(batch.next) > owned.state.next()) owned.state.SkipTo(ToLog(batch.next));
  return absl::OkStatus();
}

absl::Status MeanRatingProducer::BuryDeadLetter(const Batch& batch,
                                                const domain::LogMessage& message,
                                                const std::string& why) {
  domain::DeadLetter letter;
  letter.message = domain::DeadLetter::Message{batch.shard.topic, ratings_identity_,
                                               batch.shard.shard.value(), message.offset};
  letter.key = std::string(message.key);
  if (message.value)
    letter.value = std::string(message.value->substr(0, domain::kDeadLetterBytesMax));
  letter.error = why;
  return dead_letters_->Add(std::move(letter));
}

absl::Status MeanRatingProducer::ObserveEntities() {
  for (int i = 0; i < kEntityBatchesPerTurn; ++i) {
    MARQUEE_ASSIGN_OR_RETURN(Delivery delivery, entities_reader_->Poll(absl::ZeroDuration()));
    if (!delivery.batch) return absl::OkStatus();
    const Batch& batch = *delivery.batch;
    auto found = owned_.find(batch.shard.shard);
    if (found == owned_.end()) continue;
    Owned& owned = found->second;
    if (batch.shard.topic == world_.topics.checkpoints()) {
      for (const Record& record : batch.records) ObserveCheckpoint(owned, record);
      continue;
    }
    for (const Record& record : batch.records) ObserveMean(owned, record);
    owned.means_read = std::max(owned.means_read, batch.next);
    owned.state.ObservedMeansThrough(ToLog(owned.means_read));
  }
  return absl::OkStatus();
}

// What is no part of a checkpoint is passed over: it cannot complete one.
void MeanRatingProducer::ObserveCheckpoint(Owned& owned, const Record& record) {
  if (record.offset < owned.checkpoints_read) return;
  owned.checkpoints_read = record.offset.next();
  (void)owned.checkpoints.Add(record.key, record.value);
}

void MeanRatingProducer::ObserveMean(Owned& owned, const Record& record) {
  if (record.offset < owned.means_read) return;
  owned.means_read = record.offset.next();
  if (!record.value) return;
  if (domain::ParseWatermarkKey(record.key)) {
    absl::StatusOr<domain::Watermark> watermark = domain::DecodeWatermark(*record.value);
    if (watermark.ok() && watermark->ratings_identity == ratings_identity_) {
      owned.newest_watermark = watermark->ratings_through;
    }
    return;
  }
  absl::StatusOr<domain::MeanRating> mean = domain::DecodeMean(*record.value);
  if (!mean.ok()) return;
  if (options_.mutilations.no_repair_of_means) {
    LogOffset& highest = owned.highest_seen.emplace(mean->movie, mean->as_of).first->second;
    if (mean->as_of < highest) return;
    highest = mean->as_of;
  }
  owned.state.ObserveMean(mean->movie, mean->as_of);
}

// ---- Publishing

bool MeanRatingProducer::IsFarBehind() const { return flush_interval_ > options_.flush_interval; }

// Whoever keeps up flushes as soon as nothing more comes. Far behind, that says only that a broker
// is slower for a moment than this reads.
absl::StatusOr<bool> MeanRatingProducer::FlushIsDue(bool nothing_came) {
  absl::Duration interval = IsFarBehind() ? flush_interval_ / kBackfillParts : flush_interval_;
  if (world_.clock.Uptime() - flushed_at_ >= interval) return true;
  if (!nothing_came || !IsFarBehind()) return nothing_came;
  MARQUEE_ASSIGN_OR_RETURN(int64_t lag, Lag());
  return lag <= options_.backfill_lag_messages;
}

// Far behind, the shards take turns: their checkpoints are of different ages then, so that after a
// crash some of them go on at once. Who keeps up flushes all.
std::vector<Shard> MeanRatingProducer::ShardsToFlush() {
  std::vector<Shard> all, part;
  ++turn_;
  for (const auto& [shard, owned] : owned_) {
    all.push_back(shard);
    if (shard.value() % kBackfillParts == turn_ % kBackfillParts) part.push_back(shard);
  }
  return IsFarBehind() ? part : all;
}

absl::Status MeanRatingProducer::FlushMeans(const std::vector<Shard>& shards) {
  if (shards.empty()) {
    flushed_at_ = world_.clock.Uptime();
    return absl::OkStatus();
  }
  // What cannot be counted is on record before anything says that it was passed.
  MARQUEE_RETURN_IF_ERROR(dead_letters_->Flush());
  MARQUEE_CRASH_POINT("meanratingproducer.before-means");
  MARQUEE_ASSIGN_OR_RETURN(bool published, PublishDue(shards));
  MARQUEE_CRASH_POINT("meanratingproducer.before-watermarks");
  MARQUEE_RETURN_IF_ERROR(PublishWatermarks(shards));
  MARQUEE_CRASH_POINT("meanratingproducer.after-watermarks");
  for (auto& [shard, owned] : owned_) TellMetrics(owned);
  flushed_at_ = world_.clock.Uptime();
  MARQUEE_ASSIGN_OR_RETURN(int64_t lag, Lag());
  flush_interval_ = NextFlushInterval(published, lag);
  return absl::OkStatus();
}

// Far behind it flushes more and more rarely. The first new means after a restart do not wait:
// while it reads again what they hold already, there is nothing to publish.
absl::Duration MeanRatingProducer::NextFlushInterval(bool published, int64_t lag) const {
  if (lag <= options_.backfill_lag_messages) return options_.flush_interval;
  return published ? std::min(2 * flush_interval_, options_.backfill_flush_interval)
                   : flush_interval_;
}

// Publishes and flushes every mean that is due, and of the watermarks those that may go with them.
// False where no mean was due.
absl::StatusOr<bool> MeanRatingProducer::PublishDue(const std::vector<Shard>& shards) {
  uint64_t published = 0;
  std::vector<Shard> told;  // their watermarks
  for (Shard shard : shards) {
    MARQUEE_ASSIGN_OR_RETURN(uint64_t sent, SendDue(shard, &told));
    published += sent;
  }
  if (published == 0 && told.empty()) return false;
  MARQUEE_CRASH_POINT("meanratingproducer.means-unflushed");
  MARQUEE_ASSIGN_OR_RETURN(messaging::FlushedThrough through, means_->Flush());
  MARQUEE_CRASH_POINT("meanratingproducer.means-flushed");
  for (auto& [shard, owned] : owned_) {
    if (auto at = through.find(shard); at != through.end())
      owned.state.MeansFlushed(ToLog(at->second));
  }
  WatermarksFlushed(told, through);
  world_.metrics.MeansPublished().Increment(static_cast<double>(published));
  return published > 0;
}

// Records of one shard, to be published with one call.
class MeanRatingProducer::Outgoing {
 public:
  explicit Outgoing(Shard shard) : shard_(shard) {}
  void Add(std::string key, std::string value) {
    texts_.push_back(std::move(key));
    texts_.push_back(std::move(value));
    const auto& end = texts_.rbegin();
    records_.push_back({.key = end[1], .value = end[0], .headers = {}, .shard = shard_});
  }
  void DropLast() { records_.pop_back(); }
  const std::vector<NewRecord>& records() const { return records_; }

 private:
  Shard shard_;
  std::deque<std::string> texts_;  // which do not move
  std::vector<NewRecord> records_;
};

// The means of a shard that are due, and behind them its watermark, where nobody can see that
// without them: then it is among `told`. How many means.
absl::StatusOr<uint64_t> MeanRatingProducer::SendDue(Shard shard, std::vector<Shard>* told) {
  Owned& owned = owned_.at(shard);
  uint64_t sent = 0;
  while (true) {
    std::vector<domain::MeanRating> due = owned.state.TakeDue(kMeansPerPublish);
    Outgoing outgoing(shard);
    for (const domain::MeanRating& mean : due) {
      outgoing.Add(domain::MovieKey(mean.movie), domain::EncodeMean(mean));
    }
    bool is_whole = sent == 0 && owned.state.due() == 0;
    if (is_whole && owned.watermark_is_due()) {
      outgoing.Add(domain::WatermarkKey(shard.value()), EncodeWatermark(shard, owned));
      if (due.empty() ||
          messaging::BytesTogether(outgoing.records()) <= means_->together_bytes_max()) {
        told->push_back(shard);
      } else {
        outgoing.DropLast();
      }
    }
    if (outgoing.records().empty()) return sent;
    MARQUEE_RETURN_IF_ERROR(means_->Publish(outgoing.records()));
    sent += due.size();
    if (owned.state.due() == 0) return sent;
  }
}

// Those that could not go with their means.
absl::Status MeanRatingProducer::PublishWatermarks(const std::vector<Shard>& shards) {
  std::vector<Shard> moved;
  for (Shard shard : shards) {
    const Owned& owned = owned_.at(shard);
    if (!owned.watermark_is_due()) continue;
    Outgoing outgoing(shard);
    outgoing.Add(domain::WatermarkKey(shard.value()), EncodeWatermark(shard, owned));
    MARQUEE_RETURN_IF_ERROR(means_->Publish(outgoing.records()));
    moved.push_back(shard);
  }
  if (moved.empty()) return absl::OkStatus();
  MARQUEE_ASSIGN_OR_RETURN(messaging::FlushedThrough through, means_->Flush());
  WatermarksFlushed(moved, through);
  return absl::OkStatus();
}

std::string MeanRatingProducer::EncodeWatermark(Shard shard, const Owned& owned) const {
  return domain::EncodeWatermark({.shard = shard.value(),
                                  .ratings_through = owned.state.next(),
                                  .ratings_identity = ratings_identity_,
                                  .last_published_ms = owned.last_published_ms});
}

void MeanRatingProducer::WatermarksFlushed(const std::vector<Shard>& shards,
                                           const messaging::FlushedThrough& through) {
  for (Shard shard : shards) {
    Owned& owned = owned_.at(shard);
    owned.watermark = owned.state.next();
    owned.watermark_through = through.at(shard);
  }
}

// ---- Checkpoints

absl::Status MeanRatingProducer::CheckpointWhatIsDue(const std::vector<Shard>& flushed) {
  absl::Duration now = world_.clock.Uptime();
  if (now < next_checkpoint_) return absl::OkStatus();
  std::vector<Shard> due = DueForCheckpoint(flushed, now);
  if (due.empty()) return absl::OkStatus();
  MARQUEE_RETURN_IF_ERROR(WriteCheckpoints(due));
  absl::Duration written = world_.clock.Uptime();
  for (Shard shard : due) owned_.at(shard).checkpoint_due = now + options_.checkpoint_interval;
  int pause =
      IsFarBehind() ? options_.backfill_checkpoint_pause_factor : options_.checkpoint_pause_factor;
  next_checkpoint_ = written + pause * (written - now);
  return absl::OkStatus();
}

// Of the shards that have read on since their last checkpoint. Who keeps up takes one, so that
// nobody waits long for a mean: the next comes after the next poll. Far behind, flushes are rare,
// and one takes all.
std::vector<Shard> MeanRatingProducer::DueForCheckpoint(const std::vector<Shard>& flushed,
                                                        absl::Duration now) const {
  std::vector<Shard> due;
  for (Shard shard : flushed) {
    const Owned& owned = owned_.at(shard);
    if (now >= owned.checkpoint_due && owned.state.next() != owned.checkpointed)
      due.push_back(shard);
  }
  if (IsFarBehind() || due.empty()) return due;
  return {*std::min_element(due.begin(), due.end(), [this](Shard a, Shard b) {
    return owned_.at(a).checkpoint_due < owned_.at(b).checkpoint_due;
  })};
}

// REQUIRES: every mean of these shards that is due at the state's offset is durable.
absl::Status MeanRatingProducer::WriteCheckpoints(const std::vector<Shard>& shards) {
  for (Shard shard : shards) MARQUEE_RETURN_IF_ERROR(PublishCheckpoint(shard, owned_.at(shard)));
  MARQUEE_RETURN_IF_ERROR(checkpoints_->Flush().status());
  MARQUEE_CRASH_POINT("meanratingproducer.checkpoint-written");
  for (Shard shard : shards) {
    Owned& owned = owned_.at(shard);
    owned.checkpointed = owned.state.next();
  }
  return absl::OkStatus();
}

absl::Status MeanRatingProducer::PublishCheckpoint(Shard shard, Owned& owned) {
  MARQUEE_CHECK(owned.state.due() == 0 || options_.mutilations.checkpoint_before_means);
  Checkpoint checkpoint{.shard = shard.value(),
                        .ratings_identity = ratings_identity_,
                        .next = owned.state.next(),
                        .last_record = owned.last_record,
                        .state = owned.state.Encode()};
  MARQUEE_RETURN_IF_ERROR(DeleteOldCheckpoints(shard, owned));
  MARQUEE_CRASH_POINT("meanratingproducer.before-checkpoint");
  for (const domain::CheckpointPart& part :
       domain::SplitCheckpoint(checkpoint, world_.random.Next())) {
    NewRecord record{.key = part.key, .value = part.value, .headers = {}, .shard = shard};
    MARQUEE_RETURN_IF_ERROR(checkpoints_->Publish({&record, 1}));
    MARQUEE_CRASH_POINT("meanratingproducer.checkpoint-part");
  }
  return absl::OkStatus();
}

// Those below one that was read back complete. They are deleted with the next one that is written,
// in the same flush.
absl::Status MeanRatingProducer::DeleteOldCheckpoints(Shard shard, Owned& owned) {
  std::vector<std::string> old = owned.checkpoints.KeysBelowBest();
  if (old.empty()) return absl::OkStatus();
  std::vector<NewRecord> deletions;
  deletions.reserve(old.size());
  for (const std::string& key : old)
    deletions.push_back({.key = key, .value = std::nullopt, .headers = {}, .shard = shard});
  MARQUEE_RETURN_IF_ERROR(checkpoints_->Publish(deletions));
  MARQUEE_CRASH_POINT("meanratingproducer.checkpoints-deleted");
  for (const std::string& key : old) owned.checkpoints.Forget(key);
  return absl::OkStatus();
}

absl::Status MeanRatingProducer::ReadCheckpoints(Shard shard, Owned& owned) {
  messaging::TopicShard at = CheckpointsShard(shard);
  MARQUEE_ASSIGN_OR_RETURN(owned.checkpoints_read, ReadToGained(at, [&](const Record& record) {
                             ObserveCheckpoint(owned, record);
                             return absl::OkStatus();
                           }));
  return absl::OkStatus();
}

// ---- Ending

absl::Status MeanRatingProducer::GiveUp(Shard shard) {
  auto found = owned_.find(shard);
  if (found != owned_.end()) {
    MARQUEE_RETURN_IF_ERROR(FlushMeans({shard}));
    if (found->second.state.next() != found->second.checkpointed) {
      MARQUEE_RETURN_IF_ERROR(WriteCheckpoints({shard}));
    }
    MARQUEE_CRASH_POINT("meanratingproducer.before-release");
    Forget(shard);
  }
  return member_->Release(RatingsShard(shard));
}

void MeanRatingProducer::Forget(Shard shard) {
  if (owned_.erase(shard) == 0) return;
  (void)entities_reader_->Release(MeansShard(shard));
  (void)entities_reader_->Release(CheckpointsShard(shard));
}

absl::Status MeanRatingProducer::Drain() {
  std::vector<Shard> shards;
  for (const auto& [shard, owned] : owned_) shards.push_back(shard);
  MARQUEE_RETURN_IF_ERROR(FlushMeans(shards));
  MARQUEE_RETURN_IF_ERROR(ReportPositions());
  for (Shard shard : shards) MARQUEE_RETURN_IF_ERROR(GiveUp(shard));
  return absl::OkStatus();
}

// ---- Watching

absl::StatusOr<std::vector<MeanRatingProducer::ShardLag>> MeanRatingProducer::Lags() {
  std::vector<ShardLag> lags;
  for (const auto& [shard, owned] : owned_) {
    MARQUEE_ASSIGN_OR_RETURN(int64_t lag, member_->Lag(RatingsShard(shard)));
    lags.push_back({shard.value(), lag});
  }
  return lags;
}

absl::StatusOr<int64_t> MeanRatingProducer::Lag() {
  MARQUEE_ASSIGN_OR_RETURN(std::vector<ShardLag> lags, Lags());
  int64_t sum = 0;
  for (const ShardLag& lag : lags) sum += lag.records;
  return sum;
}

void MeanRatingProducer::TellMetrics(Owned& owned) {
  const ShardState::Counters& now = owned.state.counters();
  const std::string topic = world_.topics.ratings();
  world_.metrics.Consumed("meanratingproducer", topic)
      .Increment(static_cast<double>(now.messages - owned.counted.messages));
  world_.metrics.RepeatsDropped(topic).Increment(
      static_cast<double>(now.repeats - owned.counted.repeats));
  world_.metrics.Unstamped(topic).Increment(
      static_cast<double>(now.unstamped - owned.counted.unstamped));
  world_.metrics.SequenceGaps(topic, owned.state.shard())
      .Set(static_cast<double>(owned.state.Lost()));
  world_.metrics.MeansConflated().Increment(
      static_cast<double>(owned.state.conflated() - owned.conflated));
  owned.counted = now;
  owned.conflated = owned.state.conflated();
}

absl::Status MeanRatingProducer::ReportPositionsNowAndThen() {
  absl::Duration now = world_.clock.Uptime();
  if (now - reported_at_ < kPositionReportInterval) return absl::OkStatus();
  reported_at_ = now;
  return ReportPositions();
}

absl::Status MeanRatingProducer::ReportPositions() {
  MARQUEE_ASSIGN_OR_RETURN(std::vector<ShardLag> lags, Lags());
  for (const ShardLag& lag : lags) {
    world_.metrics.LagRecords(group_, world_.topics.ratings(), lag.shard)
        .Set(static_cast<double>(lag.records));
    Owned& owned = owned_.at(Shard(lag.shard));
    double age = lag.records == 0 || owned.last_published_ms == 0
                     ? 0
                     : absl::ToDoubleSeconds(world_.clock.Now() -
                                             absl::FromUnixMillis(owned.last_published_ms));
    world_.metrics.LagSeconds(group_, world_.topics.ratings(), lag.shard).Set(std::max(age, 0.0));
    MARQUEE_RETURN_IF_ERROR(
        member_->ReportPosition(RatingsShard(Shard(lag.shard)), ToTopic(owned.state.next())));
  }
  return absl::OkStatus();
}

}  // namespace marquee::services
