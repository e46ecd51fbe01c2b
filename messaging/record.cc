#include "messaging/record.h"

#include "base/murmur2.h"

namespace marquee::messaging {

uint32_t Murmur2(std::string_view bytes) { return ::marquee::Murmur2(bytes); }

Shard ShardOfKey(std::string_view key, uint32_t shards) {
  return Shard(ShardNumberOfKey(key, shards));
}

std::vector<TopicShard> ShardsOf(std::string_view topic, uint32_t shards) {
  std::vector<TopicShard> all;
  all.reserve(shards);
  for (uint32_t i = 0; i < shards; ++i) all.push_back({std::string(topic), Shard(i)});
  return all;
}

}  // namespace marquee::messaging
