#include "services/runner.h"

#include <atomic>

#include "gtest/gtest.h"

namespace marquee::services {
namespace {

// A service that does what the test says, turn by turn.
class Scripted final : public Service {
 public:
  Scripted(std::atomic<int>& turns, std::atomic<int>& drains, absl::StatusOr<Turn> answer)
      : turns_(turns), drains_(drains), answer_(std::move(answer)) {}
  absl::StatusOr<Turn> Step(absl::Duration wait) override {
    ++turns_;
    if (answer_.ok() && *answer_ == Turn::kIdle)
      clock_.SleepFor(std::min(wait, absl::Milliseconds(1)));
    return answer_;
  }
  absl::Status Drain() override {
    ++drains_;
    return absl::OkStatus();
  }
  std::string NotReady() const override { return turns_ < 3 ? "restoring" : ""; }

 private:
  SystemClock clock_;
  std::atomic<int>& turns_;
  std::atomic<int>& drains_;
  absl::StatusOr<Turn> answer_;
};

class RunnerTest : public testing::Test {
 protected:
  std::unique_ptr<Service> Make(absl::StatusOr<Turn> answer) {
    return std::make_unique<Scripted>(turns_, drains_, std::move(answer));
  }
  SystemClock clock_;
  http::Health health_{clock_};
  std::atomic<int> turns_{0}, drains_{0}, opens_{0};
};

TEST_F(RunnerTest, AServiceThatHasFinishedIsDrainedOnceAndNoLongerWaitedFor) {
  Runner runner({.name = "s"}, clock_, health_, [&]() -> absl::StatusOr<std::unique_ptr<Service>> {
    return Make(Turn::kFinished);
  });
  runner.Join();
  EXPECT_TRUE(runner.finished());
  EXPECT_TRUE(runner.status().ok());
  EXPECT_EQ(drains_, 1);
  EXPECT_TRUE(health_.Ready().ok);
}

TEST_F(RunnerTest, AnErrorThatMayPassOpensTheServiceAgain) {
  Runner runner({.name = "s"}, clock_, health_, [&]() -> absl::StatusOr<std::unique_ptr<Service>> {
    if (++opens_ < 3) return absl::UnavailableError("away");
    return Make(Turn::kFinished);
  });
  runner.Join();
  EXPECT_TRUE(runner.status().ok());
  EXPECT_EQ(opens_, 3);
}

TEST_F(RunnerTest, AnErrorForAPersonEndsItAndShowsInReadiness) {
  Runner runner({.name = "s"}, clock_, health_, [&]() -> absl::StatusOr<std::unique_ptr<Service>> {
    ++opens_;
    return Make(absl::DataLossError("damaged"));
  });
  runner.Join();
  EXPECT_TRUE(absl::IsDataLoss(runner.status()));
  EXPECT_EQ(opens_, 1);
  EXPECT_EQ(drains_, 0);
  EXPECT_EQ(health_.Ready().reasons.at("s"), "damaged");
}

TEST_F(RunnerTest, ItIsReadyWhenItsServiceHasRestored) {
  Runner runner({.name = "s"}, clock_, health_,
                [&]() -> absl::StatusOr<std::unique_ptr<Service>> { return Make(Turn::kIdle); });
  while (!health_.Ready().ok) clock_.SleepFor(absl::Microseconds(100));
  EXPECT_GE(turns_, 3);
}

TEST_F(RunnerTest, AskedToStopItDrains) {
  Runner runner({.name = "s"}, clock_, health_,
                [&]() -> absl::StatusOr<std::unique_ptr<Service>> { return Make(Turn::kIdle); });
  while (turns_ == 0) clock_.SleepFor(absl::Milliseconds(1));
  runner.RequestStop();
  runner.Join();
  EXPECT_TRUE(runner.status().ok());
  EXPECT_EQ(drains_, 1);
}

TEST_F(RunnerTest, StoppedWhileItsBrokerIsAwayItEndsWell) {
  Runner runner({.name = "s"}, clock_, health_, [&]() -> absl::StatusOr<std::unique_ptr<Service>> {
    ++opens_;
    return absl::UnavailableError("away");
  });
  while (opens_ == 0) clock_.SleepFor(absl::Milliseconds(1));
  runner.RequestStop();
  runner.Join();
  EXPECT_TRUE(runner.status().ok());
}

}  // namespace
}  // namespace marquee::services
