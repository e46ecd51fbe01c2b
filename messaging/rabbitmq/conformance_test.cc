// The conformance suite on RabbitMQ: on the broker of script/rabbitmq, which each test starts where
// it does not run (MARQUEE_RABBITMQ says with which arguments: "--nodes 3 --release 4.0"), or on
// one of your own, with its URL in MARQUEE_TEST_RABBITMQ. All connections go through a gate.
#include "messaging/conformance/conformance.h"

#include <fmt/format.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "messaging/rabbitmq/gate.h"
#include "messaging/rabbitmq/rabbitmq_broker.h"
#include "messaging/rabbitmq/url.h"

namespace marquee::messaging::rabbitmq {
namespace {

std::string Variable(const char* name) {
  const char* value = getenv(name);
  return value == nullptr ? "" : value;
}

// What `script/rabbitmq VERB` prints; one that fails ends the program.
std::string Script(const std::string& verb) {
  std::string command =
      fmt::format("'{}' {} {}", MARQUEE_RABBITMQ_SCRIPT, verb, Variable("MARQUEE_RABBITMQ"));
  FILE* pipe = popen(command.c_str(), "re");
  MARQUEE_CHECK(pipe != nullptr);
  std::string output;
  char bytes[4096];
  for (size_t size; (size = fread(bytes, 1, sizeof bytes, pipe)) > 0;) output.append(bytes, size);
  int status = pclose(pipe);
  if (status != 0) {
    std::fprintf(stderr, "%s failed with %d\n", command.c_str(), WEXITSTATUS(status));
    std::exit(1);
  }
  while (!output.empty() && output.back() == '\n') output.pop_back();
  return output;
}

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

class RabbitmqBackend final : public conformance::Backend {
 public:
  RabbitmqBackend() : server_(ServerUrl()), gate_(PortsOf(server_)) {
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
    return timings;
  }

  absl::StatusOr<std::unique_ptr<Broker>> Open(const BrokerOptions& options,
                                               Clock& clock) override {
    BrokerOptions small = options;
    // Epochs change often enough for the suite to see it.
    small.settings.emplace("amqp.snapshot_records", "500");
    return OpenRabbitmqBroker(url_, small, clock);
  }

  // All nodes are killed and started again; a broker of somebody else's only loses connections.
  void RestartServer() override {
    gate_.SetOpen(false);
    if (IsOwn()) Script("restart");
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
