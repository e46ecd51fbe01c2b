#include "messaging/kafka/delivery_queue.h"

#include <utility>

#include "base/status.h"

namespace marquee::messaging::kafka {
namespace {

constexpr size_t kMessagesMax = 8'192;

std::string_view View(const void* bytes, size_t size) {
  return bytes == nullptr ? std::string_view("")
                          : std::string_view(static_cast<const char*>(bytes), size);
}

}  // namespace

DeliveryQueue::DeliveryQueue() : messages_(kMessagesMax) {}

DeliveryQueue::~DeliveryQueue() { Clear(); }

void DeliveryQueue::Clear() {
  portions_.clear();
  first_ = 0;
  headers_.clear();
  for (size_t i = 0; i < taken_; ++i) rd_kafka_message_destroy(messages_[i]);
  taken_ = 0;
}

void DeliveryQueue::Fill(Fetcher& fetcher) {
  MARQUEE_CHECK(empty());
  Clear();
  taken_ = fetcher.Take(messages_);
  const rd_kafka_topic_t* topic = nullptr;
  int32_t partition = -1;
  const TopicShard* shard = nullptr;
  for (size_t i = 0; i < taken_; ++i) {
    rd_kafka_message_t* message = messages_[i];
    if (message->rkt != topic || message->partition != partition) {
      topic = message->rkt;
      partition = message->partition;
      shard = fetcher.ShardOf(*message);
    }
    if (shard != nullptr) Add(*shard, message);
  }
}

Portion& DeliveryQueue::PortionOf(const TopicShard& shard) {
  if (!portions_.empty() && portions_.back().shard == shard &&
      portions_.back().error == RD_KAFKA_RESP_ERR_NO_ERROR) {
    return portions_.back();
  }
  for (auto portion = portions_.rbegin(); portion != portions_.rend(); ++portion) {
    if (portion->shard != shard) continue;
    if (portion->error == RD_KAFKA_RESP_ERR_NO_ERROR) return *portion;
    break;
  }
  portions_.push_back({.shard = shard, .records = {}, .next = std::nullopt, .error_text = {}});
  return portions_.back();
}

void DeliveryQueue::Add(const TopicShard& shard, rd_kafka_message_t* message) {
  Portion& portion = PortionOf(shard);
  if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
    portion.next = Offset(message->offset);
    return;
  }
  if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
    portion.error = message->err;
    portion.error_text = rd_kafka_message_errstr(message);
    return;
  }
  Record record;
  record.key = View(message->key, message->key_len);
  if (message->payload != nullptr) record.value = View(message->payload, message->len);
  record.headers = HeadersOf(message);
  record.offset = Offset(message->offset);
  rd_kafka_timestamp_type_t type;
  record.published = absl::FromUnixMillis(rd_kafka_message_timestamp(message, &type));
  portion.next = record.offset.next();
  portion.records.push_back(record);
}

std::span<const Header> DeliveryQueue::HeadersOf(rd_kafka_message_t* message) {
  rd_kafka_headers_t* list = nullptr;
  if (rd_kafka_message_headers(message, &list) != RD_KAFKA_RESP_ERR_NO_ERROR) return {};
  size_t count = rd_kafka_header_cnt(list);
  if (count == 0) return {};
  std::vector<Header>& headers = headers_.emplace_back();
  headers.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    const char* name = nullptr;
    const void* value = nullptr;
    size_t size = 0;
    if (rd_kafka_header_get_all(list, i, &name, &value, &size) != RD_KAFKA_RESP_ERR_NO_ERROR) break;
    headers.push_back({name, View(value, size)});
  }
  return headers;
}

void DeliveryQueue::Drop(const TopicShard& shard) {
  for (size_t i = first_; i < portions_.size(); ++i) {
    if (portions_[i].shard == shard) portions_[i].shard.topic.clear();
  }
}

}  // namespace marquee::messaging::kafka
