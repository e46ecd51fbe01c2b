#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/random.h"
#include "messaging/conformance/conformance.h"
#include "messaging/conformance/trial.h"

namespace marquee::messaging::conformance {
namespace {

uint64_t DrawSeed() {
  uint64_t seed = Random::FromSystem().Next();
  if (const char* wanted = std::getenv("MARQUEE_SEED"); wanted != nullptr) {
    if (!absl::SimpleAtoi(wanted, &seed)) {
      std::fprintf(stderr, "MARQUEE_SEED: expected a number, found %s\n", wanted);
      std::exit(2);
    }
  }
  return seed;
}

class FactTest final : public testing::Test {
 public:
  FactTest(const Suite& suite, const Fact& fact, uint64_t seed)
      : suite_(suite), fact_(fact), seed_(seed) {}

  void TestBody() override {
    SCOPED_TRACE(absl::StrCat("MARQUEE_SEED=", seed_));
    std::unique_ptr<Backend> backend = suite_.make_backend();
    backend->UseSeed(seed_);
    try {
      Trial trial(*backend, seed_);
      fact_.check(trial);
    } catch (const TrialFailed&) {
      // The failure was recorded where it was found.
    }
  }

 private:
  const Suite& suite_;
  const Fact fact_;
  const uint64_t seed_;
};

void Register(const Suite& suite, const char* sentence, const std::vector<Fact>& facts,
              uint64_t seed) {
  for (const Fact& fact : facts) {
    testing::RegisterTest(
        sentence, fact.name, nullptr, nullptr, __FILE__, __LINE__,
        [&suite, fact, seed]() -> testing::Test* { return new FactTest(suite, fact, seed); });
  }
}

}  // namespace

int ConformanceMain(int argc, char** argv, const Suite& suite) {
  if (IsPeer(argc, argv)) return PeerMain(argc, argv, suite.open);
  testing::InitGoogleTest(&argc, argv);
  uint64_t seed = DrawSeed();
  if (!testing::GTEST_FLAG(list_tests)) {
    std::printf("MARQUEE_SEED=%llu\n", static_cast<unsigned long long>(seed));
  }
  Register(suite, "Sharded", ShardedFacts(), seed);
  Register(suite, "Ordered", OrderedFacts(), seed);
  Register(suite, "Positioned", PositionedFacts(), seed);
  Register(suite, "Durable", DurableFacts(), seed);
  Register(suite, "Repeatable", RepeatableFacts(), seed);
  Register(suite, "Owned", OwnedFacts(), seed);
  Register(suite, "Owned", OwnedAcrossProcessesFacts(), seed);
  Register(suite, "Bounded", BoundedFacts(), seed);
  Register(suite, "Retained", RetainedFacts(), seed);
  Register(suite, "Honest", HonestFacts(), seed);
  return RUN_ALL_TESTS();
}

}  // namespace marquee::messaging::conformance
