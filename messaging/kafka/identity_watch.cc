#include "messaging/kafka/identity_watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "messaging/kafka/topics.h"

namespace marquee::messaging::kafka {
namespace {

constexpr absl::Duration kInterval = absl::Seconds(1);
constexpr int kRequestTimeoutMs = 5'000;

}  // namespace

TopicIdentity IdentityOf(const rd_kafka_Uuid_t* id) {
  std::string text = rd_kafka_Uuid_base64str(id);
  std::replace(text.begin(), text.end(), '+', '-');
  std::replace(text.begin(), text.end(), '/', '_');
  return text;
}

absl::Status IdentityWatch::Look(const std::map<std::string, Watched>& topics,
                                 std::set<std::string>* suspects) {
  absl::Status status;
  if (answer_ != nullptr) {
    EventPtr event(rd_kafka_queue_poll(answer_.get(), 0));
    if (event != nullptr) {
      answer_.reset();
      // A question that failed is asked again.
      if (rd_kafka_event_error(event.get()) == RD_KAFKA_RESP_ERR_NO_ERROR)
        status = Judge(event.get(), topics, suspects);
    }
  }
  absl::Duration now = admin_.clock().Uptime();
  if (answer_ == nullptr && !topics.empty() && now - asked_at_ >= kInterval) {
    asked_at_ = now;
    Ask(topics);
  }
  return status;
}

void IdentityWatch::Ask(const std::map<std::string, Watched>& topics) {
  std::vector<const char*> names;
  names.reserve(topics.size());
  for (const auto& [name, watched] : topics) names.push_back(name.c_str());
  rd_kafka_t* handle = admin_.client().handle();
  answer_.reset(rd_kafka_queue_new(handle));
  OptionsPtr options(rd_kafka_AdminOptions_new(handle, RD_KAFKA_ADMIN_OP_DESCRIBETOPICS));
  char text[256];
  (void)rd_kafka_AdminOptions_set_request_timeout(options.get(), kRequestTimeoutMs, text,
                                                  sizeof text);
  rd_kafka_TopicCollection_t* collection =
      rd_kafka_TopicCollection_of_topic_names(names.data(), names.size());
  rd_kafka_DescribeTopics(handle, collection, options.get(), answer_.get());
  rd_kafka_TopicCollection_destroy(collection);
}

absl::Status IdentityWatch::Judge(rd_kafka_event_t* event,
                                  const std::map<std::string, Watched>& topics,
                                  std::set<std::string>* suspects) const {
  size_t count = 0;
  const rd_kafka_TopicDescription_t** found =
      rd_kafka_DescribeTopics_result_topics(rd_kafka_event_DescribeTopics_result(event), &count);
  for (size_t i = 0; i < count; ++i) {
    std::string name = rd_kafka_TopicDescription_name(found[i]);
    auto watched = topics.find(name);
    if (watched == topics.end()) continue;  // not read any more since it was asked
    rd_kafka_resp_err_t error = rd_kafka_error_code(rd_kafka_TopicDescription_error(found[i]));
    if (error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) suspects->insert(name);
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) continue;
    if (IdentityOf(rd_kafka_TopicDescription_topic_id(found[i])) != watched->second.identity) {
      suspects->insert(name);
      continue;
    }
    size_t shards = 0;
    (void)rd_kafka_TopicDescription_partitions(found[i], &shards);
    if (shards != watched->second.shards) {
      return absl::FailedPreconditionError(fmt::format(
          "topic {}: expected {} shards, found {}; somebody has added partitions, and keys are in "
          "other shards now: declare another topic and replay into it",
          name, watched->second.shards, shards));
    }
  }
  return absl::OkStatus();
}

}  // namespace marquee::messaging::kafka
