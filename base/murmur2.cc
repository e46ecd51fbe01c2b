#include "base/murmur2.h"

#include "base/status.h"

namespace marquee {
namespace {

// The last `length` bytes, 0 to 3, as a little-endian number. How many these are changes from one
// movie's id to the next, so it is not left to branches.
uint32_t Tail(std::string_view bytes, size_t length) {
  const auto* end = reinterpret_cast<const unsigned char*>(bytes.data()) + bytes.size();
  if (bytes.size() >= 4) [[likely]] {
    uint64_t word = static_cast<uint32_t>(end[-4]) | static_cast<uint32_t>(end[-3]) << 8 |
                    static_cast<uint32_t>(end[-2]) << 16 | static_cast<uint32_t>(end[-1]) << 24;
    return static_cast<uint32_t>(word >> (32 - 8 * length));
  }
  uint32_t tail = 0;
  for (size_t i = length; i > 0; --i) tail = tail << 8 | end[-1 - static_cast<int>(length - i)];
  return tail;
}

}  // namespace

// As Kafka's Java client computes it (org.apache.kafka.common.utils.Utils.murmur2): words are read
// little-endian, the tail byte by byte.
uint32_t Murmur2(std::string_view bytes) {
  constexpr uint32_t kMultiplier = 0x5bd1e995;
  constexpr uint32_t kSeed = 0x9747b28c;
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  size_t length = bytes.size();
  uint32_t hash = kSeed ^ static_cast<uint32_t>(length);
  while (length >= 4) {
    uint32_t word = static_cast<uint32_t>(data[0]) | static_cast<uint32_t>(data[1]) << 8 |
                    static_cast<uint32_t>(data[2]) << 16 | static_cast<uint32_t>(data[3]) << 24;
    word *= kMultiplier;
    word ^= word >> 24;
    word *= kMultiplier;
    hash = hash * kMultiplier ^ word;
    data += 4;
    length -= 4;
  }
  hash = length == 0 ? hash : (hash ^ Tail(bytes, length)) * kMultiplier;
  hash ^= hash >> 13;
  hash *= kMultiplier;
  hash ^= hash >> 15;
  return hash;
}

uint32_t ShardNumberOfKey(std::string_view key, uint32_t shards) {
  MARQUEE_CHECK(shards > 0);
  return (Murmur2(key) & 0x7fffffff) % shards;
}

}  // namespace marquee
