// A set of unsigned integers kept as closed intervals, in order, never touching each other. Nearly
// always one interval. A value.
#ifndef MARQUEE_BASE_INTERVALS_H_
#define MARQUEE_BASE_INTERVALS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace marquee {

struct Interval {
  uint64_t first = 0;
  uint64_t last = 0;  // included
  friend bool operator==(const Interval&, const Interval&) = default;
};

class IntervalSet {
 public:
  IntervalSet() = default;
  // REQUIRES: ordered, first <= last, and a gap of at least one between neighbours (see Valid).
  explicit IntervalSet(std::vector<Interval> intervals);
  static bool Valid(const std::vector<Interval>& intervals);

  // False where `value` was in the set before.
  bool Insert(uint64_t value) {
    // The common case first: the next value of the last interval.
    if (!intervals_.empty() && value == intervals_.back().last + 1 && value != 0) {
      intervals_.back().last = value;
      return true;
    }
    return InsertSlow(value);
  }
  bool Contains(uint64_t value) const;

  // The lowest value >= 1 that is not in the set.
  uint64_t FirstMissing() const;
  // How many of 1..through are not in the set.
  uint64_t MissingThrough(uint64_t through) const;
  // How many values are in the set.
  uint64_t Count() const;

  const std::vector<Interval>& intervals() const { return intervals_; }
  bool empty() const { return intervals_.empty(); }
  friend bool operator==(const IntervalSet&, const IntervalSet&) = default;

 private:
  bool InsertSlow(uint64_t value);

  std::vector<Interval> intervals_;
};

}  // namespace marquee

#endif  // MARQUEE_BASE_INTERVALS_H_
