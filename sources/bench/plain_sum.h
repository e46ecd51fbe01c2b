// The comparison of the benchmarks: what a plain, single-threaded program does that parses a
// ratings.csv and sums in memory, with no log, no checks and nothing durable.
#ifndef MARQUEE_SOURCES_BENCH_PLAIN_SUM_H_
#define MARQUEE_SOURCES_BENCH_PLAIN_SUM_H_

#include <cstdint>
#include <string>
#include <unordered_map>

namespace marquee::bench {

struct PlainSum {
  uint64_t count = 0;
  int64_t sum_thousandths = 0;
};

struct PlainSums {
  uint64_t ratings = 0;
  std::unordered_map<uint64_t, PlainSum> movies;
};

// Of a well-formed file whose first line is a heading. No ratings where it cannot be opened.
PlainSums SumPlainly(const std::string& path);

}  // namespace marquee::bench

#endif  // MARQUEE_SOURCES_BENCH_PLAIN_SUM_H_
