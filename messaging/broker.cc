#include "messaging/broker.h"

#include "base/status.h"

namespace marquee::messaging {

size_t BytesTogether(std::span<const NewRecord> records) {
  size_t bytes = 0;
  for (const NewRecord& record : records) {
    bytes += kRecordBytes + record.key.size() + (record.value ? record.value->size() : 0);
    for (const Header& header : record.headers) {
      bytes += kRecordBytes + header.name.size() + header.value.size();
    }
  }
  return bytes;
}

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
