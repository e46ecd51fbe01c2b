// Where time comes from. Everything that needs the time is given a Clock; nothing asks the system
// itself, so a test or the simulation decides what time it is.
//
// Threads: every method may be called from any thread.
#ifndef MARQUEE_BASE_CLOCK_H_
#define MARQUEE_BASE_CLOCK_H_

#include <atomic>
#include <cstdint>

#include "absl/time/time.h"

namespace marquee {

class Clock {
 public:
  virtual ~Clock() = default;

  // Wall time: for people and for records. May jump.
  virtual absl::Time Now() const = 0;
  // Time since an arbitrary start, the same for all processes since the boot of this machine; never
  // goes back. For intervals, leases and deadlines.
  virtual absl::Duration Uptime() const = 0;
  virtual void SleepFor(absl::Duration duration) = 0;
  // Whether time stands still until somebody moves it: whoever waits on such a clock must return at
  // once instead, since nobody may come.
  virtual bool IsManual() const = 0;
};

// CLOCK_REALTIME and CLOCK_MONOTONIC.
class SystemClock final : public Clock {
 public:
  absl::Time Now() const override;
  absl::Duration Uptime() const override;
  void SleepFor(absl::Duration duration) override;
  bool IsManual() const override { return false; }
};

// Stands still but for Advance and SleepFor, which both move it at once.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(absl::Time start = absl::FromUnixSeconds(1'700'000'000));

  absl::Time Now() const override;
  absl::Duration Uptime() const override;
  void SleepFor(absl::Duration duration) override { Advance(duration); }
  bool IsManual() const override { return true; }

  void Advance(absl::Duration duration);
  // Moves the wall time alone, in either direction, as an administrator or NTP does.
  void Jump(absl::Duration duration);

 private:
  std::atomic<int64_t> now_ns_;
  std::atomic<int64_t> uptime_ns_;
};

}  // namespace marquee

#endif  // MARQUEE_BASE_CLOCK_H_
