#include "base/intervals.h"

#include <algorithm>
#include <utility>

#include "base/status.h"

namespace marquee {

IntervalSet::IntervalSet(std::vector<Interval> intervals) : intervals_(std::move(intervals)) {
  MARQUEE_CHECK(Valid(intervals_));
}

bool IntervalSet::Valid(const std::vector<Interval>& intervals) {
  for (size_t i = 0; i < intervals.size(); ++i) {
    if (intervals[i].first > intervals[i].last) return false;
    if (i > 0 && (intervals[i].first <= intervals[i - 1].last ||
                  intervals[i].first - intervals[i - 1].last < 2)) {
      return false;
    }
  }
  return true;
}

bool IntervalSet::InsertSlow(uint64_t value) {
  // The first interval that ends at or after value - 1: the only one that can hold or touch it from
  // below.
  auto at = std::lower_bound(intervals_.begin(), intervals_.end(), value,
                             [](const Interval& interval, uint64_t v) {
                               return interval.last < v && v - interval.last > 1;
                             });
  if (at == intervals_.end()) {
    intervals_.push_back({value, value});
    return true;
  }
  if (value >= at->first && value <= at->last) return false;
  if (at->last < value) {  // touches from below
    at->last = value;
    auto following = at + 1;
    if (following != intervals_.end() && following->first == value + 1) {
      at->last = following->last;
      intervals_.erase(following);
    }
    return true;
  }
  if (at->first - value == 1) {
    at->first = value;
    return true;
  }
  intervals_.insert(at, {value, value});
  return true;
}

bool IntervalSet::Contains(uint64_t value) const {
  auto at = std::lower_bound(intervals_.begin(), intervals_.end(), value,
                             [](const Interval& i, uint64_t v) { return i.last < v; });
  return at != intervals_.end() && at->first <= value;
}

uint64_t IntervalSet::FirstMissing() const {
  uint64_t next = 1;
  for (const Interval& interval : intervals_) {
    if (interval.first > next) break;
    next = std::max(next, interval.last + 1);
  }
  return next;
}

uint64_t IntervalSet::MissingThrough(uint64_t through) const {
  uint64_t held = 0;
  for (const Interval& interval : intervals_) {
    uint64_t first = std::max<uint64_t>(interval.first, 1);
    uint64_t last = std::min(interval.last, through);
    if (first <= last) held += last - first + 1;
  }
  return through - held;
}

uint64_t IntervalSet::Count() const {
  uint64_t count = 0;
  for (const Interval& interval : intervals_) count += interval.last - interval.first + 1;
  return count;
}

}  // namespace marquee
