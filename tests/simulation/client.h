// A client that posts ratings and sends each request again, under its idempotency key, until it is
// acknowledged.
#ifndef MARQUEE_TESTS_SIMULATION_CLIENT_H_
#define MARQUEE_TESTS_SIMULATION_CLIENT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/random.h"
#include "http/rating_intake.h"

namespace marquee::simulation {

class Client {
 public:
  Client(std::string name, uint64_t seed, uint64_t movies, size_t requests)
      : name_(std::move(name)), random_(seed) {
    for (size_t i = 0; i < requests; ++i) {
      requests_.push_back(std::make_shared<Request>());
      http::PostedRatings& posted = requests_.back()->posted;
      posted.idempotency_key = absl::StrCat(name_, "-", i);
      posted.body_digest = 1000 + i;
      uint64_t count = 1 + random_.Below(3);
      for (uint64_t j = 0; j < count; ++j) {
        posted.ratings.push_back(
            {.user = domain::UserId(random_.Below(50)),
             .movie = domain::MovieId(1 + random_.Below(movies)),
             .value = domain::Thousandths(static_cast<int32_t>(500 * (1 + random_.Below(10)))),
             .time_seconds = 1000});
      }
    }
  }

  // Sends something: a request that is not acknowledged, or now and then one that is (its answer
  // was lost).
  void Act(http::RatingIntake& intake) {
    if (requests_.empty()) return;
    std::shared_ptr<Request> request =
        requests_[random_.Below(std::min(requests_.size(), reached_ + 1))];
    if (request->acknowledged && !random_.OneIn(8)) {
      if (reached_ + 1 < requests_.size()) ++reached_;
      return;
    }
    intake.Submit(request->posted, [request](absl::StatusOr<http::LogPosition> position) {
      if (position.ok()) request->acknowledged = true;
    });
  }

  bool AllAcknowledged() const {
    for (const auto& request : requests_) {
      if (!request->acknowledged) return false;
    }
    return true;
  }

  template <typename Visit>
  void ForEachRating(Visit visit) const {
    for (const auto& request : requests_) {
      for (const http::PostedRating& rating : request->posted.ratings) visit(rating);
    }
  }

 private:
  struct Request {
    http::PostedRatings posted;
    bool acknowledged = false;
  };
  std::string name_;
  Random random_;
  std::vector<std::shared_ptr<Request>> requests_;
  size_t reached_ = 0;
};

}  // namespace marquee::simulation

#endif  // MARQUEE_TESTS_SIMULATION_CLIENT_H_
