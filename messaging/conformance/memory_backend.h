// The memory backend for the suite. Its peers are threads with connections of their own: killed by
// MemoryBroker::Crash, stopped by a gate between their steps.
#ifndef MARQUEE_MESSAGING_CONFORMANCE_MEMORY_BACKEND_H_
#define MARQUEE_MESSAGING_CONFORMANCE_MEMORY_BACKEND_H_

#include <functional>
#include <memory>

#include "messaging/conformance/conformance.h"
#include "messaging/memory/memory_broker.h"

namespace marquee::messaging::conformance {

// Puts a decorator around a connection (broken_backends.h).
using Wrap = std::function<std::unique_ptr<Broker>(std::unique_ptr<Broker> inner)>;

class MemoryBackend final : public Backend {
 public:
  explicit MemoryBackend(const MemoryWorldOptions& options, Wrap wrap = nullptr,
                         const Timings& timings = Timings());

  Timings timings() const override { return timings_; }
  void UseSeed(uint64_t seed) override;
  absl::StatusOr<std::unique_ptr<Broker>> Open(const BrokerOptions& options, Clock& clock) override;
  // The world stays as it is: what it holds is what the server has on its disk.
  void RestartServer() override {}
  void SetReachable(bool reachable) override { world_->SetReachable(reachable); }
  std::unique_ptr<Peer> SpawnPeer(const PeerScript& script) override;

 private:
  SystemClock clock_;
  MemoryWorldOptions options_;
  std::shared_ptr<MemoryWorld> world_;
  const Wrap wrap_;
  const Timings timings_;
};

}  // namespace marquee::messaging::conformance

#endif  // MARQUEE_MESSAGING_CONFORMANCE_MEMORY_BACKEND_H_
