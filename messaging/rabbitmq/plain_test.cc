#include "messaging/rabbitmq/plain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace marquee::messaging::rabbitmq {
namespace {

constexpr int64_t kNowMs = 1'700'000'000'123;

class PlainTest : public testing::Test {
 protected:
  // The one record of a message of ours; valid until the next.
  const Record& Read(const std::string& message) {
    message_ = message;
    decoder_.Clear();
    absl::Status read = decoder_.Add(PayloadOf(message_), Offset(0));
    EXPECT_TRUE(read.ok()) << read;
    EXPECT_EQ(decoder_.records().size(), 1u);
    return decoder_.records()[0];
  }
  std::string From(const PlainProperties& plain, std::string_view body, int64_t offset = 7) {
    return FromPlain(plain, body, offset, kNowMs, compressor_);
  }
  static Head HeadOf(const std::string& message) { return ReadHead(message).value(); }

  PackCompressor compressor_;
  PackDecoder decoder_;
  std::string message_;
};

Record RecordOf(std::string_view key, std::span<const Header> headers = {}) {
  return {.key = key,
          .value = "value",
          .headers = headers,
          .offset = Offset(0),
          .published = absl::FromUnixMillis(kNowMs)};
}

TEST_F(PlainTest, WhatIsWrittenIsReadAgain) {
  std::vector<Header> headers = {{"traceparent", "00-ab"}, {"b", ""}};
  Head head{.kind = Kind::kPack, .nonce = 0xfedcba9876543210, .sequence = 42};
  std::optional<PlainProperties> plain = ToPlain(head, RecordOf("318", headers));
  ASSERT_TRUE(plain.has_value());
  EXPECT_EQ(plain->message_id, "fedcba9876543210-000000000000002a");
  std::string message = From(*plain, "value");
  EXPECT_EQ(HeadOf(message), head);
  const Record& record = Read(message);
  EXPECT_EQ(record.key, "318");
  EXPECT_EQ(record.value, "value");
  EXPECT_THAT(record.headers, testing::ElementsAreArray(headers));
  EXPECT_EQ(absl::ToUnixMillis(record.published), kNowMs);
}

TEST_F(PlainTest, ADeletionHasNoValueAndAnEmptyValueIsOne) {
  EXPECT_FALSE(Read(From({.key = "k", .deleted = true}, "")).value.has_value());
  EXPECT_EQ(Read(From({.key = "k"}, "")).value, "");
}

TEST_F(PlainTest, WhatAmqpCannotHoldExactlyIsNotPlain) {
  Head head;
  EXPECT_TRUE(ToPlain(head, RecordOf("a b~")).has_value());
  EXPECT_FALSE(ToPlain(head, RecordOf("\xff")).has_value());
  EXPECT_FALSE(ToPlain(head, RecordOf(std::string_view("\0", 1))).has_value());
  for (Header header : {Header{"marquee-key", "1"}, {"x-offset", "1"}, {"", "1"}, {"a", "\n"}}) {
    EXPECT_FALSE(ToPlain(head, RecordOf("k", {&header, 1})).has_value()) << header.name;
  }
  std::vector<Header> twice = {{"a", "1"}, {"a", "2"}};
  EXPECT_FALSE(ToPlain(head, RecordOf("k", twice)).has_value());
  std::string much(33 << 10, 'v');
  std::vector<Header> large = {{"a", much}};
  EXPECT_FALSE(ToPlain(head, RecordOf("k", large)).has_value());
}

TEST_F(PlainTest, AForeignMessageNeedsNothing) {
  std::string message = From({}, "body", 9);
  EXPECT_EQ(HeadOf(message), (Head{.kind = Kind::kPack, .nonce = 0, .sequence = 9}));
  const Record& record = Read(message);
  EXPECT_EQ(record.key, "");
  EXPECT_EQ(record.value, "body");
  EXPECT_EQ(absl::ToUnixMillis(record.published), kNowMs);
}

TEST_F(PlainTest, OfAForeignRecordBeyondTheLimitsItsSizeIsLeft) {
  std::string body(9 << 20, 'v');
  const Record& large = Read(From({.key = "318", .headers = {{"a", "1"}}}, body));
  EXPECT_EQ(large.key, "318");
  EXPECT_FALSE(large.value.has_value());
  EXPECT_THAT(large.headers, testing::ElementsAre(Header{"marquee-too-large", "9437189 bytes"}));
  EXPECT_EQ(Read(From({.key = std::string(1025, 'k')}, "")).key, std::string(1024, 'k'));
  EXPECT_TRUE(Read(From({.key = "318"}, body.substr(0, (1 << 20) - 3))).value.has_value());
}

TEST_F(PlainTest, AForeignIdNamesTheMessageWhereverItIs) {
  Head one = HeadOf(From({.message_id = "shop-1"}, "a", 3));
  EXPECT_EQ(HeadOf(From({.message_id = "shop-1"}, "b", 4)), one);
  EXPECT_NE(HeadOf(From({.message_id = "shop-2"}, "a", 3)), one);
  EXPECT_NE(one.nonce, 0u);
  Head upper = HeadOf(From({.message_id = "FEDCBA9876543210-000000000000002A"}, "a"));
  EXPECT_NE(upper.sequence, 42u);
}

}  // namespace
}  // namespace marquee::messaging::rabbitmq
