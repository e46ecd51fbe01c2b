#include "base/digest.h"

#include <string>

#include "gtest/gtest.h"

namespace marquee {
namespace {

TEST(Digest, AStreamHasTheDigestOfItsBytesHoweverTheyAreSplit) {
  std::string bytes;
  for (int i = 0; i < 5000; ++i) bytes += static_cast<char>(i * 7);
  for (size_t step : {1u, 3u, 100u, 4999u}) {
    StreamDigest stream;
    for (size_t at = 0; at < bytes.size(); at += step)
      stream.Add(std::string_view(bytes).substr(at, step));
    EXPECT_EQ(stream.digest(), DigestOf(bytes)) << "in steps of " << step;
  }
}

// Digests are stored, so they stay what they are: XXH3 with 128 bits and no seed, as `xxhsum -H2`
// prints it.
TEST(Digest, IsTheSameOnEveryMachineForEver) {
  EXPECT_EQ(DigestOf("").ToHex(), "99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(StreamDigest().digest(), DigestOf(""));
}

TEST(Digest, ACopyGoesOnFromTheSameState) {
  StreamDigest stream;
  stream.Add("ab");
  StreamDigest copy = stream;
  stream.Add("c");
  copy.Add("d");
  EXPECT_EQ(stream.digest(), DigestOf("abc"));
  EXPECT_EQ(copy.digest(), DigestOf("abd"));
}

TEST(Digest, OneFlippedBitChangesIt) {
  std::string bytes(100, 'x');
  Digest before = DigestOf(bytes);
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ 1 << bit % 8);
    ASSERT_NE(DigestOf(flipped), before) << bit;
  }
}

TEST(Digest, HexIsReadBack) {
  Digest digest = DigestOf("marquee");
  EXPECT_EQ(digest.ToHex().size(), 32u);
  EXPECT_EQ(Digest::FromHex(digest.ToHex()), digest);
  EXPECT_EQ(Digest::FromHex("short"), std::nullopt);
  EXPECT_EQ(Digest::FromHex(std::string(32, 'g')), std::nullopt);
}

}  // namespace
}  // namespace marquee
