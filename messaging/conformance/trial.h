// One test of the suite: its backend, names that no other test has, and the steps that nearly every
// test takes. A step that fails ends the test (by TrialFailed, which only the runner catches).
//
// Threads: const methods, Open and Name by any thread; the others by the test's own.
#ifndef MARQUEE_MESSAGING_CONFORMANCE_TRIAL_H_
#define MARQUEE_MESSAGING_CONFORMANCE_TRIAL_H_

#include <gtest/gtest.h>

#include <atomic>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "messaging/broker.h"
#include "messaging/conformance/collector.h"
#include "messaging/conformance/conformance.h"

namespace marquee::messaging::conformance {

class TrialFailed final : public std::exception {};

// Fails the test at `file`:`line` and ends it.
[[noreturn]] void Fail(const absl::Status& status, const char* expression, const char* file,
                       int line);

inline void MustImpl(const absl::Status& status, const char* expression, const char* file,
                     int line) {
  if (!status.ok()) Fail(status, expression, file, line);
}
template <typename T>
T MustImpl(absl::StatusOr<T> result, const char* expression, const char* file, int line) {
  if (!result.ok()) Fail(result.status(), expression, file, line);
  return std::move(result).value();
}

// The value of a StatusOr (or nothing of a Status); where it is an error, the test fails and ends.
#define MUST(expression) \
  ::marquee::messaging::conformance::MustImpl((expression), #expression, __FILE__, __LINE__)
// Ends the test where it has failed already.
#define MUST_TRUE(condition) \
  MUST((condition) ? ::absl::OkStatus() : ::absl::InternalError("expected to be true, but is not"))

// The system's clock, with a wall time that is ahead (or behind) by a fixed duration.
class ShiftedClock final : public Clock {
 public:
  explicit ShiftedClock(absl::Duration ahead) : ahead_(ahead) {}
  absl::Time Now() const override { return system_.Now() + ahead_; }
  absl::Duration Uptime() const override { return system_.Uptime(); }
  void SleepFor(absl::Duration duration) override { system_.SleepFor(duration); }
  bool IsManual() const override { return false; }

 private:
  SystemClock system_;
  const absl::Duration ahead_;
};

class Trial {
 public:
  Trial(Backend& backend, uint64_t seed);

  Backend& backend() { return backend_; }
  const Timings& timings() const { return timings_; }
  Clock& clock() { return clock_; }
  Random& random() { return random_; }

  // `what`, made into a name for a topic or group of this trial alone.
  std::string Name(std::string_view what);

  std::unique_ptr<Broker> Open() { return Open(clock_, BrokerOptions()); }
  std::unique_ptr<Broker> Open(Clock& clock, const BrokerOptions& options);
  // A connection that is open until Restart.
  Broker& broker();
  // Closes broker(), restarts the server, opens it again. The test has closed its own brokers.
  void Restart();

  // Declares a topic of this trial alone, and gives its name.
  std::string Declare(uint32_t shards, TopicKind kind = TopicKind::kEvent,
                      absl::Duration retention = absl::InfiniteDuration());

  // Calls `done`, which itself waits a little for news, until it is true. False where it is not
  // within `within`.
  bool Eventually(absl::Duration within, const std::function<bool()>& done);
  // As Eventually, for what cannot be waited for but only looked at.
  bool SoonSeen(const std::function<bool()>& done);
  bool Soon(const std::function<bool()>& done) { return Eventually(timings_.soon, done); }

 private:
  Backend& backend_;
  const Timings timings_;
  SystemClock clock_;
  Random random_;
  const std::string suffix_;
  std::atomic<int> names_ = 0;
  std::unique_ptr<Broker> broker_;
};

// Publishes one record; no flush.
void Put(Publisher& publisher, std::string_view key, std::optional<std::string_view> value,
         std::optional<Shard> shard = std::nullopt);
// Opens a publisher, publishes "k<i % keys>" -> "<prefix><i>" for i in first..last, flushes.
FlushedThrough PutMany(Broker& broker, const std::string& topic, int first, int last, int keys,
                       std::string_view prefix = "v");

TopicShard At(const std::string& topic, uint32_t shard);
std::vector<TopicShard> ShardsOf(Broker& broker, const std::string& topic);
StartPosition AtOffset(Broker& broker, const std::string& topic, Offset offset);

// Reads with one subscription from `start` until each shard's end as it is now (or `until`).
Collector ReadTopic(Trial& trial, Broker& broker, const std::string& topic,
                    const StartPosition& start = StartPosition::AtEarliest());
Collector ReadShard(Trial& trial, Broker& broker, const TopicShard& shard,
                    const StartPosition& start = StartPosition::AtEarliest());
// Polls `subscription` until its Next of every shard is at least the given offset.
void ReadUntil(Trial& trial, Subscription& subscription,
               const std::vector<std::pair<TopicShard, Offset>>& ends, Collector* collector);
// Polls until `shards` are read to their ends as they are now.
void ReadToEnd(Trial& trial, Broker& broker, Subscription& subscription,
               const std::vector<TopicShard>& shards, Collector* collector);

// The status code of a StatusOr or Status, for EXPECT_EQ.
template <typename T>
absl::StatusCode CodeOf(const T& result) {
  if constexpr (std::is_same_v<T, absl::Status>) {
    return result.code();
  } else {
    return result.status().code();
  }
}

// A test of the suite: a fact, and the function that tries it.
struct Fact {
  const char* name;
  void (*check)(Trial& trial);
};
#define MARQUEE_FACT(function) \
  ::marquee::messaging::conformance::Fact { #function, function }

// The nine sentences.
std::vector<Fact> ShardedFacts();
std::vector<Fact> OrderedFacts();
std::vector<Fact> PositionedFacts();
std::vector<Fact> DurableFacts();
std::vector<Fact> RepeatableFacts();
std::vector<Fact> OwnedFacts();
std::vector<Fact> OwnedAcrossProcessesFacts();
std::vector<Fact> BoundedFacts();
std::vector<Fact> RetainedFacts();
std::vector<Fact> HonestFacts();

}  // namespace marquee::messaging::conformance

#endif  // MARQUEE_MESSAGING_CONFORMANCE_TRIAL_H_
