#include "messaging/rabbitmq/fields.h"

#include <fmt/format.h>

#include <limits>
#include <utility>

#include "absl/strings/numbers.h"

namespace marquee::messaging::rabbitmq {

amqp_bytes_t Bytes(std::string_view text) { return {text.size(), const_cast<char*>(text.data())}; }

std::string Text(const amqp_bytes_t& bytes) {
  return {static_cast<const char*>(bytes.bytes), bytes.len};
}

amqp_table_entry_t TextEntry(const char* key, std::string_view value) {
  amqp_table_entry_t entry{};
  entry.key = amqp_cstring_bytes(key);
  entry.value.kind = AMQP_FIELD_KIND_UTF8;
  entry.value.value.bytes = Bytes(value);
  return entry;
}

amqp_table_entry_t NumberEntry(const char* key, int64_t value) {
  amqp_table_entry_t entry{};
  entry.key = amqp_cstring_bytes(key);
  entry.value.kind = AMQP_FIELD_KIND_I64;
  entry.value.value.i64 = value;
  return entry;
}

amqp_table_entry_t FlagEntry(const char* key) {
  amqp_table_entry_t entry{};
  entry.key = amqp_cstring_bytes(key);
  entry.value.kind = AMQP_FIELD_KIND_BOOLEAN;
  entry.value.value.boolean = 1;
  return entry;
}

amqp_table_t Table(std::vector<amqp_table_entry_t>& entries) {
  return {static_cast<int>(entries.size()), entries.data()};
}

int64_t StreamOffsetOf(const amqp_basic_properties_t& properties) {
  if ((properties._flags & AMQP_BASIC_HEADERS_FLAG) == 0) return -1;
  for (int i = 0; i < properties.headers.num_entries; ++i) {
    const amqp_table_entry_t& entry = properties.headers.entries[i];
    if (Text(entry.key) != "x-stream-offset") continue;
    if (entry.value.kind == AMQP_FIELD_KIND_I64) return entry.value.value.i64;
    if (entry.value.kind == AMQP_FIELD_KIND_I32) return entry.value.value.i32;
  }
  return -1;
}

namespace {

// Of a time in milliseconds.
constexpr uint64_t kSecondsMax = std::numeric_limits<int64_t>::max() / 1000;

// A header's value as text, where it is of a kind that has one.
std::optional<std::string> TextOf(const amqp_field_value_t& value) {
  switch (value.kind) {
    case AMQP_FIELD_KIND_UTF8:
    case AMQP_FIELD_KIND_BYTES:
      return Text(value.value.bytes);
    case AMQP_FIELD_KIND_BOOLEAN:
      return value.value.boolean != 0 ? "true" : "false";
    case AMQP_FIELD_KIND_I8:
      return fmt::to_string(value.value.i8);
    case AMQP_FIELD_KIND_I16:
      return fmt::to_string(value.value.i16);
    case AMQP_FIELD_KIND_I32:
      return fmt::to_string(value.value.i32);
    case AMQP_FIELD_KIND_I64:
      return fmt::to_string(value.value.i64);
    case AMQP_FIELD_KIND_U8:
      return fmt::to_string(value.value.u8);
    case AMQP_FIELD_KIND_U16:
      return fmt::to_string(value.value.u16);
    case AMQP_FIELD_KIND_U32:
      return fmt::to_string(value.value.u32);
    case AMQP_FIELD_KIND_U64:
    case AMQP_FIELD_KIND_TIMESTAMP:
      return fmt::to_string(value.value.u64);
    default:
      return std::nullopt;
  }
}

}  // namespace

std::optional<PlainProperties> PlainOf(const amqp_basic_properties_t& properties) {
  bool has_type = (properties._flags & AMQP_BASIC_CONTENT_TYPE_FLAG) != 0;
  if (has_type && Text(properties.content_type) == kPackContentType) return std::nullopt;
  PlainProperties plain;
  if ((properties._flags & AMQP_BASIC_MESSAGE_ID_FLAG) != 0) {
    plain.message_id = Text(properties.message_id);
  }
  if ((properties._flags & AMQP_BASIC_TIMESTAMP_FLAG) != 0 && properties.timestamp <= kSecondsMax) {
    plain.published_ms = static_cast<int64_t>(properties.timestamp) * 1000;
  }
  bool has_headers = (properties._flags & AMQP_BASIC_HEADERS_FLAG) != 0;
  for (int i = 0; has_headers && i < properties.headers.num_entries; ++i) {
    const amqp_table_entry_t& entry = properties.headers.entries[i];
    std::string name = Text(entry.key);
    std::optional<std::string> value = TextOf(entry.value);
    int64_t time_ms = 0;
    if (!value.has_value() || name.starts_with("x-")) continue;
    if (name == kKeyHeader) {
      plain.key = *std::move(value);
    } else if (name == kDeletedHeader) {
      plain.deleted = *value == "true" || *value == "1";
    } else if (name != kTimeHeader) {
      plain.headers.emplace_back(std::move(name), *std::move(value));
    } else if (absl::SimpleAtoi(*value, &time_ms)) {
      plain.published_ms = time_ms;
    }
  }
  return plain;
}

std::vector<amqp_table_entry_t> HeadersOf(const PlainProperties& plain) {
  std::vector<amqp_table_entry_t> headers;
  headers.reserve(3 + plain.headers.size());
  headers.push_back(TextEntry(kKeyHeader, plain.key));
  if (plain.published_ms.has_value()) {
    headers.push_back(NumberEntry(kTimeHeader, *plain.published_ms));
  }
  if (plain.deleted) headers.push_back(FlagEntry(kDeletedHeader));
  for (const auto& [name, value] : plain.headers) {
    headers.push_back(TextEntry(name.c_str(), value));
  }
  return headers;
}

}  // namespace marquee::messaging::rabbitmq
