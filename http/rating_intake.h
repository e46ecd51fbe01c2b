// Where POST /api/v1/ratings hands its ratings to: implemented by the producer that publishes them.
#ifndef MARQUEE_HTTP_RATING_INTAKE_H_
#define MARQUEE_HTTP_RATING_INTAKE_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "domain/ids.h"
#include "http/log_position.h"

namespace marquee::http {

struct PostedRating {
  domain::UserId user;
  domain::MovieId movie;
  domain::Thousandths value;
  int64_t time_seconds = 0;
};

struct PostedRatings {
  std::vector<PostedRating> ratings;  // within the scale
  std::optional<std::string> idempotency_key;
  uint64_t body_digest = 0;  // of the request's ratings, equal for equal requests
};

class RatingIntake {
 public:
  virtual ~RatingIntake() = default;

  // Told once, from a thread of the intake's own, when every rating is durable: a position that
  // covers all of them. Or why not: kResourceExhausted (behind: 429, try later), kUnavailable
  // (503), kFailedPrecondition (the idempotency key was used with another body: 422).
  using Done = std::function<void(absl::StatusOr<LogPosition>)>;

  // Any thread; never waits. Where the queue is full, `done` is called at once.
  virtual void Submit(PostedRatings ratings, Done done) = 0;
};

}  // namespace marquee::http

#endif  // MARQUEE_HTTP_RATING_INTAKE_H_
