#include "http/opaque_text.h"

#include "absl/strings/escaping.h"
#include "base/digest.h"

namespace marquee::http {
namespace {

constexpr size_t kCheckBytes = 4;

std::string CheckOf(std::string_view bytes) {
  uint64_t digest = DigestOf(bytes).low;
  return std::string(reinterpret_cast<const char*>(&digest), kCheckBytes);
}

}  // namespace

OpaqueTextWriter& OpaqueTextWriter::Add(uint64_t value) {
  while (value >= 0x80) {
    bytes_ += static_cast<char>(value | 0x80);
    value >>= 7;
  }
  bytes_ += static_cast<char>(value);
  return *this;
}

OpaqueTextWriter& OpaqueTextWriter::Add(std::string_view text) {
  Add(text.size());
  bytes_ += text;
  return *this;
}

std::string OpaqueTextWriter::Finish() const {
  return absl::WebSafeBase64Escape(bytes_ + CheckOf(bytes_));
}

OpaqueTextReader::OpaqueTextReader(uint8_t kind, std::string_view text) {
  if (text.size() > kOpaqueTextBytesMax) return;
  absl::string_view input(text.data(), text.size());
  // The second condition: there is one text for each value, so no padding and no spaces.
  if (!absl::WebSafeBase64Unescape(input, &bytes_) || absl::WebSafeBase64Escape(bytes_) != input)
    return;
  if (bytes_.size() < 1 + kCheckBytes || static_cast<uint8_t>(bytes_[0]) != kind) return;
  std::string_view content(bytes_.data(), bytes_.size() - kCheckBytes);
  if (CheckOf(content) != bytes_.substr(content.size())) return;
  left_ = content.substr(1);
  ok_ = true;
}

uint64_t OpaqueTextReader::TakeNumber() {
  uint64_t value = 0;
  for (int shift = 0; ok_ && shift < 64 && !left_.empty(); shift += 7) {
    auto byte = static_cast<uint8_t>(left_.front());
    left_.remove_prefix(1);
    value |= uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) return value;
  }
  ok_ = false;
  return 0;
}

std::string OpaqueTextReader::TakeText() {
  uint64_t size = TakeNumber();
  if (!ok_ || size > left_.size()) {
    ok_ = false;
    return {};
  }
  std::string text(left_.substr(0, size));
  left_.remove_prefix(size);
  return text;
}

}  // namespace marquee::http
