// 8. Retained: an event topic keeps messages for its retention; an entity topic keeps at least the
// newest message of each key; an offset that is gone or beyond the end is an error that names the
// gap.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/mutex.h"
#include "messaging/conformance/threads.h"
#include "messaging/conformance/trial.h"

namespace marquee::messaging::conformance {
namespace {

void AnEventTopicKeepsEverything(Trial& trial) {
  std::string topic = trial.Declare(1);
  ShiftedClock long_ago(-absl::Hours(24 * 365 * 20));
  PutMany(*trial.Open(long_ago, {}), topic, 1, 500, 1, "old");
  PutMany(trial.broker(), topic, 501, 1'000, 1);
  trial.Restart();
  EXPECT_EQ(ReadTopic(trial, trial.broker(), topic).size(), 1'000u);
}

// Publishes records that are older than the topic's retention, then young ones until the old are
// dropped. Returns the young ones' values.
size_t PublishOldThenYoung(Trial& trial, const std::string& topic) {
  ShiftedClock yesterday(-absl::Hours(24));
  auto past = trial.Open(yesterday, {});
  for (int i = 0; i < 20; ++i) PutMany(*past, topic, 100 * i + 1, 100 * i + 100, 10, "old");
  size_t young = 0;
  EXPECT_TRUE(trial.Soon([&] {
    PutMany(trial.broker(), topic, 1, 10, 10, "young");
    young += 10;
    Extent extent = MUST(trial.broker().DescribeShard(At(topic, 0)));
    auto reader = MUST(trial.broker().OpenReader({}));
    MUST(reader->Start(At(topic, 0), StartPosition::AtEarliest()));
    absl::StatusOr<Delivery> first = reader->Poll(absl::Milliseconds(100));
    if (!first.ok() || !first->batch || first->batch->records.empty()) return false;
    return extent.begin > Offset(0) &&
           absl::StartsWith(std::string(first->batch->records[0].value.value()), "young");
  })) << "retention has dropped what is old";
  return young;
}

void RetentionDropsWhatIsOldAndSaysSo(Trial& trial) {
  std::string topic = trial.Declare(1, TopicKind::kEvent, absl::Hours(1));
  size_t young = PublishOldThenYoung(trial, topic);
  Collector collector = ReadTopic(trial, trial.broker(), topic);
  EXPECT_EQ(collector.size(), young) << "all that is young is kept";
  for (const Got& got : collector.Records()) EXPECT_TRUE(absl::StartsWith(*got.value, "young"));
  auto reader = MUST(trial.broker().OpenReader({}));
  absl::Status status = reader->Start(At(topic, 0), AtOffset(trial.broker(), topic, Offset(0)));
  EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
  Offset begin = MUST(trial.broker().DescribeShard(At(topic, 0))).begin;
  EXPECT_TRUE(absl::StrContains(status.message(), absl::StrCat(begin.value())))
      << "names the gap, which ends at " << begin << ": " << status;
  MUST(reader->Start(At(topic, 0), AtOffset(trial.broker(), topic, begin)));
}

void AReaderThatRetentionOvertookIsTold(Trial& trial) {
  std::string topic = trial.Declare(1, TopicKind::kEvent, absl::Hours(1));
  auto reader = MUST(trial.broker().OpenReader({}));
  MUST(reader->Start(At(topic, 0), StartPosition::AtEarliest()));
  PublishOldThenYoung(trial, topic);
  EXPECT_TRUE(trial.Soon([&] {
    auto delivery = reader->Poll(absl::Milliseconds(100));
    if (!delivery.ok()) return absl::IsOutOfRange(delivery.status());
    if (!delivery->batch) return false;
    for (const Record& record : delivery->batch->records) {
      EXPECT_FALSE(absl::StartsWith(std::string(*record.value), "young")) << "a silent skip";
    }
    return testing::Test::HasFailure();
  }));
  MUST(reader->Start(At(topic, 0), StartPosition::AtEarliest()));
  MUST(reader->Poll(absl::Milliseconds(100)).status());
}

void AnOffsetBeyondTheEndIsRefused(Trial& trial) {
  for (TopicKind kind : {TopicKind::kEvent, TopicKind::kEntity}) {
    std::string topic = trial.Declare(1, kind);
    PutMany(trial.broker(), topic, 1, 10, 10);
    Offset end = MUST(trial.broker().DescribeShard(At(topic, 0))).end;
    auto reader = MUST(trial.broker().OpenReader({}));
    MUST(reader->Start(At(topic, 0), AtOffset(trial.broker(), topic, end)));
    absl::Status status =
        reader->Start(At(topic, 0), AtOffset(trial.broker(), topic, Offset(end.value() + 1'000)));
    EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
    EXPECT_TRUE(absl::StrContains(status.message(), absl::StrCat(end.value()))) << status;
  }
}

void UpdateSome(Trial& trial, const std::string& topic, int round, int keys,
                std::map<std::string, std::string>* newest) {
  auto publisher = MUST(trial.broker().OpenPublisher(topic));
  for (int i = 0; i < 1'000; ++i) {
    std::string key = absl::StrCat("k", trial.random().Below(keys));
    std::string value = absl::StrCat(round, "-", i);
    Put(*publisher, key, value);
    (*newest)[key] = value;
  }
  MUST(publisher->Flush());
}

void TheNewestOfEachKeyIsKept(Trial& trial) {
  constexpr int kKeys = 300;
  std::string topic = trial.Declare(3, TopicKind::kEntity);
  std::map<std::string, std::string> newest;
  for (int round = 0; round < 10; ++round) {
    UpdateSome(trial, topic, round, kKeys, &newest);
    if (round % 4 == 3) trial.Restart();
    std::map<std::string, Got> got = ReadTopic(trial, trial.broker(), topic).Newest();
    EXPECT_EQ(got.size(), newest.size());
    for (const auto& [key, value] : newest) ASSERT_EQ(got[key].value, value) << key;
  }
}

// What a batch says of itself: nothing is missing in it.
void AWholeBatchMissesNothing(Trial& trial) {
  constexpr int kRounds = 12;
  std::string topic = trial.Declare(1, TopicKind::kEntity);
  std::map<std::string, int> numbers;  // of each value published, in order
  auto publisher = MUST(trial.broker().OpenPublisher(topic));
  auto check = [&](Subscription& reader) {
    int highest = -1;    // that was read
    bool knows = false;  // nothing is missing directly behind it
    while (true) {
      Delivery delivery = MUST(reader.Poll(absl::Milliseconds(200)));
      if (!delivery.batch) return;
      for (const Record& record : delivery.batch->records) {
        int number = numbers.at(std::string(*record.value));
        if (number <= highest) continue;  // delivered again
        EXPECT_TRUE(!knows || !delivery.batch->whole || number == highest + 1)
            << number << " comes after " << highest << " at offset " << record.offset;
        highest = number;
        knows = true;
      }
      knows = knows && delivery.batch->whole;
    }
  };
  auto follower = MUST(trial.broker().OpenReader({}));
  MUST(follower->Start(At(topic, 0), StartPosition::AtEarliest()));
  for (int round = 0; round < kRounds; ++round) {
    for (int i = 0; i < 500; ++i) {
      std::string value = absl::StrCat(round, "-", i);
      numbers.emplace(value, static_cast<int>(numbers.size()));
      Put(*publisher, absl::StrCat("k", trial.random().Below(100)), value);
    }
    MUST(publisher->Flush());
    if (round % 3 == 0) check(*follower);
    auto newcomer = MUST(trial.broker().OpenReader({}));
    MUST(newcomer->Start(At(topic, 0), StartPosition::AtEarliest()));
    check(*newcomer);
  }
}

// What a writer has flushed: at least this version of each key can be read from then on.
class Floor {
 public:
  void Set(const std::map<std::string, int>& versions) {
    MutexLock lock(mutex_);
    versions_ = versions;
  }
  std::map<std::string, int> Get() const {
    MutexLock lock(mutex_);
    return versions_;
  }

 private:
  mutable Mutex mutex_;
  std::map<std::string, int> versions_;
};

constexpr int kQuietKeys = 20;

// Keys "quiet0", … are written once, "busy0", … again and again, until `stop`.
void WriteVersions(Trial& trial, const std::string& topic, const std::atomic<bool>& stop,
                   Floor* floor) {
  constexpr int kBusyKeys = 50;
  auto broker = trial.Open();
  auto publisher = MUST(broker->OpenPublisher(topic));
  for (int i = 0; i < kQuietKeys; ++i) Put(*publisher, absl::StrCat("quiet", i), "1");
  Random random(7);
  std::map<std::string, int> versions;
  while (!stop) {
    for (int i = 0; i < 100; ++i) {
      std::string key = absl::StrCat("busy", random.Below(kBusyKeys));
      Put(*publisher, key, absl::StrCat(++versions[key]));
    }
    MUST(publisher->Flush());
    floor->Set(versions);
  }
}

bool HasAtLeast(const std::map<std::string, int>& floor, const std::map<std::string, Got>& newest) {
  return std::all_of(floor.begin(), floor.end(), [&](const auto& entry) {
    auto at = newest.find(entry.first);
    return at != newest.end() && std::stoi(at->second.value.value_or("0")) >= entry.second;
  });
}

// Reads from the start until every key of `floor` was seen with its version or a newer one. What is
// written meanwhile may take a record from before the reader to behind the end that it knew; so it
// reads on.
void ReadAtLeast(Trial& trial, Broker& broker, const std::string& topic,
                 const std::map<std::string, int>& floor) {
  std::vector<TopicShard> shards = ShardsOf(broker, topic);
  auto reader = MUST(broker.OpenReader({}));
  for (const TopicShard& shard : shards) MUST(reader->Start(shard, StartPosition::AtEarliest()));
  Collector collector;
  ReadToEnd(trial, broker, *reader, shards, &collector);
  std::map<std::string, Got> newest = collector.Newest();
  for (int i = 0; i < kQuietKeys; ++i) {
    EXPECT_TRUE(newest.contains(absl::StrCat("quiet", i))) << i << " has not moved, but is gone";
  }
  EXPECT_TRUE(trial.Soon([&] {
    if (HasAtLeast(floor, collector.Newest())) return true;
    ReadToEnd(trial, broker, *reader, shards, &collector);
    return false;
  }));
}

void TheNewestIsThereAtAnyMomentWhileOthersWrite(Trial& trial) {
  constexpr int kRounds = 25;
  std::string topic = trial.Declare(2, TopicKind::kEntity);
  std::atomic<bool> stop = false;
  Floor floor;
  SideThread writing([&] { WriteVersions(trial, topic, stop, &floor); });
  struct StopAtEnd {
    ~StopAtEnd() { stop = true; }
    std::atomic<bool>& stop;
  } stop_at_end{stop};
  auto broker = trial.Open();
  std::map<std::string, int> before;
  for (int round = 0; round < kRounds; ++round) {
    std::map<std::string, int> expected = before;
    // Each round follows a flush, so the writer is at it all the time.
    EXPECT_TRUE(trial.SoonSeen([&] { return (expected = floor.Get()) != before; }));
    before = expected;
    ReadAtLeast(trial, *broker, topic, expected);
  }
  stop = true;
  writing.Join();
}

void AnEntityTopicStaysSmallWhileKeysRepeat(Trial& trial) {
  constexpr int kKeys = 100, kRecords = 20'000;
  std::string topic = trial.Declare(1, TopicKind::kEntity);
  std::string prefix(100, 'x');
  auto publish = [&](int first) {
    for (int i = first; i < first + kRecords; i += 1'000) {
      PutMany(trial.broker(), topic, i, i + 999, kKeys, prefix);
    }
  };
  auto bytes = [&] { return MUST(trial.broker().DescribeTopic(topic)).bytes_on_disk; };
  // Keys go on repeating meanwhile: a broker may look at what is old only when something new comes.
  auto shrinks = [&] {
    return trial.Soon([&] {
      PutMany(trial.broker(), topic, 0, 0, 1, "tick");
      return ReadTopic(trial, trial.broker(), topic).size() <= kRecords / 10;
    });
  };
  publish(1);
  EXPECT_TRUE(shrinks()) << "older records of a key vanish";
  int64_t after_some = bytes();
  publish(1 + kRecords);
  publish(1 + 2 * kRecords);
  EXPECT_TRUE(shrinks());
  // Where the backend cannot tell, it says 0.
  EXPECT_TRUE(trial.SoonSeen([&] { return bytes() <= 2 * after_some + (1 << 20); })) << bytes();
  std::map<std::string, Got> newest = ReadTopic(trial, trial.broker(), topic).Newest();
  EXPECT_EQ(newest.size(), size_t{kKeys});
  for (int i = 0; i < kKeys - 1; ++i) {
    int last = 3 * kRecords - kKeys + 1 + i;
    EXPECT_EQ(newest[absl::StrCat("k", last % kKeys)].value, absl::StrCat(prefix, last));
  }
}

void AKeptRecordKeepsItsOffset(Trial& trial) {
  std::string topic = trial.Declare(1, TopicKind::kEntity);
  PutMany(trial.broker(), topic, 1, 50, 50, "kept");
  std::map<std::string, Got> before = ReadTopic(trial, trial.broker(), topic).Newest();
  auto publisher = MUST(trial.broker().OpenPublisher(topic));
  for (int i = 0; i < 5'000; ++i) Put(*publisher, absl::StrCat("other", i % 10), "v");
  MUST(publisher->Flush());
  publisher.reset();
  trial.Restart();
  std::map<std::string, Got> after = ReadTopic(trial, trial.broker(), topic).Newest();
  EXPECT_EQ(before.size(), 50u);
  for (const auto& [key, got] : before) EXPECT_EQ(after[key], got);
}

void AMessageWithoutValueDeletesItsKey(Trial& trial) {
  std::string topic = trial.Declare(1, TopicKind::kEntity);
  PutMany(trial.broker(), topic, 0, 99, 100);
  auto publisher = MUST(trial.broker().OpenPublisher(topic));
  for (int i = 0; i < 100; i += 2) Put(*publisher, absl::StrCat("k", i), std::nullopt);
  Put(*publisher, "k0", "came back");
  MUST(publisher->Flush());
  publisher.reset();
  for (int round = 0; round < 2; ++round) {
    std::map<std::string, Got> newest = ReadTopic(trial, trial.broker(), topic).Newest();
    for (int i = 1; i < 100; ++i) {
      auto at = newest.find(absl::StrCat("k", i));
      bool has_value = at != newest.end() && at->second.value.has_value();
      EXPECT_EQ(has_value, i % 2 == 1) << "k" << i;
    }
    EXPECT_EQ(newest["k0"].value, "came back");
    trial.Restart();
  }
}

void AReaderThatWasBehindSeesTheDeletion(Trial& trial) {
  std::string topic = trial.Declare(1, TopicKind::kEntity);
  PutMany(trial.broker(), topic, 0, 19, 20);
  auto reader = MUST(trial.broker().OpenReader({}));
  MUST(reader->Start(At(topic, 0), StartPosition::AtEarliest()));
  Collector collector;
  ReadToEnd(trial, trial.broker(), *reader, {At(topic, 0)}, &collector);
  auto publisher = MUST(trial.broker().OpenPublisher(topic));
  Put(*publisher, "k3", std::nullopt);
  for (int i = 0; i < 20; ++i) Put(*publisher, "k4", absl::StrCat("later", i));
  MUST(publisher->Flush());
  ReadToEnd(trial, trial.broker(), *reader, {At(topic, 0)}, &collector);
  std::map<std::string, Got> newest = collector.Newest();
  EXPECT_FALSE(newest["k3"].value.has_value());
  EXPECT_EQ(newest["k4"].value, "later19");
  EXPECT_EQ(newest["k5"].value, "v5");
}

}  // namespace

std::vector<Fact> RetainedFacts() {
  return {MARQUEE_FACT(AnEventTopicKeepsEverything),
          MARQUEE_FACT(RetentionDropsWhatIsOldAndSaysSo),
          MARQUEE_FACT(AReaderThatRetentionOvertookIsTold),
          MARQUEE_FACT(AnOffsetBeyondTheEndIsRefused),
          MARQUEE_FACT(TheNewestOfEachKeyIsKept),
          MARQUEE_FACT(AWholeBatchMissesNothing),
          MARQUEE_FACT(TheNewestIsThereAtAnyMomentWhileOthersWrite),
          MARQUEE_FACT(AnEntityTopicStaysSmallWhileKeysRepeat),
          MARQUEE_FACT(AKeptRecordKeepsItsOffset),
          MARQUEE_FACT(AMessageWithoutValueDeletesItsKey),
          MARQUEE_FACT(AReaderThatWasBehindSeesTheDeletion)};
}

}  // namespace marquee::messaging::conformance
