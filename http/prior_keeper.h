// The prior of the Bayesian mean that is in use: taken from the catalogue's totals, afresh at most
// once in a stated time. While nothing was rated there is none to keep, and each call looks again.
//
// Threads: any; each with a reader of its own.
#ifndef MARQUEE_HTTP_PRIOR_KEEPER_H_
#define MARQUEE_HTTP_PRIOR_KEEPER_H_

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "catalogue/catalogue.h"

namespace marquee::http {

class PriorKeeper {
 public:
  PriorKeeper(Clock& clock, double weight, absl::Duration age_max)
      : clock_(clock), weight_(weight), age_max_(age_max) {}

  // Errors: those of Reader::ReadTotals, where it had to look.
  absl::StatusOr<catalogue::Prior> Current(catalogue::Reader& reader);

 private:
  Clock& clock_;
  const double weight_;
  const absl::Duration age_max_;
  Mutex mutex_;
  bool kept_ ABSL_GUARDED_BY(mutex_) = false;
  catalogue::Prior prior_ ABSL_GUARDED_BY(mutex_);
  absl::Duration taken_at_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace marquee::http

#endif  // MARQUEE_HTTP_PRIOR_KEEPER_H_
