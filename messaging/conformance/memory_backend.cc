#include "messaging/conformance/memory_backend.h"

#include <deque>
#include <thread>
#include <utility>

#include "base/mutex.h"
#include "base/status.h"

namespace marquee::messaging::conformance {
namespace {

class ThreadPeer final : public Peer {
 public:
  ThreadPeer(std::shared_ptr<MemoryWorld> world, const Wrap& wrap, const PeerScript& script)
      : script_(script) {
    auto broker = std::make_unique<MemoryBroker>(std::move(world), BrokerOptions(), clock_);
    memory_ = broker.get();
    broker_ = wrap ? wrap(std::move(broker)) : std::move(broker);
    thread_ = std::thread([this] { Run(); });
  }
  ~ThreadPeer() override { Kill(); }

  void Kill() override {
    if (!thread_.joinable()) return;
    memory_->Crash();
    Resume();
    thread_.join();
  }
  void Stop() override {
    MutexLock lock(mutex_);
    stopped_ = true;
    while (!parked_ && !ended_) changed_.Wait(mutex_);
  }
  void Resume() override {
    MutexLock lock(mutex_);
    stopped_ = false;
    changed_.SignalAll();
  }
  void Finish() override {
    MutexLock lock(mutex_);
    finish_ = true;
    changed_.SignalAll();
  }

  std::optional<PeerEvent> Next(absl::Duration wait) override {
    MutexLock lock(mutex_);
    absl::Duration deadline = clock_.Uptime() + wait;
    while (events_.empty()) {
      absl::Duration left = deadline - clock_.Uptime();
      if (ended_ || left <= absl::ZeroDuration()) return std::nullopt;
      changed_.WaitFor(mutex_, left);
    }
    PeerEvent event = std::move(events_.front());
    events_.pop_front();
    return event;
  }

 private:
  void Run() {
    RunPeer(
        script_, *broker_, clock_, [this](const PeerEvent& event) { Emit(event); },
        [this] { return GoOn(); });
    MutexLock lock(mutex_);
    ended_ = true;
    changed_.SignalAll();
  }
  void Emit(const PeerEvent& event) {
    // The dead do not speak.
    if (memory_->crashed()) return;
    MutexLock lock(mutex_);
    events_.push_back(event);
    changed_.SignalAll();
  }
  bool GoOn() {
    MutexLock lock(mutex_);
    parked_ = true;
    changed_.SignalAll();
    while (stopped_) changed_.Wait(mutex_);
    parked_ = false;
    return !finish_;
  }

  const PeerScript script_;
  SystemClock clock_;
  MemoryBroker* memory_;  // inside broker_
  std::unique_ptr<Broker> broker_;
  Mutex mutex_;
  CondVar changed_;
  std::deque<PeerEvent> events_ ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  bool parked_ ABSL_GUARDED_BY(mutex_) = false;
  bool finish_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace

MemoryBackend::MemoryBackend(const MemoryWorldOptions& options, Wrap wrap, const Timings& timings)
    : options_(options),
      world_(std::make_shared<MemoryWorld>(options, clock_)),
      wrap_(std::move(wrap)),
      timings_(timings) {}

void MemoryBackend::UseSeed(uint64_t seed) {
  options_.seed = seed;
  world_ = std::make_shared<MemoryWorld>(options_, clock_);
}

absl::StatusOr<std::unique_ptr<Broker>> MemoryBackend::Open(const BrokerOptions& options,
                                                            Clock& clock) {
  MARQUEE_ASSIGN_OR_RETURN(std::unique_ptr<Broker> broker,
                           OpenMemoryBroker(world_, options, clock));
  return wrap_ ? wrap_(std::move(broker)) : std::move(broker);
}

std::unique_ptr<Peer> MemoryBackend::SpawnPeer(const PeerScript& script) {
  return std::make_unique<ThreadPeer>(world_, wrap_, script);
}

}  // namespace marquee::messaging::conformance
