#include "messaging/transposed.h"

#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "base/random.h"

namespace marquee::messaging {
namespace {

struct Values {
  std::string bytes;
  std::vector<uint32_t> lengths;

  void Add(std::optional<std::string_view> value) {
    bytes.append(value.value_or(""));
    lengths.push_back(value.has_value() ? static_cast<uint32_t>(value->size() + 1) : 0);
  }
};

std::optional<std::string> Back(const Values& values, std::string_view shared,
                                std::string_view transposed) {
  std::string out(values.bytes.size() + kTransposedBytesMax, '?');
  if (!Untranspose(shared, transposed, values.lengths, out.data())) return std::nullopt;
  out.resize(values.bytes.size());
  return out;
}

TEST(TransposedTest, EachPlaceOfAllValuesStandsTogether) {
  Values values;
  for (const char* value : {"ab1x", "ab2y", "ab", "ac3z!"}) values.Add(value);
  Transposer transposer;
  EXPECT_FALSE(transposer.Pays(values.bytes, values.lengths));  // 5 bytes of 4 values
  EXPECT_EQ(transposer.shared(), std::string_view("\0\2\2\1", 4));
  EXPECT_EQ(transposer.Transpose(values.bytes, values.lengths), "abc123xyz!");
  EXPECT_EQ(Back(values, transposer.shared(), "abc123xyz!"), values.bytes);
}

TEST(TransposedTest, LongValuesKeepTheirEndsTogether) {
  std::string like(kTransposedBytesMax + 10, 'a');
  Values values;
  values.Add(like + "first");
  values.Add(like + "second");
  Transposer transposer;
  EXPECT_TRUE(transposer.Pays(values.bytes, values.lengths));
  EXPECT_EQ(transposer.shared()[1], static_cast<char>(kTransposedBytesMax));
  EXPECT_EQ(transposer.Transpose(values.bytes, values.lengths),
            like.substr(0, kTransposedBytesMax) + "aaaaaaaaaafirstaaaaaaaaaasecond");
}

TEST(TransposedTest, PaysWhereAQuarterIsShared) {
  Transposer transposer;
  auto pays = [&](std::string_view first, std::string_view second) {
    Values values;
    for (int i = 0; i < 50; ++i) values.Add(i % 2 == 0 ? first : second);
    return transposer.Pays(values.bytes, values.lengths);
  };
  EXPECT_TRUE(pays("abc456789", "abc654321"));
  EXPECT_FALSE(pays("abc4567890123", "abc7654321098"));
  EXPECT_FALSE(pays("a3", "a4"));  // a byte for how many are shared, to save one
  EXPECT_FALSE(pays("", ""));
}

TEST(TransposedTest, WhatComesBackIsWhatWentIn) {
  Transposer transposer;
  for (uint64_t seed = 0; seed < 500; ++seed) {
    Random random(seed);
    Values values;
    std::string value;
    for (uint64_t count = random.Below(60); count > 0; --count) {
      value.resize(random.Below(value.size() + 1));
      for (uint64_t more = random.Below(random.OneIn(4) ? 100 : 12); more > 0; --more) {
        value.push_back(static_cast<char>(random.Below(3)));
      }
      values.Add(random.OneIn(9) ? std::nullopt : std::optional<std::string_view>(value));
    }
    transposer.Pays(values.bytes, values.lengths);
    std::string transposed(transposer.Transpose(values.bytes, values.lengths));
    std::string shared(transposer.shared());
    ASSERT_EQ(Back(values, shared, transposed), values.bytes) << "seed " << seed;
    // A byte more, or another count of what is shared, is not of these lengths.
    EXPECT_EQ(Back(values, shared, transposed + "x"), std::nullopt);
    if (!shared.empty()) {
      shared[random.Below(shared.size())] ^= static_cast<char>(1 << random.Below(8));
      EXPECT_EQ(Back(values, shared, transposed), std::nullopt) << "seed " << seed;
    }
  }
}

}  // namespace
}  // namespace marquee::messaging
