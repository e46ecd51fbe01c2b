#include "base/clock.h"

#include <ctime>

#include "absl/time/clock.h"

namespace marquee {

absl::Time SystemClock::Now() const { return absl::Now(); }

absl::Duration SystemClock::Uptime() const {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return absl::Seconds(now.tv_sec) + absl::Nanoseconds(now.tv_nsec);
}

void SystemClock::SleepFor(absl::Duration duration) { absl::SleepFor(duration); }

ManualClock::ManualClock(absl::Time start)
    : now_ns_(absl::ToUnixNanos(start)), uptime_ns_(1'000'000'000) {}

absl::Time ManualClock::Now() const { return absl::FromUnixNanos(now_ns_.load()); }
absl::Duration ManualClock::Uptime() const { return absl::Nanoseconds(uptime_ns_.load()); }

void ManualClock::Advance(absl::Duration duration) {
  now_ns_ += absl::ToInt64Nanoseconds(duration);
  uptime_ns_ += absl::ToInt64Nanoseconds(duration);
}

void ManualClock::Jump(absl::Duration duration) { now_ns_ += absl::ToInt64Nanoseconds(duration); }

}  // namespace marquee
