#include "messaging/record.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace marquee::messaging {
namespace {

// The vectors of Apache Kafka's own test:
// clients/src/test/java/org/apache/kafka/common/utils/UtilsTest.java, testMurmur2.
TEST(RecordTest, Murmur2IsKafkas) {
  struct Case {
    std::string_view bytes;
    int32_t hash;
  };
  for (const Case& c :
       std::vector<Case>{{"21", -973932308},
                         {"foobar", -790332482},
                         {"a-little-bit-long-string", -985981536},
                         {"a-little-bit-longer-string", -1486304829},
                         {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
                         {"abc", 479470107}}) {
    EXPECT_EQ(static_cast<int32_t>(Murmur2(c.bytes)), c.hash) << c.bytes;
  }
}

TEST(RecordTest, BytesAboveAsciiAreNotSignExtended) {
  // Each tail length, with high bits: -1 as a byte is 0xff, not 0xffffffff.
  EXPECT_NE(Murmur2("\xff"), Murmur2("\x7f"));
  EXPECT_NE(Murmur2("\xff\xff\xff"), Murmur2("\x7f\xff\xff"));
  EXPECT_EQ(Murmur2(""), 275646681u);
}

TEST(RecordTest, TheShardIsThePositiveHashModuloTheShards) {
  for (int i = 0; i < 1000; ++i) {
    std::string key = std::to_string(i);
    EXPECT_EQ(ShardOfKey(key, 12), Shard((Murmur2(key) & 0x7fffffff) % 12));
    EXPECT_EQ(ShardOfKey(key, 1), Shard(0));
  }
  // "21" hashes to a negative number in Java: the sign is dropped, not the value negated.
  EXPECT_EQ(ShardOfKey("21", 100), Shard((3321034988u & 0x7fffffffu) % 100));
}

TEST(RecordTest, KeysSpreadOverAllShards) {
  std::vector<int> counts(12);
  for (int i = 1; i <= 87'585; ++i) ++counts[ShardOfKey(std::to_string(i), 12).value()];
  for (int count : counts) {
    EXPECT_GT(count, 87'585 / 12 * 9 / 10);
    EXPECT_LT(count, 87'585 / 12 * 11 / 10);
  }
}

}  // namespace
}  // namespace marquee::messaging
