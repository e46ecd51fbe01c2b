#include "messaging/pack.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <xxhash.h>

#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "base/random.h"

namespace marquee::messaging {
namespace {

using testing::HasSubstr;

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

// Like ratings on the wire: a stamp that repeats or counts, movie, user, value.
std::vector<Owned> RatingsLikeRecords(size_t count) {
  Random random(5);
  std::vector<Owned> records(count);
  for (size_t i = 0; i < count; ++i) {
    records[i].key = std::to_string(random.Below(20'000));
    records[i].value = "generated-source-0001" + std::to_string(1000 + i) + "\x10" +
                       records[i].key + "\x08" + std::to_string(random.Below(200'000)) + "\x18" +
                       static_cast<char>(random.Below(10));
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
  std::vector<std::string> packs = {Encode(RatingsLikeRecords(20))};
  for (uint64_t seed : {3u, 8u, 11u}) packs.push_back(Encode(RandomRecords(seed)));
  for (const std::string& pack : packs) {
    PackDecoder decoder;
    for (size_t bit = 0; bit < 8 * pack.size(); ++bit) {
      std::string damaged = pack;
      damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ 1 << bit % 8);
      absl::Status status = decoder.Add(damaged, Offset(0));
      ASSERT_EQ(status.code(), absl::StatusCode::kDataLoss) << "bit " << bit;
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
  std::vector<Owned> records = RatingsLikeRecords(4000);
  EXPECT_LE(Encode(records).size(), 18 * records.size());
}

TEST(PackTest, ValuesThatBeginAlikeAreTransposed) {
  std::vector<Owned> records = RatingsLikeRecords(100);
  records[7].value = std::nullopt;
  records[8].value = "";
  records[9].value->append(3000, 'x');
  std::string pack = Encode(records);
  EXPECT_EQ(pack[4], 2);
  PackDecoder decoder;
  ASSERT_TRUE(decoder.Add(pack, Offset(0)).ok());
  ExpectSame(records, decoder.records(), 0);
}

TEST(PackTest, FewBytesAndValuesThatDifferAreNotTransposed) {
  EXPECT_EQ(Encode(RatingsLikeRecords(4))[4], 1);
  std::vector<Owned> titles(100);
  Random random(2);
  for (Owned& record : titles) record.value = RandomBytes(random, 60);
  EXPECT_EQ(Encode(titles)[4], 1);
}

// A pack of version 2 as the encoder would not write it, with the right checksum.
std::string PackOf(std::vector<std::string> columns, uint32_t records) {
  std::string raw;
  for (const std::string& column : columns) raw.push_back(static_cast<char>(column.size()));
  for (const std::string& column : columns) raw.append(column);
  std::string pack("MQPK\2\0\0\0", 8);
  auto raw_bytes = static_cast<uint32_t>(raw.size());
  pack.append(reinterpret_cast<const char*>(&records), sizeof records);
  pack.append(reinterpret_cast<const char*>(&raw_bytes), sizeof raw_bytes);
  pack.append(8, '\0');
  pack += raw;
  uint64_t checksum = XXH3_64bits(pack.data(), pack.size());
  pack.append(reinterpret_cast<const char*>(&checksum), sizeof checksum);
  return pack;
}

TEST(PackTest, TransposedValuesThatDoNotAddUpAreRefused) {
  auto with = [](std::string lengths, std::string shared, std::string transposed) {
    PackDecoder decoder;
    std::string pack = PackOf({std::string(2, '\0'), std::move(lengths), std::move(shared), "", "",
                               "", "", std::move(transposed)},
                              2);
    absl::Status status = decoder.Add(pack, Offset(0));
    EXPECT_EQ(decoder.records().size(), status.ok() ? 2 : 0);
    return std::string(status.message());
  };
  std::string two_and_two("\0\2", 2);
  EXPECT_EQ(with("\4\4", two_and_two, "abcd"), "");
  EXPECT_THAT(with("\4\4", two_and_two, "abc"), HasSubstr("do not add up"));
  EXPECT_THAT(with("\4\4", two_and_two, "abcde"), HasSubstr("do not add up"));
  EXPECT_THAT(with("\4\4", std::string("\1\2", 2), "abc"), HasSubstr("do not add up"));
  EXPECT_THAT(with("\4\2", two_and_two, "ab"), HasSubstr("do not add up"));
  EXPECT_THAT(with("\4\4", std::string("\0", 1), "abcd"), HasSubstr("not of all values"));
  EXPECT_THAT(with("\4", two_and_two, "abcd"), HasSubstr("end early"));
  EXPECT_THAT(with("\4\4\4", two_and_two, "abcd"), HasSubstr("left over"));
  EXPECT_THAT(with("\4\xff\xff\xff\xff\xf", two_and_two, "abcd"), HasSubstr("too large"));
  // Each alone may be so large, but not both.
  EXPECT_THAT(with("\x81\x80\x80\4\x81\x80\x80\4", two_and_two, "abcd"), HasSubstr("too large"));
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

// Not what the encoder writes, which transposes larger packs only.
TEST(PackTest, GoldenBytesOfVersion2) {
  std::string pack = absl::HexStringToBytes(
      "4d51504b0200000004000000240000000068e5cf8b01000004040400000008080303010105000305000000023331"
      "38323936313266666969766e65650fd2441dff1b2a76");
  PackDecoder decoder;
  absl::Status status = decoder.Add(pack, Offset(7));
  ASSERT_TRUE(status.ok()) << status;
  ExpectSame({{.key = "318", .value = "five"},
              {.key = "296", .value = std::nullopt},
              {.key = "1", .value = "fi"},
              {.key = "2", .value = "fine"}},
             decoder.records(), 7);
}

TEST(PackTest, RecordsBeyondTheOffsetsOfTheirPlaceAreDamage) {
  std::string pack = Encode({{.key = "a"}, {.key = "b"}, {.key = "c", .skipped = 2}});
  PackDecoder decoder;
  EXPECT_TRUE(decoder.Add(pack, Offset(10), Offset(15)).ok()) << "at 10, 11 and 14";
  absl::Status status = decoder.Add(pack, Offset(20), Offset(24));
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("beyond the offsets"));
  EXPECT_EQ(decoder.records().size(), 3u) << "nothing of it was appended";
}

TEST(PackTest, APackSaysHowLargeItIsUncompressed) {
  std::string pack = Encode({{.key = std::string(5'000, 'k')}});
  EXPECT_LT(pack.size(), 1'000u);
  EXPECT_GE(PackRawBytes(pack), 5'000u);
  EXPECT_LT(PackRawBytes(pack), 5'100u);
  EXPECT_EQ(PackRawBytes(pack.substr(0, 20)), 0u);
}

}  // namespace
}  // namespace marquee::messaging
