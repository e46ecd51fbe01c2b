// The plain program that `script/bench` compares the way from CSV to log with: one thread parses
// the file and sums in memory.
//
//   plain_sum_bench RATINGS.CSV
#include <fmt/format.h>

#include "bench/measure.h"
#include "sources/bench/plain_sum.h"

int main(int argc, char** argv) {
  using namespace marquee::bench;  // NOLINT: a program, not a header
  if (argc != 2) Fail("usage: plain_sum_bench RATINGS.CSV");
  PlainSums sums = SumPlainly(argv[1]);
  if (sums.ratings == 0) Fail(fmt::format("{}: no ratings", argv[1]));
  int64_t sum = 0;
  for (const auto& [movie, of_movie] : sums.movies) sum += of_movie.sum_thousandths;
  fmt::print("{{\"ratings\":{},\"movies\":{},\"sum_thousandths\":{}}}\n", sums.ratings,
             sums.movies.size(), sum);
}
