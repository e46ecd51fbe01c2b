#include "services/runner.h"

#include <algorithm>
#include <utility>

#include "base/status.h"
#include "spdlog/spdlog.h"

namespace marquee::services {
namespace {

constexpr absl::Duration kWatchInterval = absl::Milliseconds(100);

}  // namespace

Runner::Runner(RunnerOptions options, Clock& clock, http::Health& health, OpenService open,
               Watch watch)
    : options_(std::move(options)),
      clock_(clock),
      health_(health),
      open_(std::move(open)),
      watch_(std::move(watch)) {
  health_.SetNotReady(options_.name, "starting");
  thread_ = std::thread([this] { Run(); });
}

Runner::~Runner() {
  RequestStop();
  Join();
}

void Runner::Join() {
  if (thread_.joinable()) thread_.join();
}

absl::Status Runner::status() const {
  MutexLock lock(mutex_);
  return status_;
}

void Runner::Run() {
  absl::Duration pause = kReopenPauseMin;
  absl::Duration well_at = clock_.Uptime();
  absl::Status status;
  while (true) {
    status = RunOnce(&pause);
    if (status.ok()) break;
    health_.SetNotReady(options_.name, std::string(status.message()));
    if (!MayPass(status)) break;
    if (pause == kReopenPauseMin) well_at = clock_.Uptime();
    if (stop_ || clock_.Uptime() - well_at > options_.give_up_after) break;
    spdlog::warn("{}: {}; trying again in {} ms", options_.name, std::string(status.message()),
                 absl::ToInt64Milliseconds(pause));
    Sleep(pause);
    pause = std::min(2 * pause, kReopenPauseMax);
    // Stopped while it could not be opened: there is nothing to drain.
    if (stop_) {
      status = absl::OkStatus();
      break;
    }
  }
  if (status.ok()) health_.Remove(options_.name);
  {
    MutexLock lock(mutex_);
    status_ = status;
  }
  finished_ = true;
}

// Opens the service and turns it until it has finished, was asked to stop, or failed.
absl::Status Runner::RunOnce(absl::Duration* pause) {
  MARQUEE_ASSIGN_OR_RETURN(std::unique_ptr<Service> service, open_());
  bool ready = false;
  absl::Duration watched_at = clock_.Uptime() - kWatchInterval;
  while (!stop_) {
    if (!ready) {
      std::string missing = service->NotReady();
      ready = missing.empty();
      ready ? health_.SetReady(options_.name) : health_.SetNotReady(options_.name, missing);
    }
    MARQUEE_ASSIGN_OR_RETURN(Turn turn, service->Step(kStepWaitMax));
    *pause = kReopenPauseMin;
    if (turn == Turn::kFinished) break;
    absl::Duration now = clock_.Uptime();
    if (now - watched_at < kWatchInterval) continue;
    watched_at = now;
    health_.Beat(options_.name);
    if (watch_) watch_(*service);
  }
  MARQUEE_RETURN_IF_ERROR(service->Drain());
  if (watch_) watch_(*service);
  return absl::OkStatus();
}

void Runner::Sleep(absl::Duration pause) {
  absl::Duration until = clock_.Uptime() + pause;
  while (!stop_ && clock_.Uptime() < until)
    clock_.SleepFor(std::min(pause, absl::Milliseconds(50)));
}

}  // namespace marquee::services
