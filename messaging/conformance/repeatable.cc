// 5. Repeatable: delivery is at least once; messages stay readable after they were processed, for
// every group.
#include <gtest/gtest.h>

#include <optional>

#include "absl/strings/str_cat.h"
#include "messaging/conformance/herd.h"
#include "messaging/conformance/trial.h"

namespace marquee::messaging::conformance {
namespace {

// Joins a group alone, reads all its topic holds, reports, and leaves. Where the backend's nodes
// are killed meanwhile, it may lose its shards on the way, and gain them again.
Collector ReadAsGroup(Trial& trial, const std::string& topic, const std::string& group) {
  Herd herd(trial, group, {topic});
  Member& member = herd.Join();
  EXPECT_TRUE(herd.EventuallyReadAll());
  for (const TopicShard& shard : herd.shards()) {
    MUST(member.subscription().ReportPosition(shard, herd.next(shard)));
  }
  return herd.collector();
}

void EachGroupSeesEverything(Trial& trial) {
  std::string topic = trial.Declare(4);
  PutMany(trial.broker(), topic, 1, 1'000, 33);
  std::vector<Got> first = ReadAsGroup(trial, topic, trial.Name("group")).Records();
  EXPECT_EQ(first.size(), 1'000u);
  EXPECT_EQ(ReadAsGroup(trial, topic, trial.Name("group")).Records(), first);
  EXPECT_EQ(ReadTopic(trial, trial.broker(), topic).Records(), first) << "and so does no group";
}

void WhatWasReadStaysReadable(Trial& trial) {
  std::string topic = trial.Declare(2), group = trial.Name("group");
  PutMany(trial.broker(), topic, 1, 500, 33);
  std::vector<Got> first = ReadAsGroup(trial, topic, group).Records();
  EXPECT_EQ(first.size(), 500u);
  EXPECT_EQ(ReadAsGroup(trial, topic, group).Records(), first) << "by the same group";
  trial.Restart();
  EXPECT_EQ(ReadAsGroup(trial, topic, group).Records(), first) << "after a restart";
}

void TwoGroupsReadSideBySide(Trial& trial) {
  std::string topic = trial.Declare(3);
  Herd one(trial, trial.Name("group"), {topic}), other(trial, trial.Name("group"), {topic});
  for (int i = 0; i < 2; ++i) {
    one.Join();
    other.Join();
  }
  EXPECT_TRUE(one.EventuallySettled());
  EXPECT_TRUE(other.EventuallySettled());
  PutMany(trial.broker(), topic, 1, 600, 33);
  EXPECT_TRUE(trial.Soon([&] {
    one.PollAll();
    other.PollAll();
    return one.collector().size() >= 600 && other.collector().size() >= 600;
  }));
  EXPECT_EQ(one.collector().Records(), other.collector().Records());
}

// Every byte of key, value and headers, with all that is easily confused.
void EveryByteComesBackAsItWas(Trial& trial) {
  std::string topic = trial.Declare(1);
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes.push_back(static_cast<char>(i));
  std::string nul("\0", 1), invalid_utf8("\xff\xfe\xc0\x80");
  std::vector<Header> headers = {
      {"traceparent", "00-ab-cd-01"}, {"", ""}, {"binary", bytes}, {"twice", "1"}, {"twice", "2"}};
  std::vector<NewRecord> records = {
      {.key = bytes, .value = bytes, .headers = headers},
      {.key = "", .value = "empty key"},
      {.key = "empty value", .value = ""},
      {.key = "no value", .value = std::nullopt},
      {.key = "", .value = ""},
      {.key = nul, .value = nul},
      {.key = invalid_utf8, .value = invalid_utf8},
      {.key = "headers alone", .value = std::nullopt, .headers = headers},
  };
  auto publisher = MUST(trial.broker().OpenPublisher(topic));
  MUST(publisher->Publish(records));
  MUST(publisher->Flush());
  std::vector<Got> got = ReadTopic(trial, trial.broker(), topic).Records();
  ASSERT_EQ(got.size(), records.size());
  for (size_t i = 0; i < records.size(); ++i) {
    EXPECT_EQ(got[i].key, records[i].key);
    ASSERT_EQ(got[i].value.has_value(), records[i].value.has_value()) << got[i];
    EXPECT_EQ(got[i].value.value_or(""), std::string(records[i].value.value_or("")));
    ASSERT_EQ(got[i].headers.size(), records[i].headers.size()) << got[i];
    for (size_t h = 0; h < got[i].headers.size(); ++h) {
      EXPECT_EQ(got[i].headers[h].first, records[i].headers[h].name);
      EXPECT_EQ(got[i].headers[h].second, records[i].headers[h].value);
    }
  }
}

void ReportedPositionsAreShownAndMoveNobody(Trial& trial) {
  std::string topic = trial.Declare(2), group = trial.Name("group");
  PutMany(trial.broker(), topic, 1, 200, 33);
  auto reader = MUST(trial.broker().OpenReader({.group = group, .member = "m"}));
  MUST(reader->Start(At(topic, 0), StartPosition::AtEarliest()));
  Offset end = MUST(trial.broker().DescribeShard(At(topic, 0))).end;
  MUST(reader->ReportPosition(At(topic, 0), end));
  auto reported = [&]() -> std::optional<GroupShard> {
    for (const GroupInfo& info : MUST(trial.broker().ListGroups())) {
      if (info.group != group) continue;
      for (const GroupShard& shard : info.shards) {
        if (shard.shard == At(topic, 0)) return shard;
      }
    }
    return std::nullopt;
  };
  EXPECT_TRUE(trial.SoonSeen([&] {
    auto shown = reported();
    return shown && shown->reported == end && shown->lag == 0;
  }));
  Collector collector;
  ReadToEnd(trial, trial.broker(), *reader, {At(topic, 0)}, &collector);
  EXPECT_EQ(collector.Records(), ReadShard(trial, trial.broker(), At(topic, 0)).Records())
      << "the report is never read back as a position";
}

// Whoever does not look at headers and lingers reads the same, also what comes in drops.
void AReaderThatLingersGetsTheSame(Trial& trial) {
  std::string topic = trial.Declare(2);
  auto reader =
      MUST(trial.broker().OpenReader({.headers = false, .linger = absl::Milliseconds(200)}));
  std::vector<TopicShard> shards = ShardsOf(trial.broker(), topic);
  for (const TopicShard& shard : shards) MUST(reader->Start(shard, StartPosition::AtEarliest()));
  Collector collector;
  for (int i = 0; i < 3; ++i) {
    PutMany(trial.broker(), topic, 100 * i + 1, 100 * i + 100, 33);
    ReadToEnd(trial, trial.broker(), *reader, shards, &collector);
  }
  std::vector<Got> lingered = collector.Records();
  std::vector<Got> others = ReadTopic(trial, trial.broker(), topic).Records();
  ASSERT_EQ(lingered.size(), others.size());
  for (size_t i = 0; i < others.size(); ++i) {
    EXPECT_EQ(lingered[i].offset, others[i].offset);
    EXPECT_EQ(lingered[i].key, others[i].key);
    EXPECT_EQ(lingered[i].value, others[i].value);
  }
}

}  // namespace

std::vector<Fact> RepeatableFacts() {
  return {MARQUEE_FACT(EachGroupSeesEverything),
          MARQUEE_FACT(WhatWasReadStaysReadable),
          MARQUEE_FACT(TwoGroupsReadSideBySide),
          MARQUEE_FACT(EveryByteComesBackAsItWas),
          MARQUEE_FACT(ReportedPositionsAreShownAndMoveNobody),
          MARQUEE_FACT(AReaderThatLingersGetsTheSame)};
}

}  // namespace marquee::messaging::conformance
