#include "messaging/kafka/delivery_queue.h"

#include <utility>

#include "base/status.h"
#include "messaging/kafka/pack_message.h"

namespace marquee::messaging::kafka {
namespace {

constexpr size_t kMessagesMax = 8'192;

std::string_view KeyOf(const rd_kafka_message_t& message) {
  return message.key == nullptr
             ? std::string_view("")
             : std::string_view(static_cast<const char*>(message.key), message.key_len);
}

// Whether the message may come behind those of the portion.
bool Fits(const Portion& portion, const rd_kafka_message_t& message, bool is_pack) {
  if (portion.error != RD_KAFKA_RESP_ERR_NO_ERROR) return false;
  if (message.err != RD_KAFKA_RESP_ERR_NO_ERROR) return true;
  if (!is_pack) return portion.packs.empty();
  return portion.records.empty() &&
         (portion.packs.empty() ||
          portion.pack_bytes + PackRawBytes(ValueOf(message)) <= kUnpackedBytesMax);
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
  const Source* source = nullptr;
  Portion* portion = nullptr;
  for (size_t i = 0; i < taken_; ++i) {
    rd_kafka_message_t* message = messages_[i];
    if (message->rkt != topic || message->partition != partition) {
      topic = message->rkt;
      partition = message->partition;
      source = fetcher.SourceOf(*message);
      if (source != nullptr) portion = &PortionOf(*source);
    }
    if (source == nullptr) continue;
    bool is_pack = message->err == RD_KAFKA_RESP_ERR_NO_ERROR &&
                   source->kind == TopicKind::kEvent && IsPack(*message);
    if (!Fits(*portion, *message, is_pack)) portion = &NewPortion(*source);
    Add(*portion, message, is_pack);
  }
}

Portion& DeliveryQueue::PortionOf(const Source& source) {
  for (size_t i = used_; i > 0; --i) {
    if (portions_[i - 1].source.shard == source.shard) return portions_[i - 1];
  }
  return NewPortion(source);
}

Portion& DeliveryQueue::NewPortion(const Source& source) {
  if (used_ == portions_.size()) portions_.emplace_back();
  Portion& portion = portions_[used_++];
  portion.source = source;
  portion.records.clear();
  portion.packs.clear();
  portion.pack_bytes = 0;
  portion.first.reset();
  portion.messages = 0;
  portion.next.reset();
  portion.error = RD_KAFKA_RESP_ERR_NO_ERROR;
  portion.error_text.clear();
  return portion;
}

void DeliveryQueue::Add(Portion& portion, rd_kafka_message_t* message, bool is_pack) {
  if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
    portion.next = KafkaOffset(message->offset);
    return;
  }
  if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
    portion.error = message->err;
    portion.error_text = rd_kafka_message_errstr(message);
    return;
  }
  KafkaOffset offset(message->offset);
  if (!portion.first) portion.first = offset;
  portion.next = offset.next();
  ++portion.messages;
  if (is_pack) {
    portion.packs.push_back(message);
    portion.pack_bytes += PackRawBytes(ValueOf(*message));
    return;
  }
  Record& record = portion.records.emplace_back();
  record.key = KeyOf(*message);
  if (message->payload != nullptr) record.value = ValueOf(*message);
  // librdkafka allocates, even to find that there is none.
  if (wants_headers_) record.headers = HeadersOf(message);
  record.offset = FromKafka(portion.source.kind, offset);
  rd_kafka_timestamp_type_t type;
  record.published = absl::FromUnixMillis(rd_kafka_message_timestamp(message, &type));
}

Unpacked DeliveryQueue::Unpack(const Portion& portion) {
  Unpacked all{
      .records = portion.records, .messages = portion.messages, .next = portion.next, .damage = {}};
  if (portion.packs.empty()) return all;
  all.messages = 0;
  decoder_.Clear();
  for (const rd_kafka_message_t* message : portion.packs) {
    all.damage = kafka::Unpack(*message, portion.source.shard, &decoder_);
    if (!all.damage.ok()) {
      all.next = KafkaOffset(message->offset);
      break;
    }
    ++all.messages;
  }
  all.records = decoder_.records();
  return all;
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
    headers.push_back(
        {name,
         {static_cast<const char*>(value == nullptr ? "" : value), value == nullptr ? 0 : size}});
  }
  return headers;
}

void DeliveryQueue::Drop(const TopicShard& shard) {
  for (size_t i = first_; i < used_; ++i) {
    if (portions_[i].source.shard == shard) portions_[i].source.shard.topic.clear();
  }
}

}  // namespace marquee::messaging::kafka
