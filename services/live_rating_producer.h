// `ratingproducer` on requests: what cannot be read again. Takes a new incarnation whenever it is
// opened, and answers a request only after a flush that covers all that was published before.
//
// Threads: Submit from any; Step and Drain from one.
#ifndef MARQUEE_SERVICES_LIVE_RATING_PRODUCER_H_
#define MARQUEE_SERVICES_LIVE_RATING_PRODUCER_H_

#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "http/rating_intake.h"
#include "services/rating_publisher.h"
#include "services/service.h"
#include "services/source_log.h"

namespace marquee::services {

inline constexpr size_t kQueuedRatingsMax = 200'000;
inline constexpr size_t kRatingsPerFlushMax = 20'000;
inline constexpr size_t kRememberedKeysMax = 100'000;
inline constexpr absl::Duration kLiveProgressInterval = absl::Seconds(1);

// The queue between the requests' threads and the producer's. Outlives producers: one that failed
// answers what it had taken, the next one goes on with the queue.
class LiveRatingQueue final : public http::RatingIntake {
 public:
  struct Request {
    http::PostedRatings ratings;
    Done done;
  };

  void Submit(http::PostedRatings ratings, Done done) override;
  // While there is no producer (none yet, or one that failed), requests are refused with
  // kUnavailable.
  void Open();
  void Close(const std::string& reason);

  // Waits at most `wait` for requests; takes at most kRatingsPerFlushMax ratings (at least one
  // request).
  std::vector<Request> Take(absl::Duration wait);

 private:
  // kFailedPrecondition: the key is known with another body.
  absl::Status Remember(const std::string& key, uint64_t body_digest)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Mutex mutex_;
  CondVar not_empty_;
  bool open_ ABSL_GUARDED_BY(mutex_) = false;
  std::string closed_because_ ABSL_GUARDED_BY(mutex_) = "the producer has not started yet";
  std::deque<Request> queue_ ABSL_GUARDED_BY(mutex_);
  size_t queued_ratings_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::flat_hash_map<std::string, uint64_t> digests_ ABSL_GUARDED_BY(mutex_);
  std::deque<std::string> digests_order_ ABSL_GUARDED_BY(mutex_);
};

struct LiveRatingProducerOptions {
  std::string source = "http";

  // A canary for the simulation: answers before the flush. Never set outside it.
  bool mutilation_answer_before_flush = false;
};

class LiveRatingProducer final : public Service {
 public:
  static absl::StatusOr<std::unique_ptr<LiveRatingProducer>> Open(
      const World& world, const LiveRatingProducerOptions& options, LiveRatingQueue& queue);
  ~LiveRatingProducer() override;

  absl::StatusOr<Turn> Step(absl::Duration wait) override;
  absl::Status Drain() override;

 private:
  LiveRatingProducer(const World& world, const LiveRatingProducerOptions& options,
                     LiveRatingQueue& queue)
      : world_(world), options_(options), queue_(queue) {}
  void Answer(std::vector<LiveRatingQueue::Request>& requests,
              const messaging::FlushedThrough& through);
  absl::Status Publish(std::vector<LiveRatingQueue::Request>& requests);
  absl::Status PublishRequest(const http::PostedRatings& request);
  absl::Status RecordDoneNowAndThen();
  absl::Status RecordDone();

  World world_;
  LiveRatingProducerOptions options_;
  LiveRatingQueue& queue_;
  std::string ratings_identity_;
  std::unique_ptr<SourceLog> sources_;
  std::unique_ptr<RatingPublisher> ratings_;
  domain::SourceProgress record_;
  absl::Duration recorded_at_;
  absl::Duration gathered_at_;  // uptime: the next flush begins no sooner
};

}  // namespace marquee::services

#endif  // MARQUEE_SERVICES_LIVE_RATING_PRODUCER_H_
