#include "messaging/record.h"

#include "base/murmur2.h"

namespace marquee::messaging {

uint32_t Murmur2(std::string_view bytes) { return ::marquee::Murmur2(bytes); }

Shard ShardOfKey(std::string_view key, uint32_t shards) {
  return Shard(ShardNumberOfKey(key, shards));
}

}  // namespace marquee::messaging
