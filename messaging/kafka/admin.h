// Questions and orders to the cluster, each waited for until a deadline. One client, shared by all
// that a broker makes.
//
// Threads: any.
// Errors: what may pass is tried again until the deadline, then kDeadlineExceeded, which says what
// was waited for; a refusal of the client (password, certificate) is told at once.
#ifndef MARQUEE_MESSAGING_KAFKA_ADMIN_H_
#define MARQUEE_MESSAGING_KAFKA_ADMIN_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "messaging/kafka/client.h"
#include "messaging/kafka/handle.h"

namespace marquee::messaging::kafka {

class Admin {
 public:
  // `clock` outlives it.
  static absl::StatusOr<std::unique_ptr<Admin>> Open(const KafkaSettings& settings,
                                                     absl::Duration deadline, Clock& clock);

  using Send = std::function<void(rd_kafka_t*, rd_kafka_AdminOptions_t*, rd_kafka_queue_t*)>;
  // Sends with `send`, and again after an error of the whole call that may pass. `what` begins the
  // message of an error: "topic ratings". With a timeout there is one try (then kUnavailable).
  absl::StatusOr<EventPtr> Call(rd_kafka_admin_op_t op, std::string_view what, const Send& send,
                                std::optional<absl::Duration> timeout = std::nullopt);

  // Sends all of `calls` at once, and waits for each of them.
  struct Order {
    rd_kafka_admin_op_t op;
    Send send;
  };
  absl::StatusOr<std::vector<EventPtr>> CallAll(std::string_view what,
                                                const std::vector<Order>& orders);
  // One try of CallAll.
  absl::StatusOr<std::vector<EventPtr>> TryAll(std::string_view what,
                                               const std::vector<Order>& orders,
                                               absl::Duration timeout);

  // The ids of the brokers that run, as one of them knows.
  absl::StatusOr<std::vector<int32_t>> Brokers();
  // All topics' names.
  absl::StatusOr<std::vector<std::string>> TopicNames();

  // Calls `attempt` until it is not kUnavailable, with growing pauses, until the deadline.
  absl::Status Retry(const std::function<absl::Status()>& attempt);

  Client& client() { return *client_; }
  Clock& clock() { return clock_; }
  absl::Duration deadline() const { return deadline_; }

 private:
  Admin(std::unique_ptr<Client> client, absl::Duration deadline, Clock& clock)
      : client_(std::move(client)), deadline_(deadline), clock_(clock) {}

  // One try of Call.
  absl::StatusOr<EventPtr> Try(rd_kafka_admin_op_t op, std::string_view what, const Send& send,
                               absl::Duration timeout);
  absl::StatusOr<EventPtr> Await(rd_kafka_queue_t* queue, std::string_view what,
                                 absl::Duration timeout);

  const std::unique_ptr<Client> client_;
  const absl::Duration deadline_;
  Clock& clock_;
};

}  // namespace marquee::messaging::kafka

#endif  // MARQUEE_MESSAGING_KAFKA_ADMIN_H_
