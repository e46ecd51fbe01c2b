#include "messaging/rabbitmq/frames.h"

#include <algorithm>

namespace marquee::messaging::rabbitmq {
namespace {

// A frame: type, channel, size of its payload, the payload, an end.
constexpr size_t kPayloadAt = 7;
constexpr size_t kFrameEndBytes = 1;
constexpr uint64_t kMethodFrame = 1;
constexpr uint64_t kHeaderFrame = 2;
constexpr uint64_t kBodyFrame = 3;
// A class and a method.
constexpr uint64_t kBasicConsume = (60u << 16) | 20;
constexpr uint64_t kBasicDeliver = (60u << 16) | 60;
constexpr size_t kBodySizeAt = 4;     // of a header's payload
constexpr size_t kConsumerTagAt = 4;  // of a deliver's payload

uint64_t Number(std::string_view bytes, size_t at, size_t size) {
  uint64_t number = 0;
  for (size_t i = 0; i < size; ++i) number = number << 8 | static_cast<uint8_t>(bytes[at + i]);
  return number;
}

}  // namespace

std::string Frames::Pass(std::string_view bytes) {
  std::string passed(bytes.substr(0, greeting_));
  bytes.remove_prefix(passed.size());
  greeting_ -= passed.size();
  rest_.append(bytes);
  size_t at = 0;
  while (rest_.size() - at >= kPayloadAt) {
    std::string_view left = std::string_view(rest_).substr(at);
    size_t size = kPayloadAt + Number(left, 3, 4) + kFrameEndBytes;
    if (left.size() < size) break;
    if (Passes(left.substr(0, size))) passed.append(left.substr(0, size));
    at += size;
  }
  rest_.erase(0, at);
  return passed;
}

bool Frames::Passes(std::string_view frame) {
  uint64_t type = Number(frame, 0, 1);
  auto channel = static_cast<uint16_t>(Number(frame, 1, 2));
  std::string_view payload = frame.substr(kPayloadAt);
  if (type == kMethodFrame) {
    uint64_t method = Number(payload, 0, 4);
    if (method == kBasicConsume) ++consumers_;
    if (method != kBasicDeliver) return true;
    std::string_view tag = payload.substr(kConsumerTagAt + 1, Number(payload, kConsumerTagAt, 1));
    served_.emplace(tag);
    if (!muted_.contains(tag)) return true;
    dropping_[channel] = -1;
    return false;
  }
  auto dropped = dropping_.find(channel);
  if (dropped == dropping_.end()) return true;
  if (type == kHeaderFrame) {
    dropped->second = static_cast<int64_t>(Number(payload, kBodySizeAt, 8));
  } else if (type == kBodyFrame) {
    dropped->second -= static_cast<int64_t>(payload.size() - kFrameEndBytes);
  }
  if (dropped->second == 0) dropping_.erase(dropped);
  return false;
}

}  // namespace marquee::messaging::rabbitmq
