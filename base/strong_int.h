// An integer with a type of its own, so that what can be confused (shard, offset, sequence, movie,
// user) cannot be. A value: freely copied, ordered, hashed. Arithmetic is spelled out with value().
#ifndef MARQUEE_BASE_STRONG_INT_H_
#define MARQUEE_BASE_STRONG_INT_H_

#include <compare>
#include <ostream>
#include <utility>

namespace marquee {

template <typename Tag, typename Rep>
class StrongInt {
 public:
  constexpr StrongInt() = default;
  constexpr explicit StrongInt(Rep value) : value_(value) {}

  constexpr Rep value() const { return value_; }
  constexpr StrongInt next() const { return StrongInt(value_ + 1); }

  friend constexpr auto operator<=>(StrongInt, StrongInt) = default;
  friend constexpr bool operator==(StrongInt, StrongInt) = default;

  template <typename H>
  friend H AbslHashValue(H state, StrongInt id) {
    return H::combine(std::move(state), id.value_);
  }
  friend std::ostream& operator<<(std::ostream& out, StrongInt id) { return out << id.value_; }

 private:
  Rep value_ = 0;
};

}  // namespace marquee

#endif  // MARQUEE_BASE_STRONG_INT_H_
