#include "domain/aggregate.h"

#include "base/status.h"

namespace marquee::domain {

double MeanOf(const Aggregate& aggregate) {
  MARQUEE_CHECK(aggregate.count > 0);
  return static_cast<double>(aggregate.sum_thousandths) /
         (1000.0 * static_cast<double>(aggregate.count));
}

double BayesianMeanOf(uint64_t count, int64_t sum_thousandths, double prior_mean, double weight) {
  double ratings = static_cast<double>(count) + weight;
  MARQUEE_CHECK(ratings > 0);
  return (static_cast<double>(sum_thousandths) / 1000.0 + prior_mean * weight) / ratings;
}

}  // namespace marquee::domain
