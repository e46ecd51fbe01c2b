// The whole system in one thread, from one seed: the real services on the memory backend, with a
// clock that stands still. Processes crash between any two calls, are paused for longer than their
// sessions and go on as zombies, shards are handed over, messages come twice and late, a second
// producer runs on the same file, clients send requests again. In the end all heals, and every mean
// has to be what a batch recomputation gives.
#ifndef MARQUEE_TESTS_SIMULATION_SIMULATION_H_
#define MARQUEE_TESTS_SIMULATION_SIMULATION_H_

#include <cstdint>
#include <string>
#include <vector>

namespace marquee::simulation {

// Rules taken out of the services, one at a time: the simulation has to notice each.
enum class Canary {
  kNone,
  kCheckpointBeforeMeans,
  kPositionBeforeRows,
  kWatermarkAtOnce,
  kNoRepairOfMeans,
  kNoClaim,
  kAnswerBeforeFlush,
};

struct Result {
  // What did not hold: one sentence each. Empty: everything did.
  std::vector<std::string> violations;
  uint64_t crashes = 0;
  uint64_t pauses = 0;
  uint64_t steps = 0;
  uint64_t ratings = 0;  // that had to be counted
};

// The same seed and canary give the same run.
Result Simulate(uint64_t seed, Canary canary);

}  // namespace marquee::simulation

#endif  // MARQUEE_TESTS_SIMULATION_SIMULATION_H_
