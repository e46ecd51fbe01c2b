#include "messaging/packed_log.h"

#include <gtest/gtest.h>

#include <vector>

namespace marquee::messaging {
namespace {

TEST(PackedLogTest, AllOffsetsOfAMessageAreBeforeTheNextOne) {
  for (int64_t message : {int64_t{0}, int64_t{1}, int64_t{123'456'789'012}}) {
    Offset first = FirstOffsetOf(message);
    Offset last(first.value() + kPackRecordsMax - 1);
    EXPECT_EQ(MessageOf(first), message);
    EXPECT_EQ(MessageOf(last), message);
    EXPECT_LT(last.next(), FirstOffsetOf(message + 1));
    EXPECT_EQ(MessageOf(FirstOffsetOf(message + 1)), message + 1);
  }
  EXPECT_EQ(FirstOffsetOf(0), Offset(0));
}

std::vector<Record> Records(std::vector<std::pair<int64_t, int>> offsets_and_seconds) {
  std::vector<Record> records;
  for (const auto& [offset, seconds] : offsets_and_seconds) {
    Record record;
    record.offset = Offset(offset);
    record.published = absl::FromUnixSeconds(seconds);
    records.push_back(record);
  }
  return records;
}

TEST(PackedLogTest, AReaderInTheMiddleOfAPackWantsWhatIsNotBeforeIt) {
  std::vector<Record> records = Records({{10, 1}, {11, 1}, {14, 1}});
  for (auto [position, wanted] : {std::pair{0, 3}, {10, 3}, {11, 2}, {12, 1}, {14, 1}, {15, 0}}) {
    std::span<const Record> found = WantedOf(records, Offset(position));
    EXPECT_EQ(found.size(), static_cast<size_t>(wanted)) << "at " << position;
    EXPECT_EQ(found.data() + found.size(), records.data() + records.size()) << "all to the end";
  }
}

TEST(PackedLogTest, AReaderSinceATimeWantsTheFirstThatIsNotOlderAndAllBehindIt) {
  std::vector<Record> records = Records({{10, 5}, {11, 7}, {12, 6}, {13, 8}});
  auto wanted = [&](int position, int seconds) {
    return WantedOf(records, Offset(position), absl::FromUnixSeconds(seconds)).size();
  };
  EXPECT_EQ(wanted(0, 4), 4u);
  EXPECT_EQ(wanted(0, 6), 3u) << "an older one behind it as well";
  EXPECT_EQ(wanted(12, 6), 2u);
  EXPECT_EQ(wanted(0, 9), 0u);
}

}  // namespace
}  // namespace marquee::messaging
