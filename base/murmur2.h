// Kafka's variant of MurmurHash2 (32 bits, seed 0x9747b28c), by which a key finds its shard on
// every broker.
#ifndef MARQUEE_BASE_MURMUR2_H_
#define MARQUEE_BASE_MURMUR2_H_

#include <cstdint>
#include <string_view>

namespace marquee {

uint32_t Murmur2(std::string_view bytes);

// (murmur2(key) & 0x7fffffff) % shards, as the Kafka Java client's default partitioner has it.
// REQUIRES: shards > 0.
uint32_t ShardNumberOfKey(std::string_view key, uint32_t shards);

}  // namespace marquee

#endif  // MARQUEE_BASE_MURMUR2_H_
