// The conformance suite on RabbitMQ: on the broker of script/rabbitmq, which each test starts where
// it does not run (MARQUEE_RABBITMQ says with which arguments: "--nodes 3 --release 4.0"), or on
// one of your own, with its URL in MARQUEE_TEST_RABBITMQ. All connections go through a gate. With
// MARQUEE_RABBITMQ_KILLS its nodes are killed and restarted all the while, one at a time;
// MARQUEE_RABBITMQ_PACK=off switches packs off.
#include "messaging/conformance/conformance.h"

#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/status.h"
#include "messaging/rabbitmq/gate.h"
#include "messaging/rabbitmq/rabbitmq_broker.h"
#include "messaging/rabbitmq/script.h"
#include "messaging/rabbitmq/url.h"

namespace marquee::messaging::rabbitmq {
namespace {

void RestartNode(size_t node) { Script(fmt::format("restart --node {}", node)); }

bool IsOwn() { return Variable("MARQUEE_TEST_RABBITMQ").empty(); }

std::vector<int> PortsOf(const Url& url) {
  std::vector<int> ports;
  for (const Node& node : url.nodes) {
    if (node.host != "127.0.0.1" || url.tls) {
      std::fprintf(stderr, "MARQUEE_TEST_RABBITMQ: expected amqp:// and 127.0.0.1, found %s\n",
                   url.ToString().c_str());
      std::exit(1);
    }
    ports.push_back(node.port);
  }
  return ports;
}

Url ServerUrl() {
  absl::StatusOr<Url> url = ParseUrl(IsOwn() ? Script("start") : Variable("MARQUEE_TEST_RABBITMQ"));
  MARQUEE_CHECK(url.ok());
  return *std::move(url);
}

// Kills nodes as `kill -9` does and starts them again, one after the other, while a test runs.
class NodeTrouble {
 public:
  explicit NodeTrouble(size_t nodes) : thread_([this, nodes] { Run(nodes); }) {}
  ~NodeTrouble() {
    {
      MutexLock lock(mutex_);
      stop_ = true;
      stopped_.SignalAll();
    }
    thread_.join();
  }

 private:
  void Run(size_t nodes) {
    for (size_t killed = 0;; ++killed) {
      {
        MutexLock lock(mutex_);
        if (!stop_) stopped_.WaitFor(mutex_, killed == 0 ? kFirstAfter : kBetween);
        if (stop_) return;
      }
      RestartNode(killed % nodes + 1);
    }
  }

  static constexpr absl::Duration kFirstAfter = absl::Milliseconds(300);
  static constexpr absl::Duration kBetween = absl::Seconds(3);
  Mutex mutex_;
  CondVar stopped_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

class RabbitmqBackend final : public conformance::Backend {
 public:
  RabbitmqBackend() : server_(ServerUrl()), gate_(PortsOf(server_)) {
    if (!Variable("MARQUEE_RABBITMQ_KILLS").empty()) trouble_.emplace(server_.nodes.size());
    std::string hosts;
    for (int port : gate_.ports()) {
      hosts += fmt::format("{}127.0.0.1:{}", hosts.empty() ? "" : ",", port);
    }
    std::string vhost = server_.vhost == "/" ? "%2F" : server_.vhost;
    url_ = fmt::format("amqp://{}:{}@{}/{}", server_.user, server_.password, hosts, vhost);
  }

  conformance::Timings timings() const override {
    conformance::Timings timings;
    // Restarts of a broker are slow, and so are its first answers after one.
    timings.soon = absl::Seconds(60);
    // Several nodes share this machine's cores, and each poll asks them something.
    timings.session_timeout = absl::Seconds(3);
    timings.settle = absl::Seconds(20);
    // But while its nodes are killed as well.
    timings.take_over = trouble_.has_value() ? timings.settle : absl::Seconds(3);
    return timings;
  }

  absl::StatusOr<std::unique_ptr<Broker>> Open(const BrokerOptions& options,
                                               Clock& clock) override {
    BrokerOptions small = options;
    // Epochs change often enough for the suite to see it.
    small.settings.emplace("amqp.snapshot_records", "500");
    if (!Variable("MARQUEE_RABBITMQ_PACK").empty()) {
      small.settings.emplace("amqp.pack", Variable("MARQUEE_RABBITMQ_PACK"));
    }
    return OpenRabbitmqBroker(url_, small, clock);
  }

  // A node is killed and started again, of three each time another one: all of them at once forget
  // what was declared in the last seconds (docs/rabbitmq.md). A broker of somebody else's only
  // loses connections.
  void RestartServer() override {
    gate_.SetOpen(false);
    if (IsOwn()) RestartNode(restarts_++ % server_.nodes.size() + 1);
    gate_.SetOpen(true);
  }

  void SetReachable(bool reachable) override { gate_.SetOpen(reachable); }

  std::unique_ptr<conformance::Peer> SpawnPeer(const conformance::PeerScript& script) override {
    return conformance::SpawnProcess(url_, script);
  }

 private:
  const Url server_;
  Gate gate_;
  std::string url_;
  size_t restarts_ = 0;
  std::optional<NodeTrouble> trouble_;
};

}  // namespace
}  // namespace marquee::messaging::rabbitmq

int main(int argc, char** argv) {
  namespace conformance = marquee::messaging::conformance;
  conformance::Suite suite;
  suite.make_backend = [] {
    return std::make_unique<marquee::messaging::rabbitmq::RabbitmqBackend>();
  };
  suite.open = marquee::messaging::OpenRabbitmqBroker;
  return conformance::ConformanceMain(argc, argv, suite);
}
