#include "bench/latency.h"

#include <fmt/format.h>

#include <cstring>

#include "bench/measure.h"

namespace marquee::bench {
namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;
constexpr int64_t kWarmUpSeconds = 1;
constexpr int64_t kUntilReadyNs = kNsPerSecond / 10;

}  // namespace

LatencyTrial::LatencyTrial(int64_t seconds, int64_t rate)
    : rate_(rate), uncounted_(rate * kWarmUpSeconds), count_(rate * seconds + uncounted_) {}

void LatencyTrial::PublishDueAt(const PublishOne& publish, int64_t due_ns, int64_t number) {
  std::string value(kLatencyValueBytes, 'v');
  std::memcpy(value.data(), &due_ns, sizeof(due_ns));
  std::memcpy(value.data() + sizeof(due_ns), &number, sizeof(number));
  publish(number, value);
}

void LatencyTrial::Publish(const PublishOne& publish, const Idle& idle) {
  auto idle_until = [&](int64_t ns) {
    for (int64_t now = NowNs(); now < ns; now = NowNs()) idle(ns - now);
  };
  for (int64_t warm = -1; !ready_; --warm) {
    PublishDueAt(publish, NowNs(), warm);
    idle_until(NowNs() + kUntilReadyNs);
  }
  int64_t begin_ns = NowNs();
  for (int64_t i = 0; i < count_; ++i) {
    int64_t due_ns = begin_ns + i * kNsPerSecond / rate_;
    idle_until(due_ns);
    PublishDueAt(publish, due_ns, i);
  }
}

bool LatencyTrial::Take(std::string_view value) {
  int64_t due_ns = 0;
  int64_t number = 0;
  if (value.size() != kLatencyValueBytes) {
    Fail(fmt::format("expected a message of {} bytes, found {}", kLatencyValueBytes, value.size()));
  }
  std::memcpy(&due_ns, value.data(), sizeof(due_ns));
  std::memcpy(&number, value.data() + sizeof(due_ns), sizeof(number));
  ready_ = true;
  if (number < 0) return true;
  if (number >= uncounted_) took_ns_.push_back(NowNs() - due_ns);
  return ++taken_ < count_;
}

void LatencyTrial::Print() const {
  fmt::print("{{\"p50_ms\":{:.3f},\"p99_ms\":{:.3f},\"max_ms\":{:.3f},\"samples\":{}}}\n",
             PercentileMs(took_ns_, 50), PercentileMs(took_ns_, 99), PercentileMs(took_ns_, 100),
             took_ns_.size());
}

}  // namespace marquee::bench
