// That the conformance suite can fail: it is run against backends that are broken on purpose, and
// must find each in the sentence that it breaks. This program runs itself: `--broken WORD` is the
// suite against that backend.
#include "messaging/conformance/broken_backends.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <set>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status.h"
#include "messaging/conformance/conformance.h"
#include "messaging/conformance/memory_backend.h"

namespace marquee::messaging::conformance {
namespace {

struct Outcome {
  bool passed = false;
  std::string output;
  std::set<std::string> failed_sentences;
  size_t tests = 0;
};

// Runs the tests of `filter` against the backend with the defect.
Outcome RunSuite(const std::string& defect, const std::string& filter) {
  std::string command = absl::StrCat("/proc/", getpid(), "/exe --broken ", defect,
                                     " --gtest_color=no --gtest_filter='", filter, "' 2>&1");
  Outcome outcome;
  FILE* pipe = popen(command.c_str(), "r");
  MARQUEE_CHECK(pipe != nullptr);
  std::array<char, 4096> bytes;
  while (size_t size = fread(bytes.data(), 1, bytes.size(), pipe)) {
    outcome.output.append(bytes.data(), size);
  }
  outcome.passed = pclose(pipe) == 0;
  for (absl::string_view line : absl::StrSplit(outcome.output, '\n')) {
    if (absl::StartsWith(line, "[ RUN      ]")) ++outcome.tests;
    if (!absl::StartsWith(line, "[  FAILED  ] ")) continue;
    std::pair<std::string, std::string> name = absl::StrSplit(line.substr(13), '.');
    outcome.failed_sentences.insert(name.first);
  }
  return outcome;
}

void ExpectFound(const std::string& defect, const std::string& sentence) {
  Outcome outcome = RunSuite(defect, absl::StrCat(sentence, ".*"));
  EXPECT_FALSE(outcome.passed) << defect << " was not found by " << sentence;
  EXPECT_TRUE(outcome.failed_sentences.contains(sentence)) << outcome.output;
  EXPECT_GT(outcome.tests, 3u) << outcome.output;
  // Found by a test that failed, not by a program that died.
  EXPECT_TRUE(absl::StrContains(outcome.output, "FAILED TEST")) << outcome.output;
}

TEST(BrokenBackends, OneThatDropsIsFoundByBounded) { ExpectFound("drops", "Bounded"); }

TEST(BrokenBackends, OneThatRepeatsWithANewOffsetIsFoundByPositioned) {
  ExpectFound("repeats-anew", "Positioned");
}

TEST(BrokenBackends, OneThatReordersIsFoundByOrdered) { ExpectFound("reorders", "Ordered"); }

TEST(BrokenBackends, OneThatGivesAShardToTwoMembersIsFoundByOwned) {
  ExpectFound("gives-shards-to-two", "Owned");
}

TEST(BrokenBackends, OneThatLosesWhatFlushPromisedIsFoundByDurable) {
  ExpectFound("forgets-flushed", "Durable");
}

TEST(BrokenBackends, OneThatCompactsTheNewestIsFoundByRetained) {
  ExpectFound("compacts-newest", "Retained");
}

TEST(BrokenBackends, TheDecoratorAloneBreaksNothing) {
  for (const char* sentence : {"Ordered", "Bounded", "Positioned"}) {
    Outcome outcome = RunSuite("none", absl::StrCat(sentence, ".*"));
    EXPECT_TRUE(outcome.passed) << outcome.output;
    EXPECT_GT(outcome.tests, 3u) << outcome.output;
  }
}

// What is broken never comes right: little patience finds that as well as much.
Timings Impatient() {
  Timings timings;
  timings.session_timeout = absl::Milliseconds(500);
  timings.settle = absl::Milliseconds(500);
  timings.soon = absl::Seconds(3);
  return timings;
}

int RunBroken(int argc, char** argv, Defect defect) {
  return ConformanceMain(
      argc, argv, {.make_backend = [defect] {
        return std::make_unique<MemoryBackend>(
            MemoryWorldOptions(),
            [defect](std::unique_ptr<Broker> inner) { return Break(defect, std::move(inner)); },
            defect == Defect::kNone ? Timings() : Impatient());
      }});
}

}  // namespace
}  // namespace marquee::messaging::conformance

int main(int argc, char** argv) {
  using marquee::messaging::conformance::DefectOf;
  using marquee::messaging::conformance::RunBroken;
  if (argc > 2 && std::strcmp(argv[1], "--broken") == 0) {
    if (auto defect = DefectOf(argv[2])) return RunBroken(argc - 2, argv + 2, *defect);
    std::fprintf(stderr, "unknown defect %s\n", argv[2]);
    return 2;
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
