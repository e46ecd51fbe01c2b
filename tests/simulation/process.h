// One process of the simulation: a client of the broker and the service that runs in it. It
// crashes, is paused, starts again.
#ifndef MARQUEE_TESTS_SIMULATION_PROCESS_H_
#define MARQUEE_TESTS_SIMULATION_PROCESS_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "base/random.h"
#include "messaging/memory/memory_broker.h"
#include "services/service.h"

namespace marquee::simulation {

class Process {
 public:
  using Start =
      std::function<absl::StatusOr<std::unique_ptr<services::Service>>(const services::World&)>;
  using Connect = std::function<std::unique_ptr<messaging::MemoryBroker>()>;

  Process(std::string name, uint64_t seed, Connect connect, Start start)
      : name_(std::move(name)),
        random_(seed),
        connect_(std::move(connect)),
        start_(std::move(start)) {}

  const std::string& name() const { return name_; }
  bool running() const { return service_ != nullptr; }
  bool finished() const { return finished_; }
  messaging::MemoryBroker* broker() { return broker_.get(); }

  // Starts it where it does not run, turns it otherwise. An error ends it; the status says which.
  absl::Status Step(Clock& clock, services::Metrics& metrics, const domain::Rules& rules) {
    if (service_ == nullptr) return Open(clock, metrics, rules);
    absl::StatusOr<services::Turn> turn = service_->Step(absl::ZeroDuration());
    if (!turn.ok()) {
      Die();
      return turn.status();
    }
    if (*turn == services::Turn::kFinished) {
      absl::Status drained = service_->Drain();
      Die();
      finished_ = drained.ok();
      return drained;
    }
    return absl::OkStatus();
  }

  // `kill -9`.
  void Crash(bool leave_at_once) {
    if (broker_ != nullptr) broker_->Crash(leave_at_once);
    Die();
  }

  // Ends as SIGTERM asks it to.
  absl::Status Stop() {
    if (service_ == nullptr) return absl::OkStatus();
    absl::Status status = service_->Drain();
    Die();
    return status;
  }

  void RunAgain() { finished_ = false; }
  int paused_steps = 0;  // not turned for so many rounds

 private:
  absl::Status Open(Clock& clock, services::Metrics& metrics, const domain::Rules& rules) {
    broker_ = connect_();
    services::World world{.broker = *broker_,
                          .clock = clock,
                          .random = random_,
                          .metrics = metrics,
                          .topics = services::Topics(),
                          .rules = rules,
                          .instance = name_};
    absl::StatusOr<std::unique_ptr<services::Service>> service = start_(world);
    if (!service.ok()) {
      Die();
      return service.status();
    }
    service_ = *std::move(service);
    return absl::OkStatus();
  }

  void Die() {
    service_.reset();
    broker_.reset();
  }

  std::string name_;
  Random random_;
  Connect connect_;
  Start start_;
  std::unique_ptr<messaging::MemoryBroker> broker_;
  std::unique_ptr<services::Service> service_;
  bool finished_ = false;
};

}  // namespace marquee::simulation

#endif  // MARQUEE_TESTS_SIMULATION_PROCESS_H_
