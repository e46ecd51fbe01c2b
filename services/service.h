// What every service is: a loop that somebody else turns. A service is made by its own Open, which
// reads back what is durable; then Step is called again and again, and Drain before a wanted end.
// Any error of Step or Drain ends the service: throw it away and Open another, which is what
// follows a crash as well. There is one way to recover.
//
// Threads: one at a time for each service.
#ifndef MARQUEE_SERVICES_SERVICE_H_
#define MARQUEE_SERVICES_SERVICE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/random.h"
#include "domain/rules.h"
#include "messaging/broker.h"
#include "services/metrics.h"
#include "services/topics.h"

namespace marquee::services {

// What a service is built from. All outlive it.
struct World {
  messaging::Broker& broker;
  Clock& clock;
  Random& random;  // this service's alone
  Metrics& metrics;
  Topics topics;
  domain::Rules rules;   // as recorded: see OpenSystem
  std::string instance;  // for people: "meanratingproducer-7f3a"
};

enum class Turn {
  kWorked,    // turn again at once
  kIdle,      // nothing to do now
  kFinished,  // nothing to do any more
};

class Service {
 public:
  virtual ~Service() = default;

  // One turn of the loop; waits for something to do for at most `wait`.
  virtual absl::StatusOr<Turn> Step(absl::Duration wait) = 0;
  // Finishes what is under way, flushes, writes down how far it is, gives up its shards.
  virtual absl::Status Drain() = 0;
  // Why it is not of use yet though it turns: what it still restores. Empty: it is.
  virtual std::string NotReady() const { return {}; }
};

// Whether opening the service again may help: the broker is away or full, or somebody else took
// over. Otherwise a person has to decide.
bool MayPass(const absl::Status& status);

}  // namespace marquee::services

#endif  // MARQUEE_SERVICES_SERVICE_H_
