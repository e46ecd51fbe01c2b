// A real Kafka cluster for tests: one of script/kafka's, or the broker of one's own that
// MARQUEE_TEST_KAFKA names. Aborts where the script fails: a test that cannot run must not pass.
//
// Threads: one.
#ifndef MARQUEE_MESSAGING_KAFKA_TEST_CLUSTER_H_
#define MARQUEE_MESSAGING_KAFKA_TEST_CLUSTER_H_

#include <sys/types.h>

#include <string>
#include <vector>

namespace marquee::messaging::kafka {

class TestCluster {
 public:
  // Started where it does not run; left running for the next test.
  explicit TestCluster(int nodes);
  // As many nodes as MARQUEE_TEST_KAFKA_NODES says, 1 where it does not.
  static int NodesWanted();

  const std::string& url() const { return url_; }
  int nodes() const { return nodes_; }
  // Of one's own: nothing of it is killed, stopped or deleted.
  bool is_foreign() const { return foreign_; }

  void Kill(int node);  // as kill -9
  // Kills a node with kill -9, another each time, and starts it; returns when all answer and are in
  // sync.
  void Restart();
  void Start();  // what does not run
  // All nodes stand still (SIGSTOP) until Resume, which returns when they answer.
  void Freeze();
  void Resume();
  // One of Kafka's own tools: its arguments after the bootstrap server's.
  std::string Tool(const std::vector<std::string>& arguments);

 private:
  std::string Script(const std::vector<std::string>& arguments, bool may_fail = false);
  std::vector<pid_t> Signal(int signal);

  const int nodes_;
  const bool foreign_;
  std::string url_;
  int doomed_ = 0;  // the node that was killed last
};

}  // namespace marquee::messaging::kafka

#endif  // MARQUEE_MESSAGING_KAFKA_TEST_CLUSTER_H_
