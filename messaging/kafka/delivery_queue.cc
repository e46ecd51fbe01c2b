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

DeliveryQueue::DeliveryQueue(bool headers) : wants_headers_(headers), messages_(kMessagesMax) {}

DeliveryQueue::~DeliveryQueue() { Clear(); }

void DeliveryQueue::Clear() {
  first_ = used_ = 0;
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
  Portion* portion = nullptr;
  for (size_t i = 0; i < taken_; ++i) {
    rd_kafka_message_t* message = messages_[i];
    bool same_shard = message->rkt == topic && message->partition == partition;
    if (!same_shard) {
      topic = message->rkt;
      partition = message->partition;
      shard = fetcher.ShardOf(*message);
    }
    if (shard == nullptr) continue;
    if (!same_shard || portion->error != RD_KAFKA_RESP_ERR_NO_ERROR) portion = &PortionOf(*shard);
    Add(*portion, message);
  }
}

Portion& DeliveryQueue::PortionOf(const TopicShard& shard) {
  for (size_t i = used_; i > 0; --i) {
    Portion& portion = portions_[i - 1];
    if (portion.shard != shard) continue;
    if (portion.error == RD_KAFKA_RESP_ERR_NO_ERROR) return portion;
    break;
  }
  if (used_ == portions_.size()) portions_.emplace_back();
  Portion& portion = portions_[used_++];
  portion.shard = shard;
  portion.records.clear();
  portion.next.reset();
  portion.error = RD_KAFKA_RESP_ERR_NO_ERROR;
  portion.error_text.clear();
  return portion;
}

void DeliveryQueue::Add(Portion& portion, rd_kafka_message_t* message) {
  if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
    portion.next = Offset(message->offset);
    return;
  }
  if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
    portion.error = message->err;
    portion.error_text = rd_kafka_message_errstr(message);
    return;
  }
  Record& record = portion.records.emplace_back();
  record.key = View(message->key, message->key_len);
  if (message->payload != nullptr) record.value = View(message->payload, message->len);
  // librdkafka allocates, even to find that there is none.
  if (wants_headers_) record.headers = HeadersOf(message);
  record.offset = Offset(message->offset);
  rd_kafka_timestamp_type_t type;
  record.published = absl::FromUnixMillis(rd_kafka_message_timestamp(message, &type));
  portion.next = record.offset.next();
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
  for (size_t i = first_; i < used_; ++i) {
    if (portions_[i].shard == shard) portions_[i].shard.topic.clear();
  }
}

}  // namespace marquee::messaging::kafka
