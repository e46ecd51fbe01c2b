#include "services/mean_rating_producer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/crash_point.h"
#include "base/status.h"
#include "services/topic_reading.h"

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
    if (options_.mutilations.checkpoint_before_means)
      MARQUEE_RETURN_IF_ERROR(CheckpointWhatIsDue());
    MARQUEE_RETURN_IF_ERROR(FlushMeans());
    MARQUEE_RETURN_IF_ERROR(CheckpointWhatIsDue());
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
  if (event.kind == OwnershipEvent::Kind::kLost) {
    Forget(event.shard.shard);
  } else {
    unanswered_.push_back(event);
  }
}

absl::Status MeanRatingProducer::HandleNext() {
  if (unanswered_.empty()) return absl::OkStatus();
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
  MARQUEE_ASSIGN_OR_RETURN(Extent extent, world_.broker.DescribeShard(RatingsShard(shard)));
  if (ToTopic(checkpoint.next) > extent.end) {
    return absl::FailedPreconditionError(absl::StrCat(where, ": the checkpoint is at offset ",
                                                      checkpoint.next.value(), ", the log ends at ",
                                                      extent.end.value(), kAdvice));
  }
  if (!checkpoint.last_record || ToTopic(checkpoint.last_record->offset) < extent.begin)
    return absl::OkStatus();
  MARQUEE_ASSIGN_OR_RETURN(auto reader, world_.broker.OpenReader({.headers = false}));
  Offset offset = ToTopic(checkpoint.last_record->offset);
  MARQUEE_RETURN_IF_ERROR(
      reader->Start(RatingsShard(shard), StartPosition::At(Position{ratings_identity_, offset})));
  bool same = false;
  MARQUEE_RETURN_IF_ERROR(
      ReadThrough(*reader, RatingsShard(shard), offset.next(), [&](const Record& record) {
        if (record.offset == offset) {
          same =
              domain::DigestOfLogRecord(record.key, record.value) == checkpoint.last_record->digest;
        }
        return absl::OkStatus();
      }));
  if (same) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(where, ": the record at offset ", offset.value(),
                   " is not the one that the checkpoint was taken after", kAdvice));
}

// Reads the shard of `mean-ratings` from its start to its end, so that the newest record of every
// movie is known.
absl::Status MeanRatingProducer::ReadMeans(Shard shard, Owned& owned) {
  MARQUEE_ASSIGN_OR_RETURN(auto reader, world_.broker.OpenReader({.headers = false}));
  MARQUEE_ASSIGN_OR_RETURN(Extent extent, world_.broker.DescribeShard(MeansShard(shard)));
  MARQUEE_RETURN_IF_ERROR(reader->Start(MeansShard(shard), StartPosition::AtEarliest()));
  MARQUEE_RETURN_IF_ERROR(
      ReadThrough(*reader, MeansShard(shard), extent.end, [&](const Record& record) {
        ObserveMean(owned, record);
        return absl::OkStatus();
      }));
  MARQUEE_ASSIGN_OR_RETURN(Offset next, reader->Next(MeansShard(shard)));
  owned.means_read = next;
  owned.watermark = owned.newest_watermark;
  owned.state.ObservedMeansThrough(ToLog(next));
  return absl::OkStatus();
}

absl::Status MeanRatingProducer::Follow(const messaging::TopicShard& shard, Offset from) {
  MARQUEE_ASSIGN_OR_RETURN(messaging::TopicInfo topic, world_.broker.DescribeTopic(shard.topic));
  return entities_reader_->Start(shard, StartPosition::At(Position{topic.identity, from}));
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
  if (world_.clock.Uptime() - flushed_at_ >= flush_interval_) return true;
  if (!nothing_came || !IsFarBehind()) return nothing_came;
  MARQUEE_ASSIGN_OR_RETURN(int64_t lag, Lag());
  return lag <= options_.backfill_lag_messages;
}

absl::Status MeanRatingProducer::FlushMeans() {
  if (owned_.empty()) return absl::OkStatus();
  // What cannot be counted is on record before anything says that it was passed.
  MARQUEE_RETURN_IF_ERROR(dead_letters_->Flush());
  MARQUEE_CRASH_POINT("meanratingproducer.before-means");
  MARQUEE_RETURN_IF_ERROR(PublishDue().status());
  MARQUEE_CRASH_POINT("meanratingproducer.before-watermarks");
  MARQUEE_RETURN_IF_ERROR(PublishWatermarks());
  MARQUEE_CRASH_POINT("meanratingproducer.after-watermarks");
  for (auto& [shard, owned] : owned_) TellMetrics(owned);
  flushed_at_ = world_.clock.Uptime();
  MARQUEE_ASSIGN_OR_RETURN(int64_t lag, Lag());
  // Far behind it flushes more and more rarely: the first new means after a restart do not wait.
  flush_interval_ = lag > options_.backfill_lag_messages
                        ? std::min(2 * flush_interval_, options_.backfill_flush_interval)
                        : options_.flush_interval;
  return absl::OkStatus();
}

