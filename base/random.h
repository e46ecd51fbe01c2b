// Random bits for nonces and incarnations (SplitMix64). Seeded by main from the system, by tests
// from a seed they print. Not for secrets. Threads: one at a time.
#ifndef MARQUEE_BASE_RANDOM_H_
#define MARQUEE_BASE_RANDOM_H_

#include <cstdint>
#include <random>

namespace marquee {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  static Random FromSystem() {
    std::random_device device;
    return Random(uint64_t{device()} << 32 | device());
  }

  uint64_t Next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
  }
  // 0 .. bound - 1. REQUIRES: bound > 0.
  uint64_t Below(uint64_t bound) { return Next() % bound; }
  // True once in `n` calls, on average.
  bool OneIn(uint64_t n) { return Below(n) == 0; }

 private:
  uint64_t state_;
};

}  // namespace marquee

#endif  // MARQUEE_BASE_RANDOM_H_
