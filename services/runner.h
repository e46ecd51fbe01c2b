// Runs a service in a thread: opens it, turns it, opens it again after an error that may pass,
// drains it in the end.
//
// Ownership: owns the thread and the service. Threads: made, stopped and joined by one thread; the
// rest from any.
#ifndef MARQUEE_SERVICES_RUNNER_H_
#define MARQUEE_SERVICES_RUNNER_H_

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "http/health.h"
#include "services/service.h"

namespace marquee::services {

inline constexpr absl::Duration kStepWaitMax = absl::Milliseconds(50);
inline constexpr absl::Duration kReopenPauseMin = absl::Milliseconds(50);
inline constexpr absl::Duration kReopenPauseMax = absl::Seconds(5);

struct RunnerOptions {
  std::string name;  // of the component, in logs and in /readyz
  // How long errors that may pass are tried again before the runner gives up; infinite for a
  // service that waits for its broker.
  absl::Duration give_up_after = absl::InfiniteDuration();
};

class Runner {
 public:
  using OpenService = std::function<absl::StatusOr<std::unique_ptr<Service>>()>;
  // Called in the runner's thread after a turn, with the service; at most about ten times a second.
  using Watch = std::function<void(Service&)>;

  Runner(RunnerOptions options, Clock& clock, http::Health& health, OpenService open,
         Watch watch = nullptr);
  ~Runner();  // stops and joins

  // Asks the thread to drain and end; Join waits for it.
  void RequestStop() { stop_ = true; }
  void Join();

  bool finished() const { return finished_; }  // nothing more to do, or failed for good
  // Why it ended; ok while it runs.
  absl::Status status() const;

 private:
  void Run();
  absl::Status RunOnce(absl::Duration* pause);
  void Sleep(absl::Duration pause);

  RunnerOptions options_;
  Clock& clock_;
  http::Health& health_;
  OpenService open_;
  Watch watch_;
  std::atomic<bool> stop_{false};
  std::atomic<bool> finished_{false};
  mutable Mutex mutex_;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;  // last: it uses everything above
};

}  // namespace marquee::services

#endif  // MARQUEE_SERVICES_RUNNER_H_
