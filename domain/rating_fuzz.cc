// Any bytes: the decoder by hand says what libprotobuf says, what it reads is written and read
// again, and a shard's state takes it without harm.
#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "domain/rating.h"
#include "domain/rating_oracle.h"
#include "domain/shard_state.h"

namespace marquee::domain {
namespace {

void CheckRoundTrip(std::string_view bytes) {
  Rating rating;
  if (!ParseRating(bytes, &rating).ok()) return;
  std::string again;
  AppendRating(rating, &again);
  Rating read;
  MARQUEE_CHECK(ParseRating(again, &read).ok() && read == rating);
}

void CheckState(std::string_view bytes) {
  Rules rules;
  rules.shards = 1;
  ShardState state(rules, 0);
  Rating rating;
  std::string key = ParseRating(bytes, &rating).ok() ? MovieKey(rating.movie) : "1";
  Outcome first = state.Apply({.offset = LogOffset(0), .key = key, .value = bytes});
  Outcome second = state.Apply({.offset = LogOffset(1), .key = key, .value = bytes});
  if (first == Outcome::kCounted && rating.stamp.has_value())
    MARQUEE_CHECK(second == Outcome::kRepeat);
  absl::StatusOr<ShardState> restored = ShardState::Decode(state.Encode(), rules, 0);
  MARQUEE_CHECK(restored.ok() && restored->Encode() == state.Encode());
}

}  // namespace
}  // namespace marquee::domain

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  MARQUEE_CHECK(marquee::domain::DifferenceOn(bytes).empty());
  marquee::domain::CheckRoundTrip(bytes);
  marquee::domain::CheckState(bytes);
  return 0;
}
