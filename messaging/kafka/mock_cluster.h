// librdkafka's mock cluster, of one broker in this process, with one topic: for tests alone.
#ifndef MARQUEE_MESSAGING_KAFKA_MOCK_CLUSTER_H_
#define MARQUEE_MESSAGING_KAFKA_MOCK_CLUSTER_H_

#include <memory>
#include <string>

#include "base/status.h"
#include "librdkafka/rdkafka_mock.h"
#include "messaging/kafka/client.h"

namespace marquee::messaging::kafka {

class MockCluster {
 public:
  MockCluster(const std::string& topic, int shards)
      : client_(Client::Open(RD_KAFKA_PRODUCER, {{"bootstrap.servers", "unused:1"}}, {}).value()),
        cluster_(rd_kafka_mock_cluster_new(client_->handle(), 1)) {
    MARQUEE_CHECK(rd_kafka_mock_topic_create(cluster_, topic.c_str(), shards, 1) ==
                  RD_KAFKA_RESP_ERR_NO_ERROR);
  }
  ~MockCluster() { rd_kafka_mock_cluster_destroy(cluster_); }
  MockCluster(const MockCluster&) = delete;
  MockCluster& operator=(const MockCluster&) = delete;

  rd_kafka_mock_cluster_t* get() { return cluster_; }
  std::string servers() const { return rd_kafka_mock_cluster_bootstraps(cluster_); }

 private:
  const std::unique_ptr<Client> client_;  // lends it its threads
  rd_kafka_mock_cluster_t* const cluster_;
};

}  // namespace marquee::messaging::kafka

#endif  // MARQUEE_MESSAGING_KAFKA_MOCK_CLUSTER_H_
