// Publishes a ServiceReport a second for each service of the process: what it published and
// consumed and how far it is behind, so that the flow can be watched through the broker itself. A
// thread of its own, so that no service waits for it.
#ifndef MARQUEE_SERVICES_REPORTER_H_
#define MARQUEE_SERVICES_REPORTER_H_

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "http/health.h"
#include "messaging/broker.h"
#include "services/metrics.h"
#include "services/topics.h"

namespace marquee::services {

inline constexpr absl::Duration kReportInterval = absl::Seconds(1);

class Reporter {
 public:
  // `services`: the names of those that run in this process; `instance` tells processes apart. All
  // references outlive it.
  Reporter(messaging::Broker& broker, Clock& clock, Metrics& metrics, http::Health& health,
           Topics topics, std::vector<std::string> services, std::string instance);
  ~Reporter();

 private:
  void Run();
  absl::Status Report(messaging::Publisher& publisher);

  messaging::Broker& broker_;
  Clock& clock_;
  Metrics& metrics_;
  http::Health& health_;
  Topics topics_;
  std::vector<std::string> services_;
  std::string instance_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace marquee::services

#endif  // MARQUEE_SERVICES_REPORTER_H_
