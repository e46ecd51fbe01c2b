// The conformance suite on Kafka: on one node, or on three with replication 3 and
// min.insync.replicas 2 (MARQUEE_TEST_KAFKA_NODES); with MARQUEE_TEST_KAFKA_PACK=on every
// publisher, also in other processes, publishes packs to event topics.
#include "messaging/conformance/conformance.h"

#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/status.h"
#include "messaging/kafka/kafka_broker.h"
#include "messaging/kafka/test_cluster.h"

namespace marquee::messaging {
namespace {

absl::StatusOr<std::unique_ptr<Broker>> OpenAsAsked(std::string_view url,
                                                    const BrokerOptions& options, Clock& clock) {
  BrokerOptions ours = options;
  if (const char* pack = std::getenv("MARQUEE_TEST_KAFKA_PACK"); pack != nullptr)
    ours.settings["kafka.pack"] = pack;
  return OpenKafkaBroker(url, ours, clock);
}

class KafkaBackend final : public conformance::Backend {
 public:
  KafkaBackend() : cluster_(kafka::TestCluster::NodesWanted()) {}
  ~KafkaBackend() override {
    if (frozen_) cluster_.Resume();
    if (!cluster_.is_foreign()) DeleteTopics();
  }

  conformance::Timings timings() const override {
    conformance::Timings timings;
    // A member does several things between two polls that ask the brokers, and a rebalance takes
    // two rounds.
    timings.session_timeout = absl::Seconds(3);
    // The first group of a cluster waits until its coordinator's topic was made; a node that was
    // killed takes a minute to come back on a machine that does other work.
    timings.settle = absl::Seconds(60);
    timings.soon = absl::Seconds(60);
    return timings;
  }

  absl::StatusOr<std::unique_ptr<Broker>> Open(const BrokerOptions& options,
                                               Clock& clock) override {
    BrokerOptions ours = options;
    // What is written is compacted but for the newest segment, which must be closed first.
    ours.settings["kafka.segment_seconds"] = "1";
    return OpenAsAsked(cluster_.url(), ours, clock);
  }

  void RestartServer() override { cluster_.Restart(); }

  void SetReachable(bool reachable) override {
    if (reachable == !frozen_) return;
    frozen_ = !reachable;
    if (frozen_) {
      cluster_.Freeze();
    } else {
      cluster_.Resume();
    }
  }

  std::unique_ptr<conformance::Peer> SpawnPeer(const conformance::PeerScript& script) override {
    return conformance::SpawnProcess(cluster_.url(), script);
  }

 private:
  // A cluster with thousands of shards takes long to restart.
  void DeleteTopics() {
    SystemClock clock;
    absl::StatusOr<std::unique_ptr<Broker>> broker = OpenKafkaBroker(cluster_.url(), {}, clock);
    if (!broker.ok()) return;
    absl::StatusOr<std::vector<TopicInfo>> topics = (*broker)->ListTopics();
    if (!topics.ok()) return;
    for (const TopicInfo& topic : *topics) (void)(*broker)->DeleteTopic(topic.spec.name);
  }

  kafka::TestCluster cluster_;
  bool frozen_ = false;
};

}  // namespace
}  // namespace marquee::messaging

int main(int argc, char** argv) {
  using marquee::messaging::KafkaBackend;
  using marquee::messaging::OpenAsAsked;
  namespace conformance = marquee::messaging::conformance;
  conformance::Suite suite;
  suite.make_backend = [] { return std::make_unique<KafkaBackend>(); };
  suite.open = OpenAsAsked;
  return conformance::ConformanceMain(argc, argv, suite);
}
