#include "messaging/pack.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "base/random.h"

namespace marquee::messaging {
namespace {

constexpr int64_t kNowMs = 1'700'000'000'000;

// A record with bytes of its own.
struct Owned {
  std::string key;
  std::optional<std::string> value;
  std::vector<std::pair<std::string, std::string>> headers;
  int64_t published_ms = kNowMs;
  uint64_t skipped = 0;
};

std::string Encode(const std::vector<Owned>& records, PackEncoder& encoder) {
  for (const Owned& record : records) {
    std::vector<Header> headers;
    for (const auto& [name, value] : record.headers) headers.push_back({name, value});
    encoder.Add(record.key, record.value, headers, record.published_ms, record.skipped);
  }
  PackCompressor compressor;
  std::string pack;
  encoder.Finish(compressor, &pack);
  return pack;
}

std::string Encode(const std::vector<Owned>& records) {
  PackEncoder encoder;
  return Encode(records, encoder);
}

void ExpectSame(const std::vector<Owned>& expected, std::span<const Record> found, int64_t first) {
  ASSERT_EQ(found.size(), expected.size());
  int64_t offset = first;
  for (size_t i = 0; i < expected.size(); ++i) {
    offset += static_cast<int64_t>(expected[i].skipped);
    EXPECT_EQ(found[i].key, expected[i].key);
    EXPECT_EQ(found[i].value, expected[i].value);
    EXPECT_EQ(found[i].published, absl::FromUnixMillis(expected[i].published_ms));
    EXPECT_EQ(found[i].offset, Offset(offset++));
    ASSERT_EQ(found[i].headers.size(), expected[i].headers.size());
    for (size_t j = 0; j < expected[i].headers.size(); ++j) {
      EXPECT_EQ(found[i].headers[j].name, expected[i].headers[j].first);
      EXPECT_EQ(found[i].headers[j].value, expected[i].headers[j].second);
    }
  }
}

std::string RandomBytes(Random& random, size_t size_max) {
  std::string bytes(random.Below(size_max + 1), '\0');
  char range = random.OneIn(2) ? 4 : 127;
  for (char& c : bytes) c = static_cast<char>(random.Below(static_cast<uint64_t>(range)));
  return bytes;
}

std::vector<Owned> RandomRecords(uint64_t seed) {
  Random random(seed);
  bool with_headers = random.OneIn(3);
  bool with_skips = random.OneIn(3);
  bool with_times = random.OneIn(2);
  std::vector<Owned> records(random.Below(200));
  for (Owned& record : records) {
    record.key = RandomBytes(random, 12);
    if (!random.OneIn(10)) record.value = RandomBytes(random, random.OneIn(20) ? 3000 : 60);
    if (with_times) record.published_ms = kNowMs + static_cast<int64_t>(random.Below(2000)) - 1000;
    if (with_skips) record.skipped = random.Below(300);
    while (with_headers && random.OneIn(2)) {
      record.headers.emplace_back(RandomBytes(random, 10), RandomBytes(random, 30));
    }
  }
  return records;
}

TEST(PackTest, WhatIsDecodedIsWhatWasEncoded) {
  PackEncoder encoder;
  PackDecoder decoder;
  for (uint64_t seed = 0; seed < 500; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::vector<Owned> records = RandomRecords(seed);
    std::string pack = Encode(records, encoder);
    decoder.Clear();
    absl::Status status = decoder.Add(pack, Offset(1000));
    ASSERT_TRUE(status.ok()) << status;
    ExpectSame(records, decoder.records(), 1000);
  }
}

TEST(PackTest, SeveralPacksAreReadIntoOneBatch) {
  std::vector<Owned> first = RandomRecords(1);
  std::vector<Owned> second = RandomRecords(2);
  PackDecoder decoder;
  ASSERT_TRUE(decoder.Add(Encode(first), Offset(0)).ok());
  ASSERT_TRUE(decoder.Add(Encode(second), Offset(5000)).ok());
  ExpectSame(first, decoder.records().first(first.size()), 0);
  ExpectSame(second, decoder.records().subspan(first.size()), 5000);
}

TEST(PackTest, EveryFlippedBitIsDetected) {
  for (uint64_t seed : {3u, 8u, 11u}) {
    std::string pack = Encode(RandomRecords(seed));
    PackDecoder decoder;
    for (size_t bit = 0; bit < 8 * pack.size(); ++bit) {
      std::string damaged = pack;
      damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ 1 << bit % 8);
      absl::Status status = decoder.Add(damaged, Offset(0));
      ASSERT_EQ(status.code(), absl::StatusCode::kDataLoss) << "seed " << seed << " bit " << bit;
      ASSERT_TRUE(decoder.records().empty());
      decoder.Clear();
    }
  }
}

TEST(PackTest, EveryTruncationIsDetected) {
  std::string pack = Encode(RandomRecords(3));
  PackDecoder decoder;
  for (size_t size = 0; size < pack.size(); ++size) {
    ASSERT_EQ(decoder.Add(pack.substr(0, size), Offset(0)).code(), absl::StatusCode::kDataLoss)
        << size;
  }
  EXPECT_EQ(decoder.Add(pack + "x", Offset(0)).code(), absl::StatusCode::kDataLoss);
}

TEST(PackTest, ADamagedPackLeavesTheBatchAsItWas) {
  std::vector<Owned> records = RandomRecords(1);
  std::string pack = Encode(records);
  PackDecoder decoder;
  ASSERT_TRUE(decoder.Add(pack, Offset(0)).ok());
  pack[pack.size() / 2] ^= 1;
  ASSERT_FALSE(decoder.Add(pack, Offset(0)).ok());
  ExpectSame(records, decoder.records(), 0);
}

TEST(PackTest, RatingsLikeRecordsTakeFewBytes) {
  Random random(5);
  std::vector<Owned> records(4000);
  for (size_t i = 0; i < records.size(); ++i) {
    records[i].key = std::to_string(random.Below(20'000));
    // Like a rating on the wire: user, movie, value, time, and a stamp that repeats or counts.
    records[i].value = "\x08" + std::to_string(random.Below(200'000)) + "\x10" + records[i].key +
                       "\x18" + static_cast<char>(random.Below(10)) + "generated-source-0001" +
                       std::to_string(i);
  }
  EXPECT_LE(Encode(records).size(), 20 * records.size());
}

TEST(PackTest, GoldenBytesOfVersion1) {
  std::vector<Owned> records = {
      {.key = "318", .value = "five", .headers = {{"h", "v"}}},
      {.key = "296",
       .value = std::nullopt,
       .headers = {},
       .published_ms = kNowMs + 3,
       .skipped = 2},
  };
  EXPECT_EQ(absl::BytesToHexString(Encode(records)),
            "4d51504b01000700020000001f0000000068e5cf8b01000002020202060604030305000006000201016801"
            "760033313832"
            "393666697665a4aa4be8bfc1e0c2");
}

}  // namespace
}  // namespace marquee::messaging
