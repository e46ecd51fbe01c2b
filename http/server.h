// The HTTP server of a process: its routes, its limits, its threads.
//
// Ownership: owns its listening socket and threads; borrows what ServerOptions and Parts point to,
// which outlive it. Threads: Start and Stop from one thread; handlers run on the server's own.
// Fails with: kAlreadyExists (the port is in use, named), kInvalidArgument (the address).
#ifndef MARQUEE_HTTP_SERVER_H_
#define MARQUEE_HTTP_SERVER_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "catalogue/catalogue.h"
#include "domain/rules.h"
#include "http/health.h"
#include "http/rating_intake.h"
#include "http/visibility.h"
#include "prometheus/registry.h"

namespace marquee::http {

struct ServerOptions {
  std::string address = "127.0.0.1";
  uint16_t port = 8080;  // 0: any free one
  int threads = 1;
  size_t connections_max = 4096;
  size_t header_bytes_max = 16 << 10;
  size_t body_bytes_max = 4 << 20;
  size_t ratings_per_request_max = 10'000;
  absl::Duration header_timeout =
      absl::Seconds(10);  // from the first byte of a request to the end of its header
  absl::Duration body_timeout = absl::Seconds(30);
  absl::Duration idle_timeout = absl::Seconds(60);
  absl::Duration wait_max = absl::Seconds(30);  // of wait-for; ?timeout= may ask for less
  double bayesian_weight = domain::kBayesianWeightDefault;
  absl::Duration prior_age_max = absl::Minutes(1);
};

// What the process has to serve; a null part's routes answer 404 with a problem document that says
// which service serves them.
struct Parts {
  catalogue::Catalogue* catalogue = nullptr;  // with `visibility`: the read API
  Visibility* visibility = nullptr;
  RatingIntake* intake = nullptr;           // POST /api/v1/ratings
  const domain::Scale* scale = nullptr;     // with `intake`
  Health* health = nullptr;                 // required
  prometheus::Registry* metrics = nullptr;  // required
  Clock* clock = nullptr;                   // required
  std::string version;
};

class Server {
 public:
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerOptions& options,
                                                       const Parts& parts);
  virtual ~Server() = default;  // stops

  virtual uint16_t port() const = 0;
  // Takes no new connections, answers what is under way for at most `grace`, closes.
  virtual void Stop(absl::Duration grace) = 0;
};

}  // namespace marquee::http

#endif  // MARQUEE_HTTP_SERVER_H_
