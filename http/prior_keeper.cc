#include "http/prior_keeper.h"

#include <algorithm>

#include "base/status.h"

namespace marquee::http {

absl::StatusOr<catalogue::Prior> PriorKeeper::Current(catalogue::Reader& reader) {
  absl::Duration now = clock_.Uptime();
  MutexLock lock(mutex_);
  if (kept_ && now - taken_at_ < age_max_) return prior_;
  MARQUEE_ASSIGN_OR_RETURN(catalogue::Totals totals, reader.ReadTotals());
  catalogue::Prior prior{.number = prior_.number, .mean = 0, .weight = weight_};
  if (totals.ratings > 0) {
    prior.mean =
        static_cast<double>(totals.sum_thousandths) / 1000 / static_cast<double>(totals.ratings);
    // Wall time, so that a restart does not give a number a second time.
    prior.number =
        std::max(prior_.number + 1, static_cast<uint64_t>(absl::ToUnixMillis(clock_.Now())));
  }
  prior_ = prior;
  kept_ = totals.ratings > 0;
  taken_at_ = now;
  return prior_;
}

}  // namespace marquee::http
