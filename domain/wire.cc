#include "domain/wire.h"

#include <climits>

namespace marquee::domain::wire {

const char* ReadVarintSlow(const char* at, const char* end, uint64_t* value) {
  uint64_t result = 0;
  for (int i = 0; i < kVarintBytesMax && at < end; ++i) {
    auto byte = static_cast<unsigned char>(*at++);
    result |= static_cast<uint64_t>(byte & 0x7f) << (7 * i);
    if (byte < 0x80) {
      *value = result;
      return at;
    }
  }
  return nullptr;
}

const char* ReadTagSlow(const char* at, const char* end, uint32_t* tag) {
  constexpr int kTagBytesMax = 5;
  uint32_t result = 0;
  for (int i = 0; i < kTagBytesMax && at < end; ++i) {
    auto byte = static_cast<unsigned char>(*at++);
    result |= static_cast<uint32_t>(byte & 0x7f) << (7 * i);
    if (byte < 0x80) {
      *tag = result;
      return at;
    }
  }
  return nullptr;
}

const char* ReadBytesSlow(const char* at, const char* end, std::string_view* bytes) {
  constexpr int kSizeBytesMax = 5;
  constexpr uint64_t kSizeMax = INT_MAX - 16;  // libprotobuf's own
  uint64_t size = 0;
  for (int i = 0; i < kSizeBytesMax && at < end; ++i) {
    auto byte = static_cast<unsigned char>(*at++);
    size |= static_cast<uint64_t>(byte & 0x7f) << (7 * i);
    if (byte >= 0x80) continue;
    if (size > kSizeMax || static_cast<uint64_t>(end - at) < size) return nullptr;
    *bytes = std::string_view(at, size);
    return at + size;
  }
  return nullptr;
}

namespace {

const char* SkipGroup(uint32_t tag, const char* at, const char* end, int depth) {
  if (depth <= 0) return nullptr;
  while (at < end) {
    uint32_t inner;
    at = ReadTag(at, end, &inner);
    if (at == nullptr) return nullptr;
    if ((inner & 7) == kEndGroup) return inner >> 3 == tag >> 3 ? at : nullptr;
    at = SkipField(inner, at, end, depth - 1);
    if (at == nullptr) return nullptr;
  }
  return nullptr;
}

}  // namespace

const char* SkipField(uint32_t tag, const char* at, const char* end, int depth) {
  if (tag >> 3 == 0) return nullptr;
  uint64_t value;
  std::string_view bytes;
  switch (tag & 7) {
    case kVarint:
      return ReadVarint(at, end, &value);
    case kFixed64:
      return end - at < 8 ? nullptr : at + 8;
    case kBytes:
      return ReadBytes(at, end, &bytes);
    case kGroup:
      return SkipGroup(tag, at, end, depth);
    case kFixed32:
      return end - at < 4 ? nullptr : at + 4;
    default:
      return nullptr;
  }
}

}  // namespace marquee::domain::wire
