// What is kept of a movie's ratings: integers, so that order does not matter, nothing drifts, and
// == compares.
#ifndef MARQUEE_DOMAIN_AGGREGATE_H_
#define MARQUEE_DOMAIN_AGGREGATE_H_

#include <array>
#include <cstdint>

#include "domain/ids.h"
#include "domain/rules.h"

namespace marquee::domain {

struct Aggregate {
  uint64_t count = 0;
  int64_t sum_thousandths = 0;
  // Counts of each value of the scale, lowest first; all 0 for a scale of more than
  // kHistogramBinsMax values.
  std::array<uint64_t, kHistogramBinsMax> histogram{};

  // REQUIRES: scale.Contains(value).
  void Add(Thousandths value, const Scale& scale) {
    ++count;
    sum_thousandths += value.value();
    if (scale.values() <= kHistogramBinsMax) {
      ++histogram[(value.value() - scale.min.value()) / scale.step.value()];
    }
  }
  friend bool operator==(const Aggregate&, const Aggregate&) = default;
};

// The mean in stars, for people, at the edge. REQUIRES: count > 0.
double MeanOf(const Aggregate& aggregate);

// The Bayesian mean in stars: as if `weight` more ratings of `prior_mean` stars had been given.
// REQUIRES: count + weight > 0.
double BayesianMeanOf(uint64_t count, int64_t sum_thousandths, double prior_mean, double weight);

inline constexpr double kBayesianWeightDefault = 50;

}  // namespace marquee::domain

#endif  // MARQUEE_DOMAIN_AGGREGATE_H_
