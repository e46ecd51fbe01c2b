// How long a message takes from when it was due to be published until a consumer has it, at a
// steady rate. What the programs that measure a broker's own client share.
//
// Threads: one publishes and one takes, at the same time.
#ifndef MARQUEE_BENCH_LATENCY_H_
#define MARQUEE_BENCH_LATENCY_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace marquee::bench {

// The key and the size of a rating's message, or about that.
inline constexpr std::string_view kLatencyKey = "318";
inline constexpr size_t kLatencyValueBytes = 40;

class LatencyTrial {
 public:
  // `rate` messages a second for so many seconds, after one more that is not counted.
  LatencyTrial(int64_t seconds, int64_t rate);

  // Publishes a message; those of consecutive numbers go to the shards in turn.
  using PublishOne = std::function<void(int64_t number, std::string_view value)>;
  // Publishes one now and then until the consumer has had any, since where it begins to read is
  // settled by then; after that all at their rate. `idle` is called again and again in between, for
  // at most the time that it is given, in ns.
  using Idle = std::function<void(int64_t ns)>;
  void Publish(const PublishOne& publish, const Idle& idle);

  // What the consumer was given. False: that was the last.
  bool Take(std::string_view value);

  // Prints the percentiles. REQUIRES: Take has returned false.
  void Print() const;

 private:
  static void PublishDueAt(const PublishOne& publish, int64_t due_ns, int64_t number);

  const int64_t rate_;
  const int64_t uncounted_;
  const int64_t count_;
  std::atomic<bool> ready_{false};
  int64_t taken_ = 0;
  std::vector<int64_t> took_ns_;
};

}  // namespace marquee::bench

#endif  // MARQUEE_BENCH_LATENCY_H_
