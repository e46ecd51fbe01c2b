// Thousands of seeds, and canaries that must be found. MARQUEE_SEEDS sets how many seeds a run
// takes (MARQUEE_SOAK times as many otherwise), MARQUEE_SEED the first one; a seed that fails is
// printed and runs alone with MARQUEE_SEED=… MARQUEE_SEEDS=1.
#include "tests/simulation/simulation.h"

#include <cstdlib>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "gtest/gtest.h"

namespace marquee::simulation {
namespace {

constexpr uint64_t kSeeds = 2000;
constexpr uint64_t kSeedsToFindACanary = 2000;

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  uint64_t value = 0;
  return text != nullptr && absl::SimpleAtoi(text, &value) ? value : otherwise;
}

TEST(Simulation, EveryMeanIsRightWhateverCrashes) {
  uint64_t first = FromEnvironment("MARQUEE_SEED", 1);
  uint64_t seeds = FromEnvironment("MARQUEE_SEEDS", kSeeds * FromEnvironment("MARQUEE_SOAK", 1));
  uint64_t crashes = 0, pauses = 0, steps = 0, ratings = 0;
  for (uint64_t seed = first; seed < first + seeds; ++seed) {
    Result result = Simulate(seed, Canary::kNone);
    ASSERT_TRUE(result.violations.empty())
        << "seed " << seed << ": " << absl::StrJoin(result.violations, "\n  ");
    crashes += result.crashes;
    pauses += result.pauses;
    steps += result.steps;
    ratings += result.ratings;
  }
  std::printf(
      "%lu seeds from %lu: %lu crashes, %lu zombies, %lu turns, %lu ratings counted exactly\n",
      seeds, first, crashes, pauses, steps, ratings);
}

TEST(Simulation, TheSameSeedGivesTheSameRun) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Result a = Simulate(seed, Canary::kNone), b = Simulate(seed, Canary::kNone);
    EXPECT_EQ(a.steps, b.steps) << "seed " << seed;
    EXPECT_EQ(a.crashes, b.crashes) << "seed " << seed;
  }
}

class CanaryTest : public testing::TestWithParam<std::pair<const char*, Canary>> {};

TEST_P(CanaryTest, IsFound) {
  for (uint64_t seed = 1; seed <= kSeedsToFindACanary; ++seed) {
    Result result = Simulate(seed, GetParam().second);
    if (result.violations.empty()) continue;
    std::printf("found at seed %lu: %s\n", seed, result.violations.front().c_str());
    return;
  }
  FAIL() << "the simulation does not notice it within " << kSeedsToFindACanary << " seeds";
}

INSTANTIATE_TEST_SUITE_P(
    Canaries, CanaryTest,
    testing::Values(std::pair("ACheckpointBeforeItsMeans", Canary::kCheckpointBeforeMeans),
                    std::pair("APositionBeforeItsRows", Canary::kPositionBeforeRows),
                    std::pair("AWatermarkBeyondAGap", Canary::kWatermarkAtOnce),
                    std::pair("AZombiesMeanThatIsNotRepaired", Canary::kNoRepairOfMeans),
                    std::pair("AnIncarnationWithoutAClaim", Canary::kNoClaim),
                    std::pair("AnAnswerBeforeTheFlush", Canary::kAnswerBeforeFlush)),
    [](const auto& canary) { return std::string(canary.param.first); });

}  // namespace
}  // namespace marquee::simulation
