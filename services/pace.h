// How many ratings may be published now, where a run has a rate or a limit. Threads: one at a time.
#ifndef MARQUEE_SERVICES_PACE_H_
#define MARQUEE_SERVICES_PACE_H_

#include <algorithm>
#include <cstdint>
#include <optional>

#include "absl/time/time.h"

namespace marquee::services {

// What is not due yet is looked at again after this long.
inline constexpr absl::Duration kPace = absl::Milliseconds(5);

class Pace {
 public:
  // From `began` (uptime) on, at most `per_s` ratings a second and `limit` in all; none: as many as
  // there are.
  Pace(std::optional<double> per_s, std::optional<uint64_t> limit, absl::Duration began)
      : per_s_(per_s), limit_(limit), began_(began) {}

  // Of the run that has published `published`, at `now`: at most `most`.
  uint64_t Due(absl::Duration now, uint64_t published, uint64_t most) const {
    if (per_s_) {
      double due = absl::ToDoubleSeconds(now - began_) * *per_s_;
      if (due <= static_cast<double>(published)) return 0;
      most = std::min(most, static_cast<uint64_t>(due) - published);
    }
    return LimitReached(published) ? 0 : limit_ ? std::min(most, *limit_ - published) : most;
  }
  bool LimitReached(uint64_t published) const { return limit_ && published >= *limit_; }
  bool has_rate() const { return per_s_.has_value(); }

 private:
  std::optional<double> per_s_;
  std::optional<uint64_t> limit_;
  absl::Duration began_;
};

}  // namespace marquee::services

#endif  // MARQUEE_SERVICES_PACE_H_
