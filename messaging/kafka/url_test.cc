#include "messaging/kafka/url.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace marquee::messaging::kafka {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(KafkaUrlTest, APortThatIsLeftOutIs9092) {
  absl::StatusOr<KafkaUrl> url = KafkaUrl::Parse("kafka://a,b.example.com:19092,[::1]:9093,[::1]");
  ASSERT_TRUE(url.ok()) << url.status();
  EXPECT_EQ(url->servers, "a:9092,b.example.com:19092,[::1]:9093,[::1]:9092");
  EXPECT_FALSE(url->tls);
  EXPECT_TRUE(url->username.empty());
}

TEST(KafkaUrlTest, UserAndPasswordAreDecoded) {
  absl::StatusOr<KafkaUrl> url = KafkaUrl::Parse("kafkas://m%40x:p%3Aa%2Fs%25s@host/");
  ASSERT_TRUE(url.ok()) << url.status();
  EXPECT_TRUE(url->tls);
  EXPECT_EQ(url->username, "m@x");
  EXPECT_EQ(url->password, "p:a/s%s");
  EXPECT_EQ(url->servers, "host:9092");
}

TEST(KafkaUrlTest, WhatIsNoUrlIsRefusedAndNoPasswordShown) {
  for (const char* text : {"kafka://", "kafka:a", "http://a", "kafka://a:", "kafka://a:0",
                           "kafka://a:65536", "kafka://a:9x", "kafka://a,,b", "kafka://a/topic",
                           "kafka://a b", "kafka://:secret@a", "kafka://u:secret%4@a",
                           "kafka://u:secret%zz@a", "kafka://u:secret%00@a", "kafka://u:secret@"}) {
    absl::Status status = KafkaUrl::Parse(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("secret"))) << text;
  }
}

}  // namespace
}  // namespace marquee::messaging::kafka
