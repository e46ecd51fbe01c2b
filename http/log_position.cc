#include "http/log_position.h"

#include "base/status.h"
#include "http/opaque_text.h"

namespace marquee::http {
namespace {

constexpr uint8_t kKind = 1;
constexpr uint64_t kShardsMax = 1024;  // as messaging/broker.h has it
constexpr uint64_t kOffsetMax = ~uint64_t{0} >> 1;

}  // namespace

std::string LogPosition::Encode() const {
  OpaqueTextWriter writer(kKind);
  writer.Add(ratings_identity).Add(through.size());
  for (const auto& [shard, offset] : through) {
    MARQUEE_CHECK(offset.value() >= 0);
    writer.Add(shard).Add(static_cast<uint64_t>(offset.value()));
  }
  return writer.Finish();
}

absl::StatusOr<LogPosition> LogPosition::Decode(std::string_view text) {
  OpaqueTextReader reader(kKind, text);
  LogPosition position;
  position.ratings_identity = reader.TakeText();
  uint64_t shards = reader.TakeNumber();
  for (uint64_t i = 0; i < shards && !reader.failed(); ++i) {
    uint64_t shard = reader.TakeNumber();
    uint64_t offset = reader.TakeNumber();
    bool in_order = position.through.empty() || position.through.rbegin()->first < shard;
    if (shard >= kShardsMax || offset > kOffsetMax || !in_order) break;
    position.through[static_cast<uint32_t>(shard)] =
        domain::LogOffset(static_cast<int64_t>(offset));
  }
  if (!reader.Ok() || position.through.size() != shards) {
    return absl::InvalidArgumentError(
        "not a position: expected the text that an earlier POST /api/v1/ratings answered, "
        "unchanged");
  }
  return position;
}

}  // namespace marquee::http
