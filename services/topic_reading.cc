#include "services/topic_reading.h"

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace marquee::services {

using messaging::Delivery;
using messaging::Offset;

absl::Status ReadThrough(messaging::Subscription& reader, const messaging::TopicShard& shard,
                         Offset end, const RecordVisitor& visit) {
  int silent_polls = 0;
  while (true) {
    MARQUEE_ASSIGN_OR_RETURN(Offset next, reader.Next(shard));
    if (next >= end) return absl::OkStatus();
    MARQUEE_ASSIGN_OR_RETURN(Delivery delivery, reader.Poll(kReadPoll));
    if (!delivery.batch) {
      if (++silent_polls > kReadSilentPollsMax) {
        return absl::DeadlineExceededError(absl::StrCat(
            shard.topic, "/", shard.shard.value(), ": waited for the records below offset ",
            end.value(), ", got none beyond ", next.value()));
      }
      continue;
    }
    silent_polls = 0;
    for (const messaging::Record& record : delivery.batch->records) {
      MARQUEE_RETURN_IF_ERROR(visit(record));
    }
  }
}

absl::Status ReadShard(messaging::Broker& broker, const messaging::TopicShard& shard,
                       const RecordVisitor& visit) {
  MARQUEE_ASSIGN_OR_RETURN(messaging::Extent extent, broker.DescribeShard(shard));
  MARQUEE_ASSIGN_OR_RETURN(auto reader, broker.OpenReader({.headers = false}));
  MARQUEE_RETURN_IF_ERROR(reader->Start(shard, messaging::StartPosition::AtEarliest()));
  return ReadThrough(*reader, shard, extent.end, visit);
}

}  // namespace marquee::services
