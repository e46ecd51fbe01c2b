#include "messaging/pack_gatherer.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/random.h"

namespace marquee::messaging {
namespace {

constexpr int64_t kNowMs = 1'700'000'000'000;
constexpr absl::Duration kStart = absl::Seconds(100);

void Add(PackGatherer& gatherer, uint32_t shard, std::string_view value,
         absl::Duration now = kStart) {
  gatherer.Add(Shard(shard), {.key = "k", .value = value}, kNowMs, now);
}

// The values of the next sealed pack.
std::vector<std::string> Take(PackGatherer& gatherer, uint32_t* shard = nullptr) {
  std::optional<SealedPack> sealed = gatherer.TakeSealed();
  if (!sealed) return {};
  if (shard != nullptr) *shard = sealed->shard.value();
  PackCompressor compressor;
  PackDecoder decoder;
  std::string pack;
  sealed->encoder.Finish(compressor, &pack);
  absl::Status status = decoder.Add(pack, Offset(0));
  EXPECT_TRUE(status.ok()) << status;
  std::vector<std::string> values;
  for (const Record& record : decoder.records()) values.emplace_back(*record.value);
  gatherer.Reuse(std::move(sealed->encoder));
  return values;
}

using Values = std::vector<std::string>;

TEST(PackGathererTest, NothingIsSealedBeforeThereIsAReason) {
  PackGatherer gatherer(2, {});
  Add(gatherer, 0, "a");
  Add(gatherer, 1, "b");
  EXPECT_TRUE(gatherer.HasOpen());
  EXPECT_FALSE(gatherer.HasSealed());
  EXPECT_FALSE(gatherer.TakeSealed());
  gatherer.SealAll();
  EXPECT_FALSE(gatherer.HasOpen());
  EXPECT_GT(gatherer.sealed_bytes(), 0u);
  EXPECT_EQ(Take(gatherer), Values{"a"});
  EXPECT_EQ(Take(gatherer), Values{"b"});
  EXPECT_EQ(gatherer.sealed_bytes(), 0u);
  EXPECT_FALSE(gatherer.HasSealed());
}

TEST(PackGathererTest, APackThatIsFullIsSealedAndTheOthersStayOpen) {
  PackGatherer gatherer(2, {.pack_bytes = 1'000});
  Add(gatherer, 1, "other");
  std::string value(600, 'x');
  Add(gatherer, 0, value);
  EXPECT_FALSE(gatherer.HasSealed());
  Add(gatherer, 0, value);
  uint32_t shard = 9;
  EXPECT_EQ(Take(gatherer, &shard), Values{value}) << "it would be too large with the second";
  EXPECT_EQ(shard, 0u);
  EXPECT_FALSE(gatherer.HasSealed());
  EXPECT_TRUE(gatherer.HasOpen());
}

TEST(PackGathererTest, ARecordThatIsLargerThanAPackHasOneOfItsOwn) {
  PackGatherer gatherer(1, {.pack_bytes = 100});
  std::string large(500, 'x');
  Add(gatherer, 0, "before");
  Add(gatherer, 0, large);
  Add(gatherer, 0, "after");
  EXPECT_EQ(Take(gatherer), Values{"before"});
  EXPECT_EQ(Take(gatherer), Values{large});
  EXPECT_TRUE(Take(gatherer).empty());
  gatherer.SealAll();
  EXPECT_EQ(Take(gatherer), Values{"after"});
}

TEST(PackGathererTest, APackHasNoMoreRecordsThanItMay) {
  PackGatherer gatherer(1, {.pack_records = 3});
  for (int i = 0; i < 7; ++i) Add(gatherer, 0, absl::StrCat(i));
  EXPECT_EQ(Take(gatherer), (Values{"0", "1", "2"}));
  EXPECT_EQ(Take(gatherer), (Values{"3", "4", "5"}));
  EXPECT_FALSE(gatherer.HasSealed());
}

TEST(PackGathererTest, AllAreSealedWhenTogetherTheyAreTooLarge) {
  PackGatherer gatherer(8, {.open_bytes = 1'000});
  std::string value(300, 'x');
  for (uint32_t shard = 0; shard < 3; ++shard) Add(gatherer, shard, value);
  EXPECT_FALSE(gatherer.HasSealed());
  Add(gatherer, 3, value);
  EXPECT_FALSE(gatherer.HasOpen());
  for (uint32_t shard = 0; shard < 4; ++shard) EXPECT_EQ(Take(gatherer), Values{value});
}

TEST(PackGathererTest, WhatIsTogetherComesIntoOnePackWhateverElseIsOpen) {
  constexpr size_t kPackBytes = 2'000, kOpenBytes = 2'500;
  for (size_t others_bytes : {0, 100, 1'000, 2'000, 2'400}) {
    SCOPED_TRACE(others_bytes);
    PackGatherer gatherer(3, {.pack_bytes = kPackBytes, .open_bytes = kOpenBytes});
    std::string value(others_bytes / 2, 'x');
    Add(gatherer, 1, value);
    Add(gatherer, 2, value);
    Values values;
    std::vector<NewRecord> records;
    for (int i = 0; i < 100; ++i) {
      values.push_back(absl::StrCat(i));
      records.push_back({.key = "k", .value = "12"});
      if (BytesTogether(records) <= PackGatherer::TogetherBytesMax(kPackBytes)) continue;
      values.pop_back();
      records.pop_back();
      break;
    }
    gatherer.MakeRoom(BytesTogether(records));
    for (const std::string& one : values) Add(gatherer, 0, one);
    gatherer.SealAll();
    uint32_t shard = 9;
    while (gatherer.HasSealed() && shard != 0) {
      Values taken = Take(gatherer, &shard);
      if (shard == 0) {
        EXPECT_EQ(taken, values);
      }
    }
    EXPECT_EQ(shard, 0u);
  }
}

TEST(PackGathererTest, TheOldestRecordLingersNoLongerThanItMay) {
  PackGatherer gatherer(2, {});
  EXPECT_EQ(gatherer.LingersUntil(), absl::InfiniteDuration());
  Add(gatherer, 0, "oldest", kStart);
  Add(gatherer, 1, "younger", kStart + kPackLinger / 2);
  EXPECT_EQ(gatherer.LingersUntil(), kStart + kPackLinger);
  gatherer.SealLingered(kStart + kPackLinger - absl::Nanoseconds(1));
  EXPECT_FALSE(gatherer.HasSealed());
  gatherer.SealLingered(kStart + kPackLinger);
  EXPECT_EQ(Take(gatherer), Values{"oldest"});
  EXPECT_EQ(Take(gatherer), Values{"younger"});
  Add(gatherer, 0, "next", kStart + absl::Seconds(1));
  EXPECT_EQ(gatherer.LingersUntil(), kStart + absl::Seconds(1) + kPackLinger);
}

TEST(PackGathererTest, WhatIsClearedIsForgotten) {
  PackGatherer gatherer(2, {.pack_records = 2});
  for (int i = 0; i < 5; ++i) Add(gatherer, 0, absl::StrCat(i));
  gatherer.Clear();
  EXPECT_FALSE(gatherer.HasOpen());
  EXPECT_FALSE(gatherer.HasSealed());
  EXPECT_EQ(gatherer.sealed_bytes(), 0u);
  Add(gatherer, 0, "new");
  gatherer.SealAll();
  EXPECT_EQ(Take(gatherer), Values{"new"});
}

// Whatever comes in which order: each shard's records come out once, in order, within the limits.
TEST(PackGathererTest, EachShardsRecordsComeOutInOrderWhateverSealsThem) {
  constexpr uint32_t kShards = 3;
  uint64_t seed = Random::FromSystem().Next();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  Random random(seed);
  PackGatherer gatherer(kShards, {.pack_bytes = 2'000, .pack_records = 20, .open_bytes = 4'000});
  std::map<uint32_t, Values> published, taken;
  auto take = [&] {
    uint32_t shard = 0;
    Values values = Take(gatherer, &shard);
    EXPECT_LE(values.size(), 20u);
    size_t bytes = 0;
    for (const std::string& value : values) bytes += value.size();
    EXPECT_TRUE(bytes <= 2'000 || values.size() == 1) << bytes;
    taken[shard].insert(taken[shard].end(), values.begin(), values.end());
  };
  absl::Duration now = kStart;
  for (int i = 0; i < 20'000; ++i) {
    auto shard = static_cast<uint32_t>(random.Below(kShards));
    std::string value =
        absl::StrCat(i, std::string(random.Below(random.OneIn(50) ? 3'000 : 99), 'x'));
    Add(gatherer, shard, value, now);
    published[shard].push_back(value);
    now += absl::Milliseconds(random.Below(3));
    if (random.OneIn(40)) gatherer.SealLingered(now);
    if (random.OneIn(200)) gatherer.SealAll();
    while (gatherer.HasSealed() && random.OneIn(2)) take();
  }
  gatherer.SealAll();
  while (gatherer.HasSealed()) take();
  EXPECT_EQ(gatherer.sealed_bytes(), 0u);
  EXPECT_EQ(published, taken);
}

}  // namespace
}  // namespace marquee::messaging
