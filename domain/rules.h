// What decides the result besides the log: recorded once in the topic `settings`, the same for
// every service.
#ifndef MARQUEE_DOMAIN_RULES_H_
#define MARQUEE_DOMAIN_RULES_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "domain/ids.h"

namespace marquee::domain {

// The values that a rating may have: min, min + step, … max.
struct Scale {
  Thousandths min{500};
  Thousandths max{5000};
  Thousandths step{500};

  bool Contains(Thousandths value) const {
    return value >= min && value <= max && (value.value() - min.value()) % step.value() == 0;
  }
  int values() const { return (max.value() - min.value()) / step.value() + 1; }
  // "0.5 to 5 in steps of 0.5"
  std::string ToString() const;
  friend bool operator==(const Scale&, const Scale&) = default;
};

// A scale of more values than this has no histogram.
inline constexpr int kHistogramBinsMax = 10;

struct Rules {
  uint32_t version =
      1;  // of the rules themselves: raised when the same log would give another state
  uint32_t shards =
      12;  // of ratings, mean-ratings and mean-ratings-checkpoints; movies has as many
  Scale scale;
  // An idempotency key is remembered for this many messages of its shard's log.
  uint64_t idempotency_window_messages = 1 << 16;
  // A sequence further than this beyond the first missing one of its (source, incarnation, shard)
  // goes to the dead letters. Bounds the intervals.
  uint64_t sequence_distance_max = 1 << 20;
  // Of each source the accepted intervals of this many incarnations are kept, the newest ones.
  uint32_t incarnations_per_source_max = 16;

  // kInvalidArgument: which field is out of range, with what was found and the range.
  absl::Status Validate() const;
  friend bool operator==(const Rules&, const Rules&) = default;
};

// "shards: 12 recorded, 6 here; scale: …": the fields that differ, one text each. Empty where
// equal.
std::vector<std::string> Differences(const Rules& recorded, const Rules& here);

// As the value of a record of `settings` (message marquee.v1.Settings).
std::string EncodeRules(const Rules& rules);
absl::StatusOr<Rules> DecodeRules(std::string_view bytes);

// "0.5", "4.5", "3": thousandths from a decimal text, without rounding; kInvalidArgument says what
// is wrong ("NaN", "5.7500001 has more than 3 decimals", "1e3").
absl::StatusOr<Thousandths> ParseThousandths(std::string_view text);
std::string FormatThousandths(Thousandths value);  // "4.5", "3", "0.125"

}  // namespace marquee::domain

#endif  // MARQUEE_DOMAIN_RULES_H_
