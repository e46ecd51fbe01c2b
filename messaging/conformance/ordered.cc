// 2. Ordered: messages of one publisher with the same key are delivered in the order of publishing.
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "messaging/conformance/threads.h"
#include "messaging/conformance/trial.h"

namespace marquee::messaging::conformance {
namespace {

// Values are "<publisher>:<sequence>"; sequences of a publisher and key must grow along the
// offsets, and `all` of each publisher be there.
void ExpectOrdered(const std::vector<Got>& records, const std::map<std::string, int>& all) {
  std::map<std::pair<std::string, std::string>, int> last;
  std::map<std::string, std::set<int>> seen;
  for (const Got& got : records) {
    std::vector<std::string> parts = absl::StrSplit(got.value.value(), ':');
    int sequence = 0;
    ASSERT_TRUE(parts.size() == 2 && absl::SimpleAtoi(parts[1], &sequence)) << got;
    int& before = last[{parts[0], got.key}];
    ASSERT_LT(before, sequence) << "out of order: " << got;
    before = sequence;
    seen[parts[0]].insert(sequence);
  }
  for (const auto& [publisher, count] : all) {
    EXPECT_EQ(seen[publisher].size(), static_cast<size_t>(count)) << "of publisher " << publisher;
  }
}

void PublishInSpans(Broker& broker, const std::string& topic, const std::string& name, int count,
                    int span_max, uint64_t seed) {
  Random random(seed);
  auto publisher = MUST(broker.OpenPublisher(topic));
  for (int done = 0; done < count;) {
    int size = std::min<int>(count - done, 1 + static_cast<int>(random.Below(span_max)));
    std::vector<std::string> keys, values;
    for (int i = 1; i <= size; ++i) {
      keys.push_back(absl::StrCat("movie", random.Below(97)));
      values.push_back(absl::StrCat(name, ":", done + i));
    }
    std::vector<NewRecord> records;
    records.reserve(size);
    for (int i = 0; i < size; ++i) records.push_back({.key = keys[i], .value = values[i]});
    MUST(publisher->Publish(records));
    done += size;
    if (random.OneIn(50)) MUST(publisher->Flush());
  }
  MUST(publisher->Flush());
}

void EachPublishersRecordsOfAKeyKeepTheirOrder(Trial& trial) {
  constexpr int kPublishers = 3, kRecords = 34'000;
  std::string topic = trial.Declare(4);
  RunThreads(kPublishers, [&](int i) {
    auto broker = trial.Open();
    PublishInSpans(*broker, topic, absl::StrCat("p", i), kRecords, 500, i);
  });
  Collector collector = ReadTopic(trial, trial.broker(), topic);
  EXPECT_EQ(collector.size(), size_t{kPublishers} * kRecords);
  ExpectOrdered(collector.Records(), {{"p0", kRecords}, {"p1", kRecords}, {"p2", kRecords}});
}

void TwoPublishersOfOneConnectionKeepTheirOrders(Trial& trial) {
  std::string topic = trial.Declare(1);
  RunThreads(
      2, [&](int i) { PublishInSpans(trial.broker(), topic, absl::StrCat("p", i), 3'000, 5, i); });
  ExpectOrdered(ReadTopic(trial, trial.broker(), topic).Records(), {{"p0", 3'000}, {"p1", 3'000}});
}

void OrderHoldsWhileSomebodyReadsAlong(Trial& trial) {
  constexpr int kRecords = 10'000;
  std::string topic = trial.Declare(3);
  trial.broker();
  SideThread publishing([&] { PublishInSpans(trial.broker(), topic, "p", kRecords, 20, 1); });
  auto broker = trial.Open();
  auto reader = MUST(broker->OpenReader({}));
  for (const TopicShard& shard : ShardsOf(*broker, topic)) {
    MUST(reader->Start(shard, StartPosition::AtEarliest()));
  }
  Collector collector;
  EXPECT_TRUE(trial.Soon([&] {
    Delivery delivery = MUST(reader->Poll(absl::Milliseconds(20)));
    if (delivery.batch) collector.Add(*delivery.batch);
    return collector.size() >= size_t{kRecords};
  }));
  publishing.Join();
  ExpectOrdered(collector.Records(), {{"p", kRecords}});
}

void WhatIsReadFirstIsWhatWasPublishedFirst(Trial& trial) {
  // In the order of delivery this time, not of offsets: a first delivery never overtakes an earlier
  // record.
  std::string topic = trial.Declare(2);
  PutMany(trial.broker(), topic, 1, 2'000, 7);
  auto reader = MUST(trial.broker().OpenReader({}));
  for (uint32_t i = 0; i < 2; ++i) MUST(reader->Start(At(topic, i), StartPosition::AtEarliest()));
  std::map<std::string, int> newest;
  size_t fresh = 0;
  EXPECT_TRUE(trial.Soon([&] {
    Delivery delivery = MUST(reader->Poll(absl::Milliseconds(20)));
    if (!delivery.batch) return fresh == 2'000;
    for (const Record& record : delivery.batch->records) {
      int number = 0;
      std::string value(record.value.value());
      EXPECT_TRUE(absl::SimpleAtoi(value.substr(1), &number)) << value;
      int& before = newest[std::string(record.key)];
      if (number <= before) continue;  // again: delivery is at least once
      EXPECT_EQ(number, before == 0 ? (number - 1) % 7 + 1 : before + 7) << "overtaken";
      before = number;
      ++fresh;
    }
    return fresh == 2'000;
  }));
}

}  // namespace

std::vector<Fact> OrderedFacts() {
  return {MARQUEE_FACT(EachPublishersRecordsOfAKeyKeepTheirOrder),
          MARQUEE_FACT(TwoPublishersOfOneConnectionKeepTheirOrders),
          MARQUEE_FACT(OrderHoldsWhileSomebodyReadsAlong),
          MARQUEE_FACT(WhatIsReadFirstIsWhatWasPublishedFirst)};
}

}  // namespace marquee::messaging::conformance
