#include "sources/rating_file.h"

#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sources/testing/temporary_folder.h"

namespace marquee::sources {
namespace {

using ::testing::HasSubstr;

constexpr char kHeading[] = "userId,movieId,rating,timestamp\n";
constexpr char kName[] = "ratings.csv";

class RatingFileTest : public ::testing::Test {
 protected:
  std::unique_ptr<RatingFile> Open(bool finished = true) {
    auto file = RatingFile::Open(folder_.At(kName), {.scale = {}, .finished = finished});
    EXPECT_TRUE(file.ok()) << file.status();
    return *std::move(file);
  }
  // The next rows, all that there are.
  static RowBatch ReadOn(RatingFile& file) {
    RowBatch rows;
    EXPECT_TRUE(file.Read(UINT64_MAX, SIZE_MAX, &rows).ok());
    return rows;
  }
  RowBatch RowsOf(std::string_view text, bool finished = true) {
    folder_.Write(kName, text);
    return ReadOn(*Open(finished));
  }

  testing::TemporaryFolder folder_;
};

TEST_F(RatingFileTest, ReadsLfAndCrlfWithAndWithoutHeadingAndByteOrderMark) {
  for (const char* text :
       {"1,2,4.5,99\n3,4,1,98\n", "userId,movieId,rating,timestamp\r\n1,2,4.5,99\r\n3,4,1,98\r\n",
        "\xef\xbb\xbfuserId,movieId,rating,timestamp\n1,2,4.5,99\n3,4,1,98",
        "\ufeff1,2,4.5,99\n3,4,1,98\n", "\"1\",\"2\",\"4.5\",\"99\"\n3,4,1,98\n",
        "\n\r\nuserId,movieId,rating,timestamp\n1,2,4.5,99\n3,4,1,98\r\n",
        "1::2::4.5::99\n3::4::1::98\n", "\xef\xbb\xbf\r\n1::2::4.5::99\r\n3::4::1::98"}) {
    RowBatch rows = RowsOf(text);
    ASSERT_EQ(rows.ratings.size(), 2u) << text;
    EXPECT_TRUE(rows.rejected.empty()) << rows.rejected[0].reason;
    EXPECT_EQ(rows.ratings[0].user.value(), 1u);
    EXPECT_EQ(rows.ratings[0].movie.value(), 2u);
    EXPECT_EQ(rows.ratings[0].value.value(), 4500);
    EXPECT_EQ(rows.ratings[0].time_seconds, 99);
    EXPECT_EQ(rows.ratings[1].value.value(), 1000);
    EXPECT_EQ(rows.byte, std::string_view(text).size());
  }
}

TEST_F(RatingFileTest, ABadRowIsRejectedWithItsLineAndTheOthersAreRead) {
  RowBatch rows = RowsOf(std::string(kHeading) +
                         "1,2,3.0,9\n1,2,5.7,9\n\n1,2,3.5,9\n1,2,\xff,9\r\n1,2,3.5,9\n");
  EXPECT_EQ(rows.ratings.size(), 3u);
  ASSERT_EQ(rows.rejected.size(), 2u);
  EXPECT_EQ(rows.rejected[0].line, 3u);
  EXPECT_EQ(rows.rejected[0].text, "1,2,5.7,9");
  EXPECT_THAT(rows.rejected[0].reason, HasSubstr("found \"5.7\""));
  EXPECT_EQ(rows.rejected[1].line, 6u);
  EXPECT_EQ(rows.rejected[1].text, "1,2,\xef\xbf\xbd,9");
  EXPECT_EQ(rows.line, 7u);
}

TEST_F(RatingFileTest, AHeadingInTheMiddleIsRejectedAndADamagedFirstRowToo) {
  RowBatch rows = RowsOf(std::string(kHeading) + "1,2,3.0,9\n" + kHeading + "1,2,3.5,9\n");
  EXPECT_EQ(rows.ratings.size(), 2u);
  ASSERT_EQ(rows.rejected.size(), 1u);
  EXPECT_EQ(rows.rejected[0].line, 3u);
  rows = RowsOf("x,2,3.0,9\n1,2,3.5,9\n");
  ASSERT_EQ(rows.rejected.size(), 1u);
  EXPECT_EQ(rows.rejected[0].line, 1u);
}

TEST_F(RatingFileTest, AByteOrderMarkInTheMiddleIsRejected) {
  RowBatch rows = RowsOf(
      "1,2,4.0,9\n\xef\xbb\xbf"
      "1,2,4.0,9\n");
  EXPECT_EQ(rows.ratings.size(), 1u);
  EXPECT_EQ(rows.rejected.size(), 1u);
}

TEST_F(RatingFileTest, BlankLinesArePassedOverAndCounted) {
  RowBatch rows = RowsOf("1,2,4.0,9\n\n\r\n1,2,4.0,9\n\n");
  EXPECT_EQ(rows.ratings.size(), 2u);
  EXPECT_TRUE(rows.rejected.empty());
  EXPECT_EQ(rows.line, 5u);
}

TEST_F(RatingFileTest, AReadEndsAtItsLimits) {
  folder_.Write(kName, "1,2,4.0,9\n1,2,4.0,9\n1,2,4.0,9\n");
  auto file = Open();
  RowBatch rows;
  ASSERT_TRUE(file->Read(29, SIZE_MAX, &rows).ok());  // the third line ends at 30
  EXPECT_EQ(rows.ratings.size(), 2u);
  EXPECT_EQ(rows.byte, 20u);
  ASSERT_TRUE(file->Read(20, SIZE_MAX, &rows).ok());
  EXPECT_TRUE(rows.ratings.empty());
  EXPECT_EQ(rows.line, 2u);
  ASSERT_TRUE(file->Seek(0, 0).ok());
  ASSERT_TRUE(file->Read(UINT64_MAX, 1, &rows).ok());
  EXPECT_EQ(rows.ratings.size(), 1u);
}

TEST_F(RatingFileTest, ALineOf64MiBIsRejectedWithoutHoldingIt) {
  std::string text = std::string(kHeading) + "1,2,4.0,9\n";
  text.append(64 << 20, 'x');
  text += "\n1,2,3.0,9\n";
  RowBatch rows = RowsOf(text);
  EXPECT_EQ(rows.ratings.size(), 2u);
  ASSERT_EQ(rows.rejected.size(), 1u);
  EXPECT_EQ(rows.rejected[0].line, 3u);
  EXPECT_EQ(rows.rejected[0].text.size(), kRowBytesMax);
  EXPECT_THAT(rows.rejected[0].reason, HasSubstr("found 67108864"));
  EXPECT_EQ(rows.byte, text.size());
}

TEST_F(RatingFileTest, WhatIsKeptOfARejectedLineIsBoundedThoughItIsMadeValid) {
  RowBatch rows = RowsOf("1,2,4.0,9\n" + std::string(kRowBytesMax, '\xff') + "\n");
  ASSERT_EQ(rows.rejected.size(), 1u);
  EXPECT_GT(rows.rejected[0].text.size(), kRowBytesMax - 3);
  EXPECT_LE(rows.rejected[0].text.size(), kRowBytesMax);
  EXPECT_EQ(rows.rejected[0].text.substr(0, 3), "\xef\xbf\xbd");
}

TEST_F(RatingFileTest, TheLongestLineIsReadAndTheNextLongerIsNot) {
  const std::string row = "1,2,4.0,9";
  std::string zeros(kRowBytesMax - row.size(), '0');
  RowBatch rows = RowsOf("1,2,4.0," + zeros + "9\n1,2,4.0,0" + zeros + "9\n");
  EXPECT_EQ(rows.ratings.size(), 1u);
  ASSERT_EQ(rows.rejected.size(), 1u);
  EXPECT_EQ(rows.rejected[0].line, 2u);
  EXPECT_THAT(rows.rejected[0].reason, HasSubstr("at most 65536 bytes, found 65537"));
}

TEST_F(RatingFileTest, ALastLineWithoutANewlineCountsWhereTheFileIsFinished) {
  EXPECT_EQ(RowsOf("1,2,4.0,9\n1,2,4.0,8", true).ratings.size(), 2u);
  RowBatch rows = RowsOf("1,2,4.0,9\n1,2,4.0,8", false);
  EXPECT_EQ(rows.ratings.size(), 1u);
  EXPECT_EQ(rows.byte, 10u);
}

TEST_F(RatingFileTest, WhatIsAppendedIsReadOnceItsLineIsWhole) {
  folder_.Write(kName, "1,2,4.0,9\n1,2");
  auto file = Open(/*finished=*/false);
  EXPECT_EQ(ReadOn(*file).ratings.size(), 1u);
  EXPECT_EQ(ReadOn(*file).ratings.size(), 0u);
  folder_.Append(kName, ",4.5,8");
  EXPECT_EQ(ReadOn(*file).ratings.size(), 0u);
  folder_.Append(kName, "\n");
  RowBatch more = ReadOn(*file);
  ASSERT_EQ(more.ratings.size(), 1u);
  EXPECT_EQ(more.ratings[0].value.value(), 4500);
  EXPECT_EQ(more.line, 2u);
}

TEST_F(RatingFileTest, AFileThatIsEmptyAtFirstTellsItsFormatWhenItsFirstLineIsWhole) {
  folder_.Write(kName, "");
  auto file = Open(/*finished=*/false);
  EXPECT_EQ(ReadOn(*file).byte, 0u);
  folder_.Append(kName, "\n\nuser::mo");
  EXPECT_EQ(ReadOn(*file).byte, 2u);
  folder_.Append(kName, "vie::rating::time\n1::2::4::9\n");
  RowBatch rows = ReadOn(*file);
  EXPECT_EQ(rows.ratings.size(), 1u);
  EXPECT_TRUE(rows.rejected.empty());
  EXPECT_EQ(rows.line, 4u);
}

TEST_F(RatingFileTest, WhatLaterEndsALastLineIsNoLine) {
  for (const char* line_end : {"\n", "\r\n"}) {
    folder_.Write(kName, "1,2,4.0,9\n1,2,4.0,8");
    auto file = Open();
    RowBatch rows = ReadOn(*file);
    EXPECT_EQ(rows.ratings.size(), 2u);
    folder_.Append(kName, line_end + std::string("1,2,x,7\n"));
    auto again = Open(/*finished=*/false);
    ASSERT_TRUE(again->Seek(rows.byte, rows.line).ok());
    for (RatingFile* reading : {file.get(), again.get()}) {
      RowBatch more = ReadOn(*reading);
      EXPECT_TRUE(more.ratings.empty());
      ASSERT_EQ(more.rejected.size(), 1u);
      EXPECT_EQ(more.rejected[0].line, 3u);
    }
  }
}

TEST_F(RatingFileTest, WhatEndsALastLineIsNotReadBeyondTheLimit) {
  folder_.Write(kName, "1,2,4.0,8\r\n1,2,4.0,7\r\n");
  auto file = Open();
  RowBatch rows;
  for (uint64_t until : {9, 10}) {
    ASSERT_TRUE(file->Seek(9, 1).ok());
    ASSERT_TRUE(file->Read(until, 10, &rows).ok());
    EXPECT_EQ(rows.byte, 9u);
  }
  ASSERT_TRUE(file->Read(11, 10, &rows).ok());
  EXPECT_EQ(rows.byte, 11u);
  EXPECT_EQ(rows.line, 1u);
}

TEST_F(RatingFileTest, ALastLineThatGoesOnAfterItWasReadIsAnError) {
  folder_.Write(kName, "1,2,4.0,9\n1,2,4.0,8");
  auto file = Open();
  RowBatch rows = ReadOn(*file);
  folder_.Append(kName, "8\n");
  absl::Status status = file->Read(UINT64_MAX, 1, &rows);
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("byte 19"));
}

TEST_F(RatingFileTest, AFileThatBecameShorterIsDataLoss) {
  folder_.Write(kName, "1,2,4.0,9\n1,2,4.0,9\n");
  auto file = Open(/*finished=*/false);
  RowBatch rows = ReadOn(*file);
  domain::InputMark mark = *file->MarkAfter({}, UINT64_MAX);
  std::filesystem::resize_file(folder_.At(kName), 10);
  EXPECT_TRUE(absl::IsDataLoss(file->Read(UINT64_MAX, 1, &rows)));
  EXPECT_TRUE(absl::IsDataLoss(file->MarkAfter(mark, 100).status()));
  EXPECT_TRUE(absl::IsDataLoss(file->Size().status()));
  EXPECT_TRUE(absl::IsDataLoss(Open()->Seek(20, 2)));
}

TEST_F(RatingFileTest, WhatIsNoFileOfRatingsIsRefused) {
  EXPECT_TRUE(absl::IsNotFound(RatingFile::Open(folder_.At("nowhere"), {}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(RatingFile::Open(folder_.path(), {}).status()));
  ASSERT_EQ(mkfifo(folder_.At("pipe").c_str(), 0600), 0);
  EXPECT_TRUE(absl::IsInvalidArgument(RatingFile::Open(folder_.At("pipe"), {}).status()));
  folder_.Write(kName, "movieId,title\n1,Heat\n");
  absl::Status status = RatingFile::Open(folder_.At(kName), {}).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("found \"movieId,title\""));
}

TEST_F(RatingFileTest, TheRealSetHasItsGoldenValues) {
  // The set may not be in the tree. Without it, the same code reads what the other tests make.
  const char* folder = std::getenv("MARQUEE_TEST_MOVIELENS");
  if (folder == nullptr) return;
  std::string path = std::string(folder) + "/ratings.csv";
  auto file = RatingFile::Open(path, {});
  ASSERT_TRUE(file.ok()) << file.status();
  RowBatch rows = ReadOn(**file);
  EXPECT_EQ(rows.ratings.size(), 100'836u);
  EXPECT_TRUE(rows.rejected.empty());
  EXPECT_EQ(rows.line, 100'837u);
  std::map<uint64_t, std::pair<uint64_t, int64_t>> movies;
  for (const RatingRow& row : rows.ratings) {
    ++movies[row.movie.value()].first;
    movies[row.movie.value()].second += row.value.value();
  }
  EXPECT_EQ(movies.size(), 9'724u);
  EXPECT_EQ(movies[1], (std::pair<uint64_t, int64_t>(215, 843'000)));
  EXPECT_EQ(movies[296], (std::pair<uint64_t, int64_t>(307, 1'288'500)));
  EXPECT_EQ(movies[318], (std::pair<uint64_t, int64_t>(317, 1'404'000)));
  EXPECT_EQ(movies[356], (std::pair<uint64_t, int64_t>(329, 1'370'000)));
}

}  // namespace
}  // namespace marquee::sources
