#include "base/murmur2.h"

#include "base/status.h"

namespace marquee {

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
  if (length == 3) hash ^= static_cast<uint32_t>(data[2]) << 16;
  if (length >= 2) hash ^= static_cast<uint32_t>(data[1]) << 8;
  if (length >= 1) hash = (hash ^ data[0]) * kMultiplier;
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
