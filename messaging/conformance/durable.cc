// 4. Durable: when Flush returns ok, no crash of ours or restart of the broker loses what was
// published before.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "messaging/conformance/trial.h"

namespace marquee::messaging::conformance {
namespace {

void WhatWasFlushedSurvivesARestart(Trial& trial) {
  std::string topic = trial.Declare(3);
  for (int round = 0; round < 5; ++round) {
    PutMany(trial.broker(), topic, 100 * round + 1, 100 * round + 100, 7);
    trial.Restart();
    EXPECT_EQ(ReadTopic(trial, trial.broker(), topic).size(), 100u * (round + 1));
  }
}

// The sequences of each publisher that are in the topic. Values are "<publisher>:<sequence>".
std::map<std::string, std::set<uint64_t>> ReadSequences(Trial& trial, const std::string& topic) {
  std::map<std::string, std::set<uint64_t>> sequences;
  for (const Got& got : ReadTopic(trial, trial.broker(), topic).Records()) {
    std::vector<std::string> parts = absl::StrSplit(got.value.value_or(""), ':');
    uint64_t sequence = 0;
    bool valid = parts.size() == 2 && absl::SimpleAtoi(parts[1], &sequence);
    EXPECT_TRUE(valid) << "never published: " << got;
    if (valid) {
      EXPECT_TRUE(sequences[parts[0]].insert(sequence).second) << "twice: " << got;
    }
  }
  return sequences;
}

// Lets `peer` publish for a while, kills it, and returns the sequence up to which it said that all
// was flushed.
uint64_t KillAtSomeMoment(Trial& trial, Peer& peer) {
  uint64_t flushed = 0;
  uint64_t flushes = 1 + trial.random().Below(8);
  auto take = [&](const PeerEvent& event) {
    EXPECT_NE(event.kind, PeerEvent::Kind::kFailed) << event.text;
    if (event.kind != PeerEvent::Kind::kFlushed) return;
    flushed = event.number;
    if (flushes > 0) --flushes;
  };
  EXPECT_TRUE(trial.Soon([&] {
    if (auto event = peer.Next(absl::Milliseconds(50))) take(*event);
    return flushes == 0;
  }));
  // Not right after a flush, but anywhere between two.
  trial.clock().SleepFor(absl::Microseconds(trial.random().Below(5'000)));
  peer.Kill();
  while (auto event = peer.Next(absl::ZeroDuration())) take(*event);
  return flushed;
}

void WhatAPublisherFlushedSurvivesItsKill(Trial& trial) {
  constexpr int kKills = 24;
  std::string topic = trial.Declare(3);
  std::map<std::string, uint64_t> promised;
  for (int i = 0; i < kKills; ++i) {
    PeerScript script{.role = PeerScript::Role::kPublisher,
                      .name = absl::StrCat("p", i),
                      .topics = {topic},
                      .group = "",
                      .seed = trial.random().Next()};
    auto peer = trial.backend().SpawnPeer(script);
    promised[script.name] = KillAtSomeMoment(trial, *peer);
    if (i % 8 == 7) trial.Restart();
  }
  auto sequences = ReadSequences(trial, topic);
  for (const auto& [name, flushed] : promised) {
    EXPECT_GT(flushed, 0u);
    for (uint64_t sequence = 1; sequence <= flushed; ++sequence) {
      ASSERT_TRUE(sequences[name].contains(sequence))
          << name << " flushed through " << flushed << ", but " << sequence << " is not there";
    }
  }
}

void FlushedThroughIsAboveTheFlushedRecords(Trial& trial) {
  std::string topic = trial.Declare(4);
  auto publisher = MUST(trial.broker().OpenPublisher(topic));
  EXPECT_TRUE(MUST(publisher->Flush()).empty()) << "nothing published";
  std::set<std::string> ours;
  std::set<Shard> shards;
  for (int round = 0; round < 10; ++round) {
    PutMany(trial.broker(), topic, 1, 40, 40, absl::StrCat("theirs", round, "-"));
    for (int i = 0; i < 5; ++i) {
      std::string value = absl::StrCat("ours", round, "-", i);
      // Never to shard 3, and to a growing number of the others.
      Shard shard(static_cast<uint32_t>(trial.random().Below(std::min(3, 1 + round))));
      Put(*publisher, "k", value, shard);
      ours.insert(value);
      shards.insert(shard);
    }
    FlushedThrough through = MUST(publisher->Flush());
    EXPECT_EQ(through.size(), shards.size());
    for (Shard shard : shards) ASSERT_TRUE(through.contains(shard)) << "shard " << shard;
    for (const auto& [shard, offset] : through) {
      EXPECT_LE(offset, MUST(trial.broker().DescribeShard({topic, shard})).end);
    }
    size_t seen = 0;
    for (const Got& got : ReadTopic(trial, trial.broker(), topic).Records()) {
      if (!ours.contains(*got.value)) continue;
      EXPECT_LT(got.offset, through[got.at.shard]) << got;
      ++seen;
    }
    EXPECT_EQ(seen, ours.size());
  }
  FlushedThrough before = MUST(publisher->Flush());
  EXPECT_EQ(before.size(), shards.size()) << "also when nothing new was published";
}

void WhatWasFlushedIsWithinTheExtentAtOnce(Trial& trial) {
  std::string topic = trial.Declare(1);
  auto publisher = MUST(trial.broker().OpenPublisher(topic));
  auto elsewhere = trial.Open();
  for (int i = 1; i <= 50; ++i) {
    Put(*publisher, "k", absl::StrCat(i));
    MUST(publisher->Flush());
    // From another connection: what a client was told is not to be hidden from the next.
    if (i % 10 != 0) continue;
    EXPECT_EQ(ReadTopic(trial, *elsewhere, topic).size(), static_cast<size_t>(i));
  }
}

void RecordsAreSentOnWithoutAFlush(Trial& trial) {
  std::string topic = trial.Declare(1);
  auto publisher = MUST(trial.broker().OpenPublisher(topic));
  auto reader = MUST(trial.broker().OpenReader({}));
  MUST(reader->Start(At(topic, 0), StartPosition::AtEarliest()));
  Put(*publisher, "k", "v");
  Collector collector;
  EXPECT_TRUE(trial.Soon([&] {
    Delivery delivery = MUST(reader->Poll(absl::Milliseconds(50)));
    if (delivery.batch) collector.Add(*delivery.batch);
    return collector.size() == 1;
  }));
}

}  // namespace

std::vector<Fact> DurableFacts() {
  return {MARQUEE_FACT(WhatWasFlushedSurvivesARestart),
          MARQUEE_FACT(WhatAPublisherFlushedSurvivesItsKill),
          MARQUEE_FACT(FlushedThroughIsAboveTheFlushedRecords),
          MARQUEE_FACT(WhatWasFlushedIsWithinTheExtentAtOnce),
          MARQUEE_FACT(RecordsAreSentOnWithoutAFlush)};
}

}  // namespace marquee::messaging::conformance
