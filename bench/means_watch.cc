// What script/bench has to know of a topic of means, on any broker:
//
//   means_watch complete URL PREFIX END…   waits until the means hold all ratings, of which those
//   of
//                                          shard i end at the i-th END; prints when the last
//                                          watermark was published
//   means_watch follow URL PREFIX          from when it has printed an empty line, prints when each
//                                          mean was published, one of each batch
//   means_watch delete URL PREFIX          deletes all topics that begin so
//
// Times are those that the messages bear, in milliseconds since 1970.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "bench/measure.h"
#include "domain/movie.h"
#include "messaging/open/open.h"

namespace marquee::bench {
namespace {

using messaging::Batch;
using messaging::Broker;
using messaging::Record;

constexpr absl::Duration kSecondsMax = absl::Seconds(60);

std::string MeansOf(const std::string& prefix) { return prefix + "mean-ratings"; }

std::unique_ptr<messaging::Subscription> Read(Broker& broker, const std::string& topic,
                                              const messaging::StartPosition& from) {
  uint32_t shards = Must(broker.DescribeTopic(topic)).spec.shards;
  auto reader = Must(broker.OpenReader({}));
  for (uint32_t i = 0; i < shards; ++i) Must(reader->Start({topic, messaging::Shard(i)}, from));
  return reader;
}

void AwaitComplete(Broker& broker, Clock& clock, const std::string& prefix,
                   const std::vector<int64_t>& ends) {
  auto reader = Read(broker, MeansOf(prefix), messaging::StartPosition::AtEarliest());
  absl::Duration until = clock.Uptime() + kSecondsMax;
  std::map<size_t, int64_t> complete_ms;  // by shard
  while (complete_ms.size() < ends.size()) {
    if (clock.Uptime() > until) Fail("the means were not complete within a minute");
    messaging::Delivery delivery = Must(reader->Poll(absl::Seconds(1)));
    if (!delivery.batch.has_value()) continue;
    size_t shard = delivery.batch->shard.shard.value();
    for (const Record& record : delivery.batch->records) {
      if (!domain::ParseWatermarkKey(record.key).has_value()) continue;
      domain::Watermark watermark = Must(domain::DecodeWatermark(record.value.value_or("")));
      if (watermark.ratings_through.value() < ends[shard]) continue;
      complete_ms.emplace(shard, absl::ToUnixMillis(record.published));
    }
  }
  int64_t last_ms = 0;
  for (const auto& [shard, ms] : complete_ms) last_ms = std::max(last_ms, ms);
  fmt::print("{{\"complete_ms\":{}}}\n", last_ms);
}

void Tell(std::string_view line) {
  fmt::print("{}\n", line);
  if (std::fflush(stdout) != 0) Fail("nobody reads");
}

[[noreturn]] void Follow(Broker& broker, const std::string& prefix) {
  auto reader = Read(broker, MeansOf(prefix), messaging::StartPosition::AtLatest());
  Tell("");
  while (true) {
    messaging::Delivery delivery = Must(reader->Poll(absl::Seconds(1)));
    if (!delivery.batch.has_value()) continue;
    const auto& records = delivery.batch->records;
    auto mean = std::find_if(records.begin(), records.end(), [](const Record& record) {
      return !domain::ParseWatermarkKey(record.key).has_value();
    });
    if (mean != records.end()) Tell(fmt::format("{}", absl::ToUnixMillis(mean->published)));
  }
}

void Delete(Broker& broker, const std::string& prefix) {
  for (const messaging::TopicInfo& topic : Must(broker.ListTopics())) {
    if (topic.spec.name.starts_with(prefix)) Must(broker.DeleteTopic(topic.spec.name));
  }
}

}  // namespace
}  // namespace marquee::bench

int main(int argc, char** argv) {
  using namespace marquee::bench;  // NOLINT: a program, not a header
  std::string_view what = argc > 3 ? argv[1] : "";
  bool is_known =
      what == "complete" ? argc > 4 : (what == "follow" || what == "delete") && argc == 4;
  if (!is_known)
    Fail("usage: means_watch complete|follow|delete URL PREFIX …, as its first lines say");
  marquee::SystemClock clock;
  auto broker = Must(marquee::messaging::OpenBroker(argv[2], {}, clock));
  if (what == "complete") {
    std::vector<int64_t> ends;
    for (int i = 4; i < argc; ++i) ends.push_back(NumberArgument("END", argv[i], 0, INT64_MAX));
    AwaitComplete(*broker, clock, argv[3], ends);
  } else if (what == "follow") {
    Follow(*broker, argv[3]);
  } else {
    Delete(*broker, argv[3]);
  }
}
