// What the programs of bench/ share: time, percentiles, the time of one sync of the disk, and
// ending on an error. Each of them prints one line of JSON for script/bench.
#ifndef MARQUEE_BENCH_MEASURE_H_
#define MARQUEE_BENCH_MEASURE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace marquee::bench {

// Of CLOCK_MONOTONIC, which all processes of the machine share.
int64_t NowNs();
// REQUIRES: `ns` is in the past, or not further ahead than a program of the bench may sleep.
void SleepUntilNs(int64_t ns);

// Prints `what` to standard error and ends with exit code 1.
[[noreturn]] void Fail(std::string_view what);
void Must(const absl::Status& status);
template <typename T>
T Must(absl::StatusOr<T> value) {
  Must(value.status());
  return *std::move(value);
}
// A whole number in lo .. hi; Fail otherwise, with the name.
int64_t NumberArgument(const char* name, const char* text, int64_t lo, int64_t hi);

// The smallest sample that at least `percent` % of them do not exceed. REQUIRES: samples.
double PercentileMs(std::vector<int64_t> samples_ns, double percent);

struct SyncTime {
  double p50_ms = 0;
  double p99_ms = 0;
};

// How long this disk takes to make 8 KiB durable at the end of a file: write and fdatasync. The
// file has no name any more. Fails where it cannot be made or written.
class SyncTimer {
 public:
  explicit SyncTimer(const std::string& folder);
  ~SyncTimer();
  SyncTimer(const SyncTimer&) = delete;
  SyncTimer& operator=(const SyncTimer&) = delete;

  void TimeOne();
  // REQUIRES: TimeOne was called.
  SyncTime Result() const { return {PercentileMs(took_ns_, 50), PercentileMs(took_ns_, 99)}; }

 private:
  const std::string folder_;
  int file_ = -1;
  std::vector<int64_t> took_ns_;
};

// `times` of them at once.
SyncTime TimeSyncs(const std::string& folder, int times);

}  // namespace marquee::bench

#endif  // MARQUEE_BENCH_MEASURE_H_
