// Random draws that give the same results on every machine: the distributions of <random> differ
// between libraries, and floating point between compilers, so these are integers alone. Private to
// the generator.
#ifndef MARQUEE_SOURCES_DRAWS_H_
#define MARQUEE_SOURCES_DRAWS_H_

#include <cstdint>
#include <span>
#include <vector>

#include "base/random.h"
#include "base/status.h"

namespace marquee::sources {

class Draws {
 public:
  explicit Draws(uint64_t seed) : random_(seed) {}

  uint64_t Bits() { return random_.Next(); }
  // 0 .. bound - 1. REQUIRES: bound > 0.
  uint64_t Below(uint64_t bound) {
    return static_cast<uint64_t>(static_cast<unsigned __int128>(random_.Next()) * bound >> 64);
  }
  bool OneIn(uint64_t n) { return Below(n) == 0; }
  template <typename T>
  const T& OneOf(std::span<const T> things) {
    return things[Below(things.size())];
  }

 private:
  Random random_;
};

// Draws 0 .. weights.size() - 1 in proportion to the weights, in constant time (Vose's alias
// method).
class WeightedDraw {
 public:
  // REQUIRES: at least one weight, fewer than 2^32, each below 2^44.
  explicit WeightedDraw(const std::vector<uint64_t>& weights);

  uint32_t Draw(Draws& draws) const {
    // One number of 64 bits chooses the slot (its whole part) and what is in it (its fraction).
    unsigned __int128 scaled = static_cast<unsigned __int128>(draws.Bits()) * slots_.size();
    auto slot = static_cast<uint32_t>(scaled >> 64);
    auto fraction = static_cast<uint32_t>(static_cast<uint64_t>(scaled) >> 32);
    return fraction < slots_[slot].threshold ? slot : slots_[slot].alias;
  }

 private:
  struct Slot {
    uint32_t threshold;  // of 2^32: the share of the slot that is its own
    uint32_t alias;
  };
  std::vector<Slot> slots_;
};

inline WeightedDraw::WeightedDraw(const std::vector<uint64_t>& weights) : slots_(weights.size()) {
  MARQUEE_CHECK(!weights.empty());
  unsigned __int128 total = 0;
  for (uint64_t weight : weights) total += weight;
  MARQUEE_CHECK(total > 0);
  // By the number of slots, so that the mean is whole.
  std::vector<unsigned __int128> left(weights.size());
  std::vector<uint32_t> small, large;
  for (uint32_t i = 0; i < weights.size(); ++i) {
    left[i] = static_cast<unsigned __int128>(weights[i]) * weights.size();
    (left[i] < total ? small : large).push_back(i);
  }
  for (uint32_t i : large) slots_[i] = {UINT32_MAX, i};
  while (!small.empty() && !large.empty()) {
    uint32_t s = small.back(), l = large.back();
    small.pop_back();
    slots_[s] = {static_cast<uint32_t>((left[s] << 32) / total), l};
    left[l] -= total - left[s];
    if (left[l] < total) {
      large.pop_back();
      small.push_back(l);
    }
  }
  for (uint32_t i : small) slots_[i] = {UINT32_MAX, i};
  for (uint32_t i : large) slots_[i] = {UINT32_MAX, i};
}

}  // namespace marquee::sources

#endif  // MARQUEE_SOURCES_DRAWS_H_
