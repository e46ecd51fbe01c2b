#include "messaging/kafka/pack_message.h"

#include <fmt/format.h>

#include "base/status.h"
#include "messaging/packed_log.h"

namespace marquee::messaging::kafka {
namespace {

// Of the header, where it is there.
std::optional<std::string_view> HeaderOf(const rd_kafka_message_t& message) {
  rd_kafka_headers_t* headers = nullptr;
  const void* value = nullptr;
  size_t size = 0;
  if (rd_kafka_message_headers(&message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR ||
      rd_kafka_header_get_last(headers, kPackHeader.name.data(), &value, &size) !=
          RD_KAFKA_RESP_ERR_NO_ERROR) {
    return std::nullopt;
  }
  return std::string_view(static_cast<const char*>(value), value == nullptr ? 0 : size);
}

absl::Status AddTo(PackDecoder* decoder, const rd_kafka_message_t& message) {
  std::string_view form = HeaderOf(message).value_or("");
  if (form != kPackHeader.value) {
    return absl::DataLossError(
        fmt::format("header {}: expected {}, which this program reads, found '{}'",
                    kPackHeader.name, kPackHeader.value, form));
  }
  return decoder->Add(ValueOf(message), FirstOffsetOf(message.offset),
                      FirstOffsetOf(message.offset + 1));
}

}  // namespace

std::string_view ValueOf(const rd_kafka_message_t& message) {
  return message.payload == nullptr
             ? std::string_view("")
             : std::string_view(static_cast<const char*>(message.payload), message.len);
}

bool IsPack(const rd_kafka_message_t& message) {
  return message.key == nullptr && HeaderOf(message).has_value();
}

absl::Status Unpack(const rd_kafka_message_t& message, const TopicShard& shard,
                    PackDecoder* decoder) {
  absl::Status status = AddTo(decoder, message);
  if (status.ok()) return status;
  return Annotate(status,
                  fmt::format("{}/{} at offset {}, Kafka's {}", shard.topic, shard.shard.value(),
                              FirstOffsetOf(message.offset).value(), message.offset));
}

}  // namespace marquee::messaging::kafka