// Publishes and flushes every mean that is due. False where none was.
absl::StatusOr<bool> MeanRatingProducer::PublishDue() {
  uint64_t published = 0;
  for (auto& [shard, owned] : owned_) {
    while (owned.state.due() > 0) {
      std::vector<domain::MeanRating> due = owned.state.TakeDue(kMeansPerPublish);
      MARQUEE_RETURN_IF_ERROR(SendMeans(shard, due));
      published += due.size();
    }
  }
  if (published == 0) return false;
  MARQUEE_CRASH_POINT("meanratingproducer.means-unflushed");
  MARQUEE_ASSIGN_OR_RETURN(messaging::FlushedThrough through, means_->Flush());
  MARQUEE_CRASH_POINT("meanratingproducer.means-flushed");
  for (auto& [shard, owned] : owned_) {
    if (auto at = through.find(shard); at != through.end())
      owned.state.MeansFlushed(ToLog(at->second));
  }
  world_.metrics.MeansPublished().Increment(static_cast<double>(published));
  return true;
}

absl::Status MeanRatingProducer::SendMeans(Shard shard,
                                           const std::vector<domain::MeanRating>& due) {
  std::vector<std::string> keys, values;
  keys.reserve(due.size());
  values.reserve(due.size());
  std::vector<NewRecord> records;
  for (const domain::MeanRating& mean : due) {
    keys.push_back(domain::MovieKey(mean.movie));
    values.push_back(domain::EncodeMean(mean));
    records.push_back({.key = keys.back(), .value = values.back(), .headers = {}, .shard = shard});
  }
  return means_->Publish(records);
}

absl::Status MeanRatingProducer::PublishWatermarks() {
  std::vector<Shard> moved;
  for (auto& [shard, owned] : owned_) {
    if (!owned.watermark_is_due()) continue;
    std::string key = domain::WatermarkKey(shard.value());
    std::string value = domain::EncodeWatermark({.shard = shard.value(),
                                                 .ratings_through = owned.state.next(),
                                                 .ratings_identity = ratings_identity_,
                                                 .last_published_ms = owned.last_published_ms});
    NewRecord record{.key = key, .value = value, .headers = {}, .shard = shard};
    MARQUEE_RETURN_IF_ERROR(means_->Publish({&record, 1}));
    moved.push_back(shard);
  }
  if (moved.empty()) return absl::OkStatus();
  MARQUEE_ASSIGN_OR_RETURN(messaging::FlushedThrough through, means_->Flush());
  for (Shard shard : moved) {
    Owned& owned = owned_.at(shard);
    owned.watermark = owned.state.next();
    owned.watermark_through = through.at(shard);
  }
  return absl::OkStatus();
}

// ---- Checkpoints

// At most one: the next comes after the next poll.
absl::Status MeanRatingProducer::CheckpointWhatIsDue() {
  absl::Duration now = world_.clock.Uptime();
  if (now < next_checkpoint_) return absl::OkStatus();
  auto longest_due = owned_.end();
  for (auto at = owned_.begin(); at != owned_.end(); ++at) {
    const Owned& owned = at->second;
    if (now < owned.checkpoint_due || owned.state.next() == owned.checkpointed) continue;
    if (longest_due == owned_.end() || owned.checkpoint_due < longest_due->second.checkpoint_due)
      longest_due = at;
  }
  if (longest_due == owned_.end()) return absl::OkStatus();
  auto& [shard, owned] = *longest_due;
  MARQUEE_RETURN_IF_ERROR(WriteCheckpoint(shard, owned));
  absl::Duration written = world_.clock.Uptime();
  owned.checkpoint_due = now + options_.checkpoint_interval;
  next_checkpoint_ = written + options_.checkpoint_pause_factor * (written - now);
  return absl::OkStatus();
}

// REQUIRES: every mean that is due at the state's offset is durable.
absl::Status MeanRatingProducer::WriteCheckpoint(Shard shard, Owned& owned) {
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
  MARQUEE_RETURN_IF_ERROR(checkpoints_->Flush().status());
  MARQUEE_CRASH_POINT("meanratingproducer.checkpoint-written");
  owned.checkpointed = checkpoint.next;
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
  MARQUEE_ASSIGN_OR_RETURN(Extent extent, world_.broker.DescribeShard(at));
  MARQUEE_ASSIGN_OR_RETURN(auto reader, world_.broker.OpenReader({.headers = false}));
  MARQUEE_RETURN_IF_ERROR(reader->Start(at, StartPosition::AtEarliest()));
  MARQUEE_RETURN_IF_ERROR(ReadThrough(*reader, at, extent.end, [&](const Record& record) {
    ObserveCheckpoint(owned, record);
    return absl::OkStatus();
  }));
  MARQUEE_ASSIGN_OR_RETURN(owned.checkpoints_read, reader->Next(at));
  return absl::OkStatus();
}

// ---- Ending

absl::Status MeanRatingProducer::GiveUp(Shard shard) {
  auto found = owned_.find(shard);
  if (found != owned_.end()) {
    MARQUEE_RETURN_IF_ERROR(FlushMeans());
    if (found->second.state.next() != found->second.checkpointed) {
      MARQUEE_RETURN_IF_ERROR(WriteCheckpoint(shard, found->second));
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
  MARQUEE_RETURN_IF_ERROR(FlushMeans());
  MARQUEE_RETURN_IF_ERROR(ReportPositions());
  std::vector<Shard> shards;
  for (const auto& [shard, owned] : owned_) shards.push_back(shard);
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
