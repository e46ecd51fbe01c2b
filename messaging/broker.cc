#include "messaging/broker.h"

#include "base/status.h"

namespace marquee::messaging {

absl::StatusOr<std::vector<Extent>> Broker::DescribeShards(std::span<const TopicShard> shards) {
  std::vector<Extent> extents;
  extents.reserve(shards.size());
  for (const TopicShard& shard : shards) {
    MARQUEE_ASSIGN_OR_RETURN(Extent extent, DescribeShard(shard));
    extents.push_back(extent);
  }
  return extents;
}

}  // namespace marquee::messaging
