#include "http/health.h"

#include <gtest/gtest.h>

namespace marquee::http {
namespace {

TEST(HealthTest, IsReadyWhenNobodySaysThatItIsNot) {
  ManualClock clock;
  Health health(clock);
  EXPECT_TRUE(health.Ready().ok);
  health.SetNotReady("sink", "restoring");
  health.SetNotReady("producer", "");
  Health::Report report = health.Ready();
  EXPECT_FALSE(report.ok);
  EXPECT_EQ(report.reasons,
            (std::map<std::string, std::string>{{"sink", "restoring"}, {"producer", "not ready"}}));
  health.SetReady("sink");
  EXPECT_FALSE(health.Ready().ok);
  health.Remove("producer");
  EXPECT_TRUE(health.Ready().ok);
}

TEST(HealthTest, LoopThatStoppedTurningIsNotAlive) {
  ManualClock clock;
  Health health(clock);
  health.SetReady("starting");
  health.Beat("sink");
  clock.Advance(kLoopSilenceMax);
  EXPECT_TRUE(health.Alive().ok);
  clock.Advance(absl::Milliseconds(1));
  Health::Report report = health.Alive();
  EXPECT_FALSE(report.ok);
  EXPECT_EQ(report.reasons.count("sink"), 1u);
  EXPECT_EQ(report.reasons.size(), 1u);
  health.Beat("sink");
  EXPECT_TRUE(health.Alive().ok);
  clock.Jump(absl::Hours(10));
  EXPECT_TRUE(health.Alive().ok);
}

TEST(HealthTest, LagsOfAllComponentsAreTold) {
  ManualClock clock;
  Health health(clock);
  health.SetLag("a", {{"movies", 0, "sink", 3}});
  health.SetLag("b", {{"ratings", 1, "means", 4}, {"ratings", 2, "means", 5}});
  health.SetLag("a", {{"movies", 0, "sink", 2}});
  ASSERT_EQ(health.Lags().size(), 3u);
  EXPECT_EQ(health.Lags()[0].records, 2);
}

}  // namespace
}  // namespace marquee::http
