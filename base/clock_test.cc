#include "base/clock.h"

#include "gtest/gtest.h"

namespace marquee {
namespace {

TEST(ManualClock, StandsStillButForAdvanceAndSleep) {
  ManualClock clock(absl::FromUnixSeconds(100));
  EXPECT_EQ(clock.Now(), absl::FromUnixSeconds(100));
  absl::Duration start = clock.Uptime();
  clock.Advance(absl::Seconds(1));
  clock.SleepFor(absl::Milliseconds(500));
  EXPECT_EQ(clock.Now(), absl::FromUnixSeconds(100) + absl::Milliseconds(1500));
  EXPECT_EQ(clock.Uptime() - start, absl::Milliseconds(1500));
}

TEST(ManualClock, AJumpMovesTheWallTimeAlone) {
  ManualClock clock(absl::FromUnixSeconds(100));
  absl::Duration start = clock.Uptime();
  clock.Jump(-absl::Seconds(50));
  EXPECT_EQ(clock.Now(), absl::FromUnixSeconds(50));
  EXPECT_EQ(clock.Uptime(), start);
}

TEST(SystemClock, UptimeNeverGoesBack) {
  SystemClock clock;
  absl::Duration last = clock.Uptime();
  for (int i = 0; i < 1000; ++i) {
    absl::Duration now = clock.Uptime();
    ASSERT_GE(now, last);
    last = now;
  }
}

}  // namespace
}  // namespace marquee
