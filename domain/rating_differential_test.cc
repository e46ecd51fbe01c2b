// The decoder and encoder by hand against libprotobuf's, on messages of every kind.
#include <algorithm>
#include <string>
#include <vector>

#include "domain/rating_oracle.h"
#include "domain/rating_wire.h"
#include "domain/test_ratings.h"
#include "domain/wire.h"
#include "gtest/gtest.h"

namespace marquee::domain {
namespace {

constexpr int kRounds = 20'000;

std::string Hex(std::string_view bytes) {
  std::string hex;
  for (char c : bytes) {
    char digits[3];
    snprintf(digits, sizeof digits, "%02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
    hex += digits;
  }
  return hex;
}

// A varint with up to `padding` bytes more than it needs, at most 10.
std::string Varint(uint64_t value, size_t padding = 0) {
  char buffer[10];
  std::string bytes(buffer, static_cast<size_t>(wire::WriteVarint(buffer, value) - buffer));
  for (; padding > 0 && bytes.size() < 10; --padding) {
    bytes.back() = static_cast<char>(bytes.back() | 0x80);
    bytes.push_back(0);
  }
  return bytes;
}

class Fields {
 public:
  explicit Fields(uint64_t seed) : random_(seed) {}

  uint64_t Number() { return random_.Next() >> random_.Below(64); }
  size_t Padding() { return random_.OneIn(8) ? random_.Below(10) : 0; }
  bool Rarely() { return random_.OneIn(10); }
  uint64_t Below(uint64_t bound) { return random_.Below(bound); }

  std::string Tag(uint32_t field, wire::WireType type) {
    return Varint(wire::Tag(field, type), random_.OneIn(16) ? random_.Below(5) : 0);
  }
  std::string Number(uint32_t field) {
    return Tag(field, wire::kVarint) + Varint(Number(), Padding());
  }
  std::string Bytes(uint32_t field, const std::string& bytes) {
    return Tag(field, wire::kBytes) +
           Varint(bytes.size(), random_.OneIn(16) ? random_.Below(5) : 0) + bytes;
  }
  std::string Text(uint32_t field) {
    static const char* const kTexts[] = {"movielens", "",     "a",     "a source",
                                         "é",         "\xff", "x-1._", "0123456789abcdefghij"};
    return Bytes(field, kTexts[random_.Below(8)]);
  }
  std::string Fixed64(uint32_t field) {
    return Tag(field, wire::kFixed64) + std::string("\1\2\3\4\5\6\7\x88", 8);
  }

  // A field that the message does not know, or knows with another type.
  std::string Unknown(int depth = 0) {
    auto field =
        static_cast<uint32_t>(random_.OneIn(2) ? 1 + random_.Below(7) : 1 + random_.Below(1 << 20));
    switch (random_.Below(5)) {
      case 0:
        return Number(field);
      case 1:
        return Bytes(field, std::string(random_.Below(200), 'u'));
      case 2:
        return Fixed64(field);
      case 3:
        return Tag(field, wire::kFixed32) + "\1\2\3\4";
      default:
        return Tag(field, wire::kGroup) + (depth < 3 ? Unknown(depth + 1) : "") +
               Tag(field, wire::kEndGroup);
    }
  }

  std::string Stamp() {
    std::vector<std::string> parts = {Bytes(1, "movielens"), Number(2), Number(3), Number(4)};
    if (Rarely()) parts.push_back(Text(1));
    if (Rarely()) parts.push_back(Number(4));
    return Mix(std::move(parts));
  }
  std::string Idempotency() {
    std::vector<std::string> parts = {Bytes(1, "a-key"), Fixed64(2), Number(3)};
    if (Rarely()) parts.push_back(Text(1));
    return Mix(std::move(parts));
  }
  std::string Rating() {
    std::vector<std::string> parts = {Number(3), Number(4), Number(5), Number(6)};
    if (!Rarely()) parts.push_back(Bytes(1, Stamp()));
    if (random_.OneIn(3)) parts.push_back(Bytes(2, Idempotency()));
    if (Rarely()) parts.push_back(Bytes(1, Stamp()));
    if (Rarely()) parts.push_back(Bytes(2, Idempotency()));
    if (Rarely()) parts.push_back(Number(3));
    return Mix(std::move(parts));
  }

 private:
  // In any order, some missing, some unknown ones between.
  std::string Mix(std::vector<std::string> parts) {
    while (random_.OneIn(4)) parts.push_back(Unknown());
    if (random_.OneIn(3)) {
      for (size_t i = parts.size(); i > 1; --i) std::swap(parts[i - 1], parts[random_.Below(i)]);
    }
    if (random_.OneIn(8))
      parts.erase(parts.begin() + static_cast<ptrdiff_t>(random_.Below(parts.size())));
    std::string bytes;
    for (const std::string& part : parts) bytes += part;
    return bytes;
  }

  Random random_;
};

TEST(RatingAgainstLibprotobuf, AgreeOnFieldsInAnyOrderRepeatedMergedAndUnknown) {
  Fields fields(SeedOfRun());
  int accepted = 0;
  for (int i = 0; i < kRounds; ++i) {
    std::string bytes = fields.Rating();
    ASSERT_EQ(DifferenceOn(bytes), "") << Hex(bytes);
    Rating parsed;
    accepted += ParseRating(bytes, &parsed).ok();
  }
  EXPECT_GT(accepted, kRounds / 10);  // the test says something of both kinds
  EXPECT_LT(accepted, kRounds * 9 / 10);
}

TEST(RatingAgainstLibprotobuf, AgreeOnDamagedBytes) {
  Fields fields(SeedOfRun());
  for (int i = 0; i < kRounds; ++i) {
    std::string bytes = fields.Rating();
    for (uint64_t changes = 1 + fields.Below(3); changes > 0 && !bytes.empty(); --changes) {
      size_t at = fields.Below(bytes.size());
      switch (fields.Below(3)) {
        case 0:
          bytes[at] = static_cast<char>(bytes[at] ^ (1 << fields.Below(8)));
          break;
        case 1:
          bytes.resize(at);
          break;
        default:
          bytes.insert(at, 1, static_cast<char>(fields.Below(256)));
      }
    }
    std::string exact(bytes);  // so that AddressSanitizer sees a read beyond the end
    ASSERT_EQ(DifferenceOn(exact), "") << Hex(exact);
  }
}

TEST(RatingAgainstLibprotobuf, AgreeOnVarintsOfEveryLength) {
  for (size_t padding = 0; padding <= 9; ++padding) {
    for (std::string tail : {"", "\x30\x01", "\x30\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"}) {
      std::string bytes = Varint(wire::Tag(3, wire::kVarint)) + Varint(5, padding) + tail;
      ASSERT_EQ(DifferenceOn(bytes), "") << Hex(bytes);
    }
  }
  std::string excess = "\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f";        // 70 bits
  std::string overlong = "\x18\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01";  // 11 bytes
  EXPECT_EQ(DifferenceOn(excess), "");
  EXPECT_EQ(DifferenceOn(overlong), "");
  Rating parsed;
  EXPECT_FALSE(ReadRating(overlong, &parsed));
}

TEST(RatingAgainstLibprotobuf, AgreeOnGroupsOfEveryDepth) {
  for (size_t depth = 95; depth <= 105; ++depth) {
    std::string groups = std::string(depth, '\x7b') + std::string(depth, '\x7c');
    std::string movie = "\x18\x05";
    EXPECT_EQ(DifferenceOn(movie + groups), "") << depth;
    std::string stamp = std::string("\x0a\x01x\x10\x01") + groups;
    std::string bytes = movie + "\x0a" + Varint(stamp.size()) + stamp;
    EXPECT_EQ(DifferenceOn(bytes), "") << depth;
  }
}

TEST(RatingAgainstLibprotobuf, WriteTheSameBytes) {
  Random random(SeedOfRun());
  for (int i = 0; i < kRounds; ++i) {
    v1::Rating message;
    auto number = [&] { return random.Next() >> random.Below(64); };
    message.set_movie_id(1 + (number() >> 1) % INT64_MAX);
    message.set_user_id(number() >> 1);
    message.set_value_thousandths(static_cast<int32_t>(number()));
    message.set_time_seconds(static_cast<int64_t>(number()));
    if (!random.OneIn(4)) {
      message.mutable_stamp()->set_source(std::string(1 + random.Below(64), 's'));
      message.mutable_stamp()->set_incarnation(number() | 1);
      message.mutable_stamp()->set_sequence(random.OneIn(8) ? 0 : number());
      message.mutable_stamp()->set_flushed_through(random.OneIn(8) ? 0 : number());
    }
    if (random.OneIn(3)) {
      message.mutable_idempotency()->set_key(std::string(1 + random.Below(255), 'k'));
      message.mutable_idempotency()->set_index(random.OneIn(4) ? 0
                                                               : static_cast<uint32_t>(number()));
      message.mutable_idempotency()->set_body_digest(random.OneIn(4) ? 0 : number());
    }
    std::optional<Rating> rating = RatingFrom(message);
    ASSERT_TRUE(rating.has_value()) << message.ShortDebugString();
    std::string bytes;
    AppendRating(*rating, &bytes);
    ASSERT_EQ(bytes, message.SerializeAsString()) << message.ShortDebugString();
  }
}

}  // namespace
}  // namespace marquee::domain
