// Files with every oddity mixed, read in any steps, give what a plain parser finds in the whole
// text.
#include <string>

#include "base/random.h"
#include "gtest/gtest.h"
#include "sources/rating_file.h"
#include "sources/testing/reference_rows.h"
#include "sources/testing/temporary_folder.h"

namespace marquee::sources {
namespace {

using testing::ReferenceRows;

constexpr char kName[] = "ratings";

std::string UsualRow(Random& random) {
  uint64_t half_stars = 1 + random.Below(10);
  return std::to_string(random.Next() >> (1 + random.Below(63))) + "," +
         std::to_string(1 + (random.Next() >> (2 + random.Below(62)))) + "," +
         std::to_string(half_stars / 2) + (half_stars % 2 == 0 ? ".0" : ".5") + "," +
         std::to_string(random.Below(2'000'000'000));
}

std::string OddRow(Random& random) {
  static const std::string odd[] = {"",
                                    "",
                                    "\r",
                                    "1,2,9.9,1",
                                    "1,2,0,1",
                                    "1,2,4,1",
                                    "\"1\",2,\"3.5\",4",
                                    "\"1\",\"2\",\"3.5\"\"\",4",
                                    "\"1,2,3.5,4",
                                    "x,y",
                                    "1,2,4.0,\xc3",
                                    "1,2,4.0,é",
                                    std::string("1,2,4.0,9\0", 10),
                                    "userId,movieId,rating,timestamp",
                                    "\ufeff1,2,4.0,9",
                                    "-1,2,4.0,9",
                                    "1,9223372036854775808,4.0,9",
                                    "1,2,4.50,9",
                                    "1,2,4.0,9,",
                                    "1,2,NaN,9",
                                    "1::2::4::9",
                                    " 1,2,4.0,9",
                                    "1,2,4.0,9\r",
                                    "1,2,+4.0,9",
                                    "0x1,2,4.0,9",
                                    ",,,",
                                    "1,2,.5,9",
                                    "1,2,5.,9"};
  if (random.OneIn(60)) return std::string(kRowBytesMax - 9 + random.Below(4), '0') + "1,2,4.0,9";
  if (random.OneIn(300)) return std::string(random.Below(3 << 19), 'x');
  return odd[random.Below(std::size(odd))];
}

std::string ToDat(std::string row) {
  for (size_t at; (at = row.find(',')) != std::string::npos;) row.replace(at, 1, "::");
  return row;
}

std::string RandomText(Random& random) {
  std::string text = random.OneIn(3) ? "\xef\xbb\xbf" : "";
  const bool dat = random.OneIn(4);
  const uint64_t odd_one_in = uint64_t{1} << random.Below(7);
  const bool crlf = random.OneIn(2);
  auto add = [&](const std::string& row) {
    text += dat ? ToDat(row) : row;
    text += crlf != random.OneIn(20) ? "\r\n" : "\n";
  };
  while (random.OneIn(3)) text += crlf ? "\r\n" : "\n";
  add(random.OneIn(2) ? "userId,movieId,rating,timestamp" : UsualRow(random));
  for (uint64_t rows = random.Below(uint64_t{1} << random.Below(random.OneIn(20) ? 17 : 9));
       rows > 0; --rows) {
    add(random.OneIn(odd_one_in) ? OddRow(random) : UsualRow(random));
  }
  if (random.OneIn(3)) text += random.OneIn(2) ? UsualRow(random) : OddRow(random);
  return text;
}

TEST(RatingFileProperty, AnySplitOfMarksSeeksAndReadsGivesTheSameRows) {
  testing::TemporaryFolder folder;
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    Random random(seed);
    std::string text = RandomText(random);
    bool finished = random.OneIn(2);
    folder.Write(kName, text);
    auto file = RatingFile::Open(folder.At(kName), {.scale = {}, .finished = finished});
    if (!file.ok()) {
      ASSERT_FALSE(testing::ReadPlainly(text, finished))
          << "seed " << seed << ": " << file.status();
      continue;
    }
    ASSERT_EQ(testing::DifferenceInSteps(**file, text, finished, random), "") << "seed " << seed;
  }
}

TEST(RatingFileProperty, AFileThatGrowsUnderAReaderGivesTheSameRows) {
  testing::TemporaryFolder folder;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    Random random(seed);
    std::string text = RandomText(random);
    if (text.size() > 1 << 20) continue;
    folder.Write(kName, "");
    auto file = RatingFile::Open(folder.At(kName), {.scale = {}, .finished = false});
    ASSERT_TRUE(file.ok()) << file.status();
    ReferenceRows found;
    RowBatch batch;
    absl::Status status;
    for (size_t written = 0; written < text.size() && status.ok();) {
      size_t bytes =
          std::min<size_t>(text.size() - written, 1 + random.Below(1 + text.size() / 20));
      folder.Append(kName, std::string_view(text).substr(written, bytes));
      written += bytes;
      status = (*file)->Read(UINT64_MAX, SIZE_MAX, &batch);
      testing::Collect(batch, &found);
    }
    auto expected = testing::ReadPlainly(text, /*finished=*/false);
    ASSERT_EQ(status.ok(), expected.has_value()) << "seed " << seed << ": " << status;
    if (expected) {
      ASSERT_EQ(testing::Difference(*expected, found), "") << "seed " << seed;
    }
  }
}

}  // namespace
}  // namespace marquee::sources
