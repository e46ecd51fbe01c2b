#include "services/live_rating_producer.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/crash_point.h"
#include "base/status.h"

namespace marquee::services {
namespace {

// A flush of a few ratings costs about as much as one of some hundred: a page of every shard, and a
// sync. So the more were flushed, the longer the next are gathered; single ones do not wait.
constexpr absl::Duration kGatheringPerRating = absl::Microseconds(20);
constexpr absl::Duration kGatheringMax = absl::Milliseconds(5);

}  // namespace

void LiveRatingQueue::Submit(http::PostedRatings ratings, Done done) {
  absl::Status refusal;
  {
    MutexLock lock(mutex_);
    if (!open_) {
      refusal = absl::UnavailableError(closed_because_);
    } else if (queued_ratings_ + ratings.ratings.size() > kQueuedRatingsMax &&
               queued_ratings_ > 0) {
      refusal = absl::ResourceExhaustedError(
          absl::StrCat(queued_ratings_, " ratings are waiting, at most ", kQueuedRatingsMax,
                       " may; send it again later"));
    } else if (ratings.idempotency_key) {
      refusal = Remember(*ratings.idempotency_key, ratings.body_digest);
    }
    if (refusal.ok()) {
      queued_ratings_ += ratings.ratings.size();
      queue_.push_back({std::move(ratings), std::move(done)});
      not_empty_.Signal();
      return;
    }
  }
  done(refusal);
}

void LiveRatingQueue::Open() {
  MutexLock lock(mutex_);
  open_ = true;
}

void LiveRatingQueue::Close(const std::string& reason) {
  std::deque<Request> refused;
  {
    MutexLock lock(mutex_);
    open_ = false;
    closed_because_ = reason;
    refused.swap(queue_);
    queued_ratings_ = 0;
  }
  for (Request& request : refused) request.done(absl::UnavailableError(reason));
}

std::vector<LiveRatingQueue::Request> LiveRatingQueue::Take(absl::Duration wait) {
  std::vector<Request> taken;
  MutexLock lock(mutex_);
  if (queue_.empty() && wait > absl::ZeroDuration()) not_empty_.WaitFor(mutex_, wait);
  size_t ratings = 0;
  while (!queue_.empty()) {
    size_t more = queue_.front().ratings.ratings.size();
    if (!taken.empty() && ratings + more > kRatingsPerFlushMax) break;
    ratings += more;
    taken.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  queued_ratings_ -= ratings;
  return taken;
}

absl::Status LiveRatingQueue::Remember(const std::string& key, uint64_t body_digest) {
  auto [known, fresh] = digests_.emplace(key, body_digest);
  if (known->second != body_digest) {
    return absl::FailedPreconditionError("this Idempotency-Key was used with another body");
  }
  if (fresh) digests_order_.push_back(key);
  if (digests_order_.size() > kRememberedKeysMax) {
    digests_.erase(digests_order_.front());
    digests_order_.pop_front();
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<LiveRatingProducer>> LiveRatingProducer::Open(
    const World& world, const LiveRatingProducerOptions& options, LiveRatingQueue& queue) {
  const std::string& source = options.source;
  MARQUEE_RETURN_IF_ERROR(domain::ValidateSourceName(source));
  std::unique_ptr<LiveRatingProducer> producer(new LiveRatingProducer(world, options, queue));
  MARQUEE_ASSIGN_OR_RETURN(messaging::TopicInfo ratings,
                           world.broker.DescribeTopic(world.topics.ratings()));
  producer->ratings_identity_ = ratings.identity;
  MARQUEE_ASSIGN_OR_RETURN(producer->sources_, SourceLog::Open(world));
  MARQUEE_ASSIGN_OR_RETURN(producer->record_, producer->sources_->ClaimLive(world, source));
  MARQUEE_ASSIGN_OR_RETURN(producer->ratings_,
                           RatingPublisher::Open(world, source, producer->record_.incarnation, {}));
  producer->recorded_at_ = world.clock.Uptime();
  queue.Open();
  return producer;
}

LiveRatingProducer::~LiveRatingProducer() { queue_.Close("the producer is starting again"); }

absl::StatusOr<Turn> LiveRatingProducer::Step(absl::Duration wait) {
  if (absl::Duration left = gathered_at_ - world_.clock.Uptime(); left > absl::ZeroDuration()) {
    world_.clock.SleepFor(std::min(left, wait));
  }
  std::vector<LiveRatingQueue::Request> requests = queue_.Take(wait);
  if (requests.empty()) {
    MARQUEE_RETURN_IF_ERROR(RecordDoneNowAndThen());
    return Turn::kIdle;
  }
  if (absl::Status status = Publish(requests); !status.ok()) {
    // Nothing is known of what was stored. The numbers of this incarnation end here; the clients
    // ask again.
    for (LiveRatingQueue::Request& request : requests) {
      if (request.done) request.done(absl::UnavailableError(status.message()));
    }
    return status;
  }
  return Turn::kWorked;
}

absl::Status LiveRatingProducer::Publish(std::vector<LiveRatingQueue::Request>& requests) {
  absl::Duration began = world_.clock.Uptime();
  int64_t ratings = 0;
  for (const LiveRatingQueue::Request& request : requests) {
    MARQUEE_RETURN_IF_ERROR(PublishRequest(request.ratings));
    ratings += static_cast<int64_t>(request.ratings.ratings.size());
  }
  gathered_at_ = began + std::min(kGatheringMax, kGatheringPerRating * ratings);
  if (options_.mutilation_answer_before_flush) Answer(requests, {});
  MARQUEE_ASSIGN_OR_RETURN(messaging::FlushedThrough through, ratings_->Flush());
  MARQUEE_CRASH_POINT("liveproducer.flushed");
  Answer(requests, through);
  return RecordDoneNowAndThen();
}

// Tells each request that is not answered yet the position that covers it.
void LiveRatingProducer::Answer(std::vector<LiveRatingQueue::Request>& requests,
                                const messaging::FlushedThrough& through) {
  for (LiveRatingQueue::Request& request : requests) {
    if (!request.done) continue;
    http::LogPosition position{.ratings_identity = ratings_identity_, .through = {}};
    for (const http::PostedRating& rating : request.ratings.ratings) {
      messaging::Shard shard =
          messaging::ShardOfKey(domain::MovieKey(rating.movie), world_.rules.shards);
      auto at = through.find(shard);
      if (at != through.end())
        position.through[shard.value()] = domain::LogOffset(at->second.value());
    }
    std::exchange(request.done, nullptr)(std::move(position));
  }
}

absl::Status LiveRatingProducer::PublishRequest(const http::PostedRatings& request) {
  uint32_t index = 0;
  for (const http::PostedRating& posted : request.ratings) {
    domain::Rating rating{.user = posted.user,
                          .movie = posted.movie,
                          .value = posted.value,
                          .time_seconds = posted.time_seconds,
                          .stamp = std::nullopt,
                          .idempotency = std::nullopt};
    if (request.idempotency_key) {
      rating.idempotency =
          domain::Idempotency{*request.idempotency_key, index++, request.body_digest};
    }
    MARQUEE_RETURN_IF_ERROR(ratings_->Add(rating));
  }
  return absl::OkStatus();
}

absl::Status LiveRatingProducer::RecordDoneNowAndThen() {
  if (world_.clock.Uptime() - recorded_at_ < kLiveProgressInterval) return absl::OkStatus();
  return RecordDone();
}

absl::Status LiveRatingProducer::RecordDone() {
  if (record_.next_sequence == ratings_->next_sequence()) return absl::OkStatus();
  record_.next_sequence = ratings_->next_sequence();
  MARQUEE_RETURN_IF_ERROR(sources_->Write(record_));
  recorded_at_ = world_.clock.Uptime();
  return absl::OkStatus();
}

absl::Status LiveRatingProducer::Drain() {
  queue_.Close("the producer is shutting down");
  return RecordDone();
}

}  // namespace marquee::services
