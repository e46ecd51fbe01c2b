#include "messaging/rabbitmq/plain.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "absl/time/time.h"
#include "messaging/broker.h"

namespace marquee::messaging::rabbitmq {
namespace {

constexpr size_t kHeaderNameMax = 128;
constexpr size_t kHeaderBytesMax = 32 << 10;
constexpr size_t kIdPartDigits = 16;

bool IsPrintable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

bool CanBeHeader(const Header& header) {
  return !header.name.empty() && header.name.size() <= kHeaderNameMax && IsPrintable(header.name) &&
         IsPrintable(header.value) && !header.name.starts_with("marquee-") &&
         !header.name.starts_with("x-");
}

// FNV-1a.
uint64_t Hash(std::string_view text, uint64_t hash) {
  for (char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  return hash;
}

std::optional<uint64_t> ReadDigits(std::string_view digits) {
  uint64_t value = 0;
  for (char c : digits) {
    bool is_letter = c >= 'a' && c <= 'f';
    if (!is_letter && (c < '0' || c > '9')) return std::nullopt;
    value = value << 4 | static_cast<uint64_t>(is_letter ? c - 'a' + 10 : c - '0');
  }
  return value;
}

// Another's id is any text; what matters is that equal ones are equal.
std::pair<uint64_t, uint64_t> NameOf(std::string_view id) {
  if (id.size() == 2 * kIdPartDigits + 1 && id[kIdPartDigits] == '-') {
    std::optional<uint64_t> nonce = ReadDigits(id.substr(0, kIdPartDigits));
    std::optional<uint64_t> sequence = ReadDigits(id.substr(kIdPartDigits + 1));
    if (nonce.has_value() && sequence.has_value()) return {*nonce, *sequence};
  }
  return {Hash(id, 0xcbf29ce484222325) | 1, Hash(id, id.size())};
}

}  // namespace

std::optional<PlainProperties> ToPlain(const Head& head, const Record& record) {
  if (!IsPrintable(record.key)) return std::nullopt;
  size_t bytes = record.key.size();
  PlainProperties plain{.message_id = fmt::format("{:016x}-{:016x}", head.nonce, head.sequence),
                        .key = std::string(record.key),
                        .published_ms = absl::ToUnixMillis(record.published),
                        .deleted = !record.value.has_value(),
                        .headers = {}};
  for (const Header& header : record.headers) {
    bytes += header.name.size() + header.value.size();
    bool twice = std::any_of(plain.headers.begin(), plain.headers.end(),
                             [&](const auto& other) { return other.first == header.name; });
    if (twice || !CanBeHeader(header)) return std::nullopt;
    plain.headers.emplace_back(header.name, header.value);
  }
  if (bytes > kHeaderBytesMax) return std::nullopt;
  return plain;
}

std::string FromPlain(const PlainProperties& properties, std::string_view body,
                      int64_t stream_offset, int64_t now_ms, PackCompressor& compressor) {
  Head head{.kind = Kind::kPack, .nonce = 0, .sequence = static_cast<uint64_t>(stream_offset)};
  if (!properties.message_id.empty()) {
    std::tie(head.nonce, head.sequence) = NameOf(properties.message_id);
  }
  std::string_view key = properties.key;
  std::optional<std::string_view> value;
  if (!properties.deleted) value = body;
  std::vector<Header> headers;
  headers.reserve(properties.headers.size());
  size_t bytes = key.size() + body.size();
  for (const auto& [name, text] : properties.headers) {
    headers.push_back({name, text});
    bytes += name.size() + text.size();
  }
  std::string size = fmt::format("{} bytes", bytes);
  if (key.size() > kKeyBytesMax || bytes > kMessageBytesMax) {
    key = key.substr(0, kKeyBytesMax);
    value.reset();
    headers = {{kTooLargeHeader, size}};
  }
  PackEncoder encoder;
  encoder.Add(key, value, headers, properties.published_ms.value_or(now_ms));
  std::string message;
  AppendHead(head, &message);
  encoder.Finish(compressor, &message);
  return message;
}

}  // namespace marquee::messaging::rabbitmq
