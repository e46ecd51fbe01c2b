#include "bench/measure.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/status.h"

namespace marquee::bench {
namespace {

constexpr size_t kSyncedBytes = 8 << 10;
constexpr int64_t kNsPerSecond = 1'000'000'000;

}  // namespace

int64_t NowNs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * kNsPerSecond + now.tv_nsec;
}

void SleepUntilNs(int64_t ns) {
  timespec until{.tv_sec = ns / kNsPerSecond, .tv_nsec = ns % kNsPerSecond};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr) == EINTR) {
  }
}

void Fail(std::string_view what) {
  fmt::print(stderr, "{}\n", what);
  std::exit(1);
}

void Must(const absl::Status& status) {
  if (!status.ok()) Fail(status.ToString());
}

int64_t NumberArgument(const char* name, const char* text, int64_t lo, int64_t hi) {
  int64_t number = 0;
  const char* end = text + std::strlen(text);
  auto [stopped, error] = std::from_chars(text, end, number);
  if (error != std::errc() || stopped != end || number < lo || number > hi) {
    Fail(fmt::format("{}: expected a number of {} to {}, found \"{}\"", name, lo, hi, text));
  }
  return number;
}

double PercentileMs(std::vector<int64_t> samples_ns, double percent) {
  MARQUEE_CHECK(!samples_ns.empty());
  auto rank =
      static_cast<size_t>(std::ceil(percent / 100 * static_cast<double>(samples_ns.size())));
  auto at = samples_ns.begin() + static_cast<ptrdiff_t>(std::max<size_t>(rank, 1) - 1);
  std::nth_element(samples_ns.begin(), at, samples_ns.end());
  return static_cast<double>(*at) / 1e6;
}

SyncTimer::SyncTimer(const std::string& folder) : folder_(folder) {
  const std::string path = fmt::format("{}/sync-{}.tmp", folder, getpid());
  file_ = open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
  if (file_ < 0) Fail(fmt::format("{}: {}", path, std::strerror(errno)));
  unlink(path.c_str());
}

SyncTimer::~SyncTimer() { close(file_); }

void SyncTimer::TimeOne() {
  const std::string bytes(kSyncedBytes, 's');
  int64_t begin = NowNs();
  if (write(file_, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size()) ||
      fdatasync(file_) != 0) {
    Fail(fmt::format("a file in {}: {}", folder_, std::strerror(errno)));
  }
  took_ns_.push_back(NowNs() - begin);
}

SyncTime TimeSyncs(const std::string& folder, int times) {
  SyncTimer timer(folder);
  for (int i = 0; i < times; ++i) timer.TimeOne();
  return timer.Result();
}

}  // namespace marquee::bench
