#include "http/log_position.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "http/opaque_text.h"

namespace marquee::http {
namespace {

TEST(LogPositionTest, ComesBackAsItWas) {
  Random random(5);
  for (int i = 0; i < 500; ++i) {
    LogPosition position{.ratings_identity = std::string(random.Below(40), 'i'), .through = {}};
    for (uint64_t n = random.Below(20); n > 0; --n) {
      position.through[static_cast<uint32_t>(random.Below(1024))] =
          domain::LogOffset(static_cast<int64_t>(random.Next() >> 1 >> random.Below(63)));
    }
    std::string text = position.Encode();
    auto back = LogPosition::Decode(text);
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(*back, position);
    EXPECT_EQ(text.find_first_of("+/=&?# "), std::string::npos);
  }
}

TEST(LogPositionTest, WhatIsNotOneIsRefused) {
  LogPosition position{.ratings_identity = "log", .through = {{3, domain::LogOffset(99)}}};
  std::string text = position.Encode();
  EXPECT_FALSE(LogPosition::Decode("").ok());
  EXPECT_FALSE(LogPosition::Decode("AAAA").ok());
  EXPECT_FALSE(LogPosition::Decode(text + "=").ok());
  EXPECT_FALSE(LogPosition::Decode(text + "A").ok());
  EXPECT_FALSE(LogPosition::Decode(" " + text).ok());
  EXPECT_FALSE(LogPosition::Decode(text.substr(1)).ok());
  EXPECT_FALSE(LogPosition::Decode(std::string(kOpaqueTextBytesMax + 1, 'A')).ok());
  // A right check over wrong contents: shards out of order, one beyond the most, an offset below 0,
  // one too few.
  EXPECT_FALSE(
      LogPosition::Decode(OpaqueTextWriter(1).Add("x").Add(2).Add(5).Add(1).Add(5).Add(1).Finish())
          .ok());
  EXPECT_FALSE(
      LogPosition::Decode(OpaqueTextWriter(1).Add("x").Add(1).Add(1024).Add(1).Finish()).ok());
  EXPECT_FALSE(LogPosition::Decode(
                   OpaqueTextWriter(1).Add("x").Add(1).Add(1).Add(uint64_t{1} << 63).Finish())
                   .ok());
  EXPECT_FALSE(
      LogPosition::Decode(OpaqueTextWriter(1).Add("x").Add(2).Add(1).Add(1).Finish()).ok());
  EXPECT_FALSE(LogPosition::Decode(OpaqueTextWriter(2).Add("x").Add(0).Finish()).ok());
}

}  // namespace
}  // namespace marquee::http
