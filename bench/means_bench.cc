// Log to means: one thread, on one core, reads the one shard of a log from its start and applies
// every message to the shard's state, duplicates and all.
//
//   means_bench one|all DIRECTORY      `one`: ShardState::Apply for each message; `all`: ApplyAll
//   for each batch
//
// The topic has one shard and holds ratings of the default scale. The clock runs from before the
// topic is opened.
#include <fmt/format.h>
#include <sched.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "bench/measure.h"
#include "domain/shard_state.h"
#include "messaging/open/open.h"

namespace marquee::bench {
namespace {

constexpr char kTopic[] = "ratings";

// The core that this thread runs on now: it stays there.
int PinToOneCore() {
  int core = sched_getcpu();
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(static_cast<size_t>(core), &cores);
  if (sched_setaffinity(0, sizeof(cores), &cores) != 0) {
    Fail(fmt::format("sched_setaffinity: {}", std::strerror(errno)));
  }
  return core;
}

domain::LogMessage MessageOf(const messaging::Record& record) {
  return {
      .offset = domain::LogOffset(record.offset.value()), .key = record.key, .value = record.value};
}

void ApplyBatch(const messaging::Batch& batch, bool all, domain::ShardState* state,
                std::vector<domain::LogMessage>* messages) {
  if (!all) {
    for (const messaging::Record& record : batch.records) state->Apply(MessageOf(record));
    return;
  }
  messages->clear();
  for (const messaging::Record& record : batch.records) messages->push_back(MessageOf(record));
  state->ApplyAll(*messages, [](const domain::LogMessage&, domain::Outcome) {});
}

domain::ShardState ReadAll(messaging::Broker& broker, bool all) {
  const messaging::TopicShard shard{kTopic, messaging::Shard(0)};
  messaging::Extent extent = Must(broker.DescribeShard(shard));
  auto reader = Must(broker.OpenReader({}));
  Must(reader->Start(shard, messaging::StartPosition::AtEarliest()));
  domain::Rules rules;
  rules.shards = 1;
  domain::ShardState state(rules, 0);
  std::vector<domain::LogMessage> messages;
  while (Must(reader->Next(shard)) < extent.end) {
    messaging::Delivery delivery = Must(reader->Poll(absl::ZeroDuration()));
    if (!delivery.batch) Fail("the log ended before its end");
    ApplyBatch(*delivery.batch, all, &state, &messages);
  }
  return state;
}

void Run(bool all, const std::string& directory) {
  int core = PinToOneCore();
  SystemClock clock;
  int64_t begin = NowNs();
  auto broker = Must(messaging::OpenBroker("sqlite:" + directory, {}, clock));
  messaging::TopicInfo topic = Must(broker->DescribeTopic(kTopic));
  if (topic.spec.shards != 1) {
    Fail(fmt::format("expected a topic of one shard, found {}: make the log with --shards 1",
                     topic.spec.shards));
  }
  domain::ShardState state = ReadAll(*broker, all);
  double seconds = static_cast<double>(NowNs() - begin) / 1e9;
  uint64_t counted = 0;
  for (const domain::MeanRating& mean : state.AllMeans()) counted += mean.aggregate.count;
  fmt::print(
      "{{\"seconds\":{:.6f},\"core\":{},\"messages\":{},\"counted\":{},\"repeats\":{},"
      "\"dead_letters\":{},\"movies\":{},\"state_bytes\":{}}}\n",
      seconds, core, state.counters().messages, counted, state.counters().repeats,
      state.counters().dead_letters, state.movies(), state.MemoryBytes());
}

}  // namespace
}  // namespace marquee::bench

int main(int argc, char** argv) {
  using std::string_view;
  if (argc != 3 || (string_view(argv[1]) != "one" && string_view(argv[1]) != "all")) {
    marquee::bench::Fail("usage: means_bench one|all DIRECTORY");
  }
  marquee::bench::Run(string_view(argv[1]) == "all", argv[2]);
}
