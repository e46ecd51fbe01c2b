// The names of things in the domain, each a type of its own.
#ifndef MARQUEE_DOMAIN_IDS_H_
#define MARQUEE_DOMAIN_IDS_H_

#include <cstdint>

#include "base/strong_int.h"

namespace marquee::domain {

using MovieId = StrongInt<struct MovieIdTag, uint64_t>;  // 1 .. 2^63 - 1
using UserId = StrongInt<struct UserIdTag, uint64_t>;    // 0 .. 2^63 - 1
// Dense from 1 in each (source, incarnation, shard).
using Sequence = StrongInt<struct SequenceTag, uint64_t>;
// Of a source: a number above all claimed before, in the high bits, and random low bits
// (MakeIncarnation).
using Incarnation = StrongInt<struct IncarnationTag, uint64_t>;
// A value of a rating in thousandths: 4.5 stars are 4500.
using Thousandths = StrongInt<struct ThousandthsTag, int32_t>;
// An offset in a shard of `ratings` or `mean-ratings`, as the seam gives it; opaque and growing.
using LogOffset = StrongInt<struct LogOffsetTag, int64_t>;

inline constexpr int kIncarnationRandomBits = 16;
// `ordinal` 1, 2, 3, … of the claims of one source; `random` any bits.
inline Incarnation MakeIncarnation(uint64_t ordinal, uint64_t random) {
  return Incarnation(ordinal << kIncarnationRandomBits |
                     (random & ((uint64_t{1} << kIncarnationRandomBits) - 1)));
}
inline uint64_t OrdinalOf(Incarnation incarnation) {
  return incarnation.value() >> kIncarnationRandomBits;
}

}  // namespace marquee::domain

#endif  // MARQUEE_DOMAIN_IDS_H_
