#include "messaging/kafka/admin.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/status.h"
#include "messaging/kafka/errors.h"

namespace marquee::messaging::kafka {
namespace {

constexpr absl::Duration kPauseMin = absl::Milliseconds(20);
constexpr absl::Duration kPauseMax = absl::Milliseconds(500);
// One request waits no longer than this for its answer: another broker may answer the next.
constexpr absl::Duration kRequestMax = absl::Seconds(5);
constexpr absl::Duration kRequestMin = absl::Milliseconds(100);
// One that asks for all topics does not look whether the client was refused.
constexpr absl::Duration kMetadataRequestMax = absl::Seconds(1);
// How often a wait looks whether the client was refused.
constexpr int kLookMs = 20;

int Milliseconds(absl::Duration duration) {
  return static_cast<int>(absl::ToInt64Milliseconds(duration));
}

absl::Status SetTimeout(rd_kafka_AdminOptions_t* options, absl::Duration timeout) {
  char text[256];
  if (rd_kafka_AdminOptions_set_request_timeout(options, Milliseconds(timeout), text,
                                                sizeof text) != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return absl::InvalidArgumentError(text);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Admin>> Admin::Open(const KafkaSettings& settings,
                                                   absl::Duration deadline, Clock& clock) {
  MARQUEE_ASSIGN_OR_RETURN(
      std::unique_ptr<Client> client,
      Client::Open(RD_KAFKA_PRODUCER, CommonConfig(settings, "marquee-admin"), {}));
  return std::unique_ptr<Admin>(new Admin(std::move(client), deadline, clock));
}

absl::StatusOr<EventPtr> Admin::Await(rd_kafka_queue_t* queue, std::string_view what,
                                      absl::Duration timeout) {
  absl::Duration give_up = clock_.Uptime() + timeout + kRequestMin;
  while (true) {
    EventPtr event(rd_kafka_queue_poll(queue, kLookMs));
    client_->Serve();
    if (event != nullptr) {
      rd_kafka_resp_err_t error = rd_kafka_event_error(event.get());
      if (error == RD_KAFKA_RESP_ERR_NO_ERROR) return event;
      MARQUEE_RETURN_IF_ERROR(client_->Refusal());
      return StatusOf(error, what, rd_kafka_event_error_string(event.get()));
    }
    MARQUEE_RETURN_IF_ERROR(client_->Refusal());
    if (clock_.Uptime() >= give_up)
      return absl::UnavailableError(fmt::format("{}: no answer from the brokers", what));
  }
}

absl::StatusOr<EventPtr> Admin::Try(rd_kafka_admin_op_t op, std::string_view what, const Send& send,
                                    absl::Duration timeout) {
  QueuePtr queue(rd_kafka_queue_new(client_->handle()));
  OptionsPtr options(rd_kafka_AdminOptions_new(client_->handle(), op));
  MARQUEE_RETURN_IF_ERROR(SetTimeout(options.get(), timeout));
  send(client_->handle(), options.get(), queue.get());
  return Await(queue.get(), what, timeout);
}

absl::Status Admin::Retry(const std::function<absl::Status()>& attempt) {
  absl::Duration begin = clock_.Uptime(), pause = kPauseMin;
  while (true) {
    absl::Status status = attempt();
    if (!absl::IsUnavailable(status)) return status;
    absl::Duration left = begin + deadline_ - clock_.Uptime();
    if (left <= absl::ZeroDuration()) {
      return absl::DeadlineExceededError(
          fmt::format("waited {} for the Kafka brokers: {}{}", absl::FormatDuration(deadline_),
                      std::string(status.message()), client_->LastHeard()));
    }
    clock_.SleepFor(std::min(pause, left));
    pause = std::min(2 * pause, kPauseMax);
  }
}

absl::StatusOr<EventPtr> Admin::Call(rd_kafka_admin_op_t op, std::string_view what,
                                     const Send& send, std::optional<absl::Duration> timeout) {
  if (timeout) return Try(op, what, send, *timeout);
  absl::Duration begin = clock_.Uptime();
  EventPtr event;
  absl::Status retried = Retry([&]() -> absl::Status {
    absl::Duration left = begin + deadline_ - clock_.Uptime();
    absl::StatusOr<EventPtr> result =
        Try(op, what, send, std::clamp(left, kRequestMin, kRequestMax));
    if (!result.ok()) return result.status();
    event = *std::move(result);
    return absl::OkStatus();
  });
  if (!retried.ok()) return retried;
  return event;
}

absl::StatusOr<std::vector<EventPtr>> Admin::CallAll(std::string_view what,
                                                     const std::vector<Order>& orders) {
  absl::Duration begin = clock_.Uptime();
  std::vector<EventPtr> events;
  absl::Status retried = Retry([&]() -> absl::Status {
    events.clear();
    absl::Duration timeout =
        std::clamp(begin + deadline_ - clock_.Uptime(), kRequestMin, kRequestMax);
    std::vector<QueuePtr> queues;
    for (const Order& order : orders) {
      queues.emplace_back(rd_kafka_queue_new(client_->handle()));
      OptionsPtr options(rd_kafka_AdminOptions_new(client_->handle(), order.op));
      MARQUEE_RETURN_IF_ERROR(SetTimeout(options.get(), timeout));
      order.send(client_->handle(), options.get(), queues.back().get());
    }
    for (QueuePtr& queue : queues) {
      MARQUEE_ASSIGN_OR_RETURN(EventPtr event, Await(queue.get(), what, timeout));
      events.push_back(std::move(event));
    }
    return absl::OkStatus();
  });
  if (!retried.ok()) return retried;
  return events;
}

absl::StatusOr<std::vector<int32_t>> Admin::Brokers() {
  MARQUEE_ASSIGN_OR_RETURN(
      EventPtr event,
      Call(RD_KAFKA_ADMIN_OP_DESCRIBECLUSTER, "which brokers there are",
           [](rd_kafka_t* handle, rd_kafka_AdminOptions_t* options, rd_kafka_queue_t* queue) {
             rd_kafka_DescribeCluster(handle, options, queue);
           }));
  size_t count = 0;
  const rd_kafka_Node_t** nodes = rd_kafka_DescribeCluster_result_nodes(
      rd_kafka_event_DescribeCluster_result(event.get()), &count);
  std::vector<int32_t> ids;
  for (size_t i = 0; i < count; ++i) ids.push_back(rd_kafka_Node_id(nodes[i]));
  return ids;
}

absl::StatusOr<std::vector<std::string>> Admin::TopicNames() {
  std::vector<std::string> names;
  absl::Status asked = Retry([&]() -> absl::Status {
    const rd_kafka_metadata_t* metadata = nullptr;
    rd_kafka_resp_err_t error = rd_kafka_metadata(client_->handle(), 1, nullptr, &metadata,
                                                  Milliseconds(kMetadataRequestMax));
    client_->Serve();
    MARQUEE_RETURN_IF_ERROR(client_->Refusal());
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return StatusOf(error, "which topics there are");
    for (int i = 0; i < metadata->topic_cnt; ++i) names.emplace_back(metadata->topics[i].topic);
    rd_kafka_metadata_destroy(metadata);
    return absl::OkStatus();
  });
  if (!asked.ok()) return asked;
  return names;
}

}  // namespace marquee::messaging::kafka
