// Which bin of the histogram a value belongs to, looked up instead of divided. Private to domain/.
#ifndef MARQUEE_DOMAIN_VALUE_BINS_H_
#define MARQUEE_DOMAIN_VALUE_BINS_H_

#include <cstdint>
#include <vector>

#include "domain/rules.h"

namespace marquee::domain {

class ValueBins {
 public:
  explicit ValueBins(const Scale& scale) : min_(scale.min.value()) {
    bool has_histogram = scale.values() <= kHistogramBinsMax;
    bins_.assign(static_cast<size_t>(scale.max.value() - min_) + 1, kNotOnScale);
    for (int i = 0; i < scale.values(); ++i) {
      bins_[static_cast<size_t>(i) * static_cast<size_t>(scale.step.value())] =
          has_histogram ? static_cast<uint8_t>(i) : kNoBin;
    }
  }

  static constexpr uint8_t kNoBin = 254;  // on a scale of too many values
  static constexpr uint8_t kNotOnScale = 255;

  // A bin, or one of the above.
  uint8_t Of(Thousandths value) const {
    auto at = static_cast<uint32_t>(value.value()) - static_cast<uint32_t>(min_);
    return at < bins_.size() ? bins_[at] : kNotOnScale;
  }

 private:
  int32_t min_;
  std::vector<uint8_t> bins_;
};

}  // namespace marquee::domain

#endif  // MARQUEE_DOMAIN_VALUE_BINS_H_
