#include "base/crash_point.h"

#include <csignal>
#include <cstdlib>

#include "gtest/gtest.h"

namespace marquee {
namespace {

// Each statement runs in a process of its own, since the environment is looked at once in each.
void Visit(const char* wish, const char* name, int times) {
  setenv("MARQUEE_CRASH_AT", wish, 1);
  for (int i = 0; i < times; ++i) ReachCrashPoint(name);
  std::exit(0);
}

TEST(CrashPointDeathTest, KillsAtTheNamedPlaceAsKill9Does) {
  EXPECT_EXIT(Visit("sink.committed", "sink.committed", 1), testing::KilledBySignal(SIGKILL), "");
  EXPECT_EXIT(Visit("sink.committed", "sink.begun", 1), testing::ExitedWithCode(0), "");
  EXPECT_EXIT(Visit("", "sink.begun", 1), testing::ExitedWithCode(0), "");
}

TEST(CrashPointDeathTest, KillsAtTheVisitOfTheNumber) {
  EXPECT_EXIT(Visit("a.b:3", "a.b", 2), testing::ExitedWithCode(0), "");
  EXPECT_EXIT(Visit("a.b:3", "a.b", 3), testing::KilledBySignal(SIGKILL), "");
}

}  // namespace
}  // namespace marquee
