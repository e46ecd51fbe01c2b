// Any bytes as a shard's state, and as a part of a checkpoint: refused, or a state that adds up and
// is written and read again.
#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "domain/checkpoint.h"
#include "domain/shard_state.h"
#include "google/protobuf/stubs/logging.h"

namespace marquee::domain {
namespace {

void CheckState(std::string_view bytes) {
  Rules rules;
  rules.shards = 1;
  absl::StatusOr<ShardState> state = ShardState::Decode(bytes, rules, 0);
  if (!state.ok()) return;
  uint64_t counted = 0;
  for (const MeanRating& mean : state->AllMeans()) counted += mean.aggregate.count;
  MARQUEE_CHECK(counted == state->counters().counted);
  std::string encoded = state->Encode();
  absl::StatusOr<ShardState> again = ShardState::Decode(encoded, rules, 0);
  MARQUEE_CHECK(again.ok() && again->Encode() == encoded);
}

void CheckPart(std::string_view bytes) {
  CheckpointCollector collector(0);
  (void)collector.Add("0/feedfacecafebeef/0", bytes);
  std::optional<Checkpoint> best = collector.Best();
  if (!best.has_value()) return;
  std::vector<CheckpointPart> parts = SplitCheckpoint(*best, *collector.BestNonce());
  CheckpointCollector again(0);
  for (const CheckpointPart& part : parts) MARQUEE_CHECK(again.Add(part.key, part.value).ok());
  MARQUEE_CHECK(again.Best() == best);
}

}  // namespace
}  // namespace marquee::domain

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  google::protobuf::LogSilencer silencer;
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  marquee::domain::CheckState(bytes);
  marquee::domain::CheckPart(bytes);
  return 0;
}
