#include "sources/rating_stream.h"

#include <fcntl.h>
#include <unistd.h>

#include <string>
#include <thread>

#include "base/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sources/testing/temporary_folder.h"

namespace marquee::sources {
namespace {

using ::testing::HasSubstr;

// A pipe that the test writes to.
class RatingStreamTest : public ::testing::Test {
 protected:
  RatingStreamTest() {
    int ends[2];
    EXPECT_EQ(pipe(ends), 0);
    read_end_ = ends[0];
    write_end_ = ends[1];
    stream_ = std::make_unique<RatingStream>(read_end_, "the pipe", domain::Scale());
  }
  ~RatingStreamTest() override {
    CloseWriteEnd();
    close(read_end_);
  }

  void Write(std::string_view text) {
    ASSERT_EQ(write(write_end_, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  void CloseWriteEnd() {
    if (write_end_ >= 0) close(write_end_);
    write_end_ = -1;
  }
  RowBatch Read(size_t lines_max = SIZE_MAX) {
    RowBatch rows;
    absl::Status status = stream_->Read(absl::ZeroDuration(), lines_max, &rows);
    EXPECT_TRUE(status.ok()) << status;
    return rows;
  }
  // All that comes until the end.
  RowBatch ReadAll(size_t lines_max = SIZE_MAX) {
    RowBatch all;
    while (!stream_->ended()) {
      RowBatch rows;
      absl::Status status = stream_->Read(absl::Milliseconds(10), lines_max, &rows);
      EXPECT_TRUE(status.ok()) << status;
      if (!status.ok()) break;
      all.ratings.insert(all.ratings.end(), rows.ratings.begin(), rows.ratings.end());
      all.rejected.insert(all.rejected.end(), rows.rejected.begin(), rows.rejected.end());
      all.byte = rows.byte;
      all.line = rows.line;
    }
    return all;
  }

  int read_end_ = -1;
  int write_end_ = -1;
  std::unique_ptr<RatingStream> stream_;
};

TEST_F(RatingStreamTest, GivesRowsAsTheyComeAndWaitsForTheRestOfALine) {
  Write("userId,movieId,rating,timestamp\r\n1,2,4.5,99\r\n3,4,");
  RowBatch rows = Read();
  ASSERT_EQ(rows.ratings.size(), 1u);
  EXPECT_EQ(rows.ratings[0].value.value(), 4500);
  EXPECT_EQ(rows.line, 2u);
  EXPECT_TRUE(Read().ratings.empty());
  EXPECT_FALSE(stream_->ended());
  Write("1,98\r\n");
  rows = Read();
  ASSERT_EQ(rows.ratings.size(), 1u);
  EXPECT_EQ(rows.ratings[0].movie.value(), 4u);
  EXPECT_EQ(rows.line, 3u);
}

TEST_F(RatingStreamTest, TheLastLineNeedsNoNewlineOnceTheStreamHasEnded) {
  Write(
      "\xef\xbb\xbf"
      "1::2::4.5::99\n3::4::1::98");
  EXPECT_EQ(Read().ratings.size(), 1u);
  EXPECT_EQ(Read().ratings.size(), 0u);
  CloseWriteEnd();
  RowBatch rows = ReadAll();
  ASSERT_EQ(rows.ratings.size(), 1u);
  EXPECT_EQ(rows.ratings[0].time_seconds, 98);
  EXPECT_EQ(rows.byte, 3u + 14 + 11);
  EXPECT_TRUE(stream_->ended());
}

TEST_F(RatingStreamTest, AnEmptyStreamEndsWithoutARow) {
  Write("\n\n");
  CloseWriteEnd();
  RowBatch rows = ReadAll();
  EXPECT_TRUE(rows.ratings.empty() && rows.rejected.empty());
  EXPECT_EQ(rows.line, 2u);
}

TEST_F(RatingStreamTest, ABadRowIsRejectedWithItsLineAndTheRestGoesOn) {
  Write("1,2,4.5,99\n\n1,2,9,99\nword\n5,6,1,7\n");
  RowBatch rows = Read();
  EXPECT_EQ(rows.ratings.size(), 2u);
  ASSERT_EQ(rows.rejected.size(), 2u);
  EXPECT_EQ(rows.rejected[0].line, 3u);
  EXPECT_EQ(rows.rejected[0].text, "1,2,9,99");
  EXPECT_EQ(rows.rejected[1].line, 4u);
  EXPECT_THAT(rows.rejected[1].reason, HasSubstr("4 cells"));
}

TEST_F(RatingStreamTest, WhatIsNoFileOfRatingsIsRefusedWithItsFirstLine) {
  Write("hello\n");
  RowBatch rows;
  absl::Status status = stream_->Read(absl::ZeroDuration(), SIZE_MAX, &rows);
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(status.message(), HasSubstr("the pipe"));
  EXPECT_THAT(status.message(), HasSubstr("hello"));
}

TEST_F(RatingStreamTest, GivesNoMoreLinesThanAskedFor) {
  Write("1,2,4.5,99\nbad\n3,4,1,98\n5,6,1,97\n");
  EXPECT_EQ(Read(1).line, 1u);
  EXPECT_EQ(Read(1).rejected.size(), 1u);
  EXPECT_EQ(Read(0).line, 2u);
  RowBatch rows = Read(2);
  EXPECT_EQ(rows.ratings.size(), 2u);
  EXPECT_EQ(rows.line, 4u);
}

TEST_F(RatingStreamTest, ALineLongerThanTheBufferIsRejectedWithoutBeingHeld) {
  constexpr size_t kBytes = 900'000;
  std::thread writer([this] {
    Write("1,2,4.5,99\n");
    Write(std::string(kBytes, 'x') + "\n3,4,1,98\n" + std::string(kBytes, 'y'));
    CloseWriteEnd();
  });
  RowBatch rows = ReadAll();
  writer.join();
  EXPECT_EQ(rows.ratings.size(), 2u);
  ASSERT_EQ(rows.rejected.size(), 2u);
  EXPECT_EQ(rows.rejected[0].line, 2u);
  EXPECT_EQ(rows.rejected[0].text, std::string(kRowBytesMax, 'x'));
  EXPECT_THAT(rows.rejected[0].reason, HasSubstr(std::to_string(kBytes)));
  EXPECT_EQ(rows.rejected[1].line, 4u);
  EXPECT_THAT(rows.rejected[1].reason, HasSubstr(std::to_string(kBytes)));
  EXPECT_EQ(rows.byte, 11 + kBytes + 1 + 9 + kBytes);
}

// However a stream is cut into pieces, its rows are those of a file with the same bytes.
TEST_F(RatingStreamTest, GivesTheRowsOfAFileWithTheSameBytes) {
  Random random(7);
  std::string text = "userId,movieId,rating,timestamp\n";
  const char* odd[] = {"", "1,2", "\"5\",\"6\",\"3.5\",\"7\"", "1,2,9,9", "a,b,c,d", "1,2,3,4\r"};
  for (int i = 0; i < 20'000; ++i) {
    uint64_t draw = random.Below(50);
    text += draw < std::size(odd) ? odd[draw]
                                  : std::to_string(random.Below(1'000'000)) + "," +
                                        std::to_string(1 + random.Below(90'000)) + ",3.5," +
                                        std::to_string(random.Below(2'000'000'000));
    text += i + 1 < 20'000 ? "\n" : "";
  }
  testing::TemporaryFolder folder;
  folder.Write("ratings.csv", text);
  auto file = RatingFile::Open(folder.At("ratings.csv"), {.scale = {}, .finished = true});
  ASSERT_TRUE(file.ok()) << file.status();
  RowBatch expected;
  ASSERT_TRUE((*file)->Read(UINT64_MAX, SIZE_MAX, &expected).ok());

  std::thread writer([&] {
    Random sizes(8);
    for (size_t at = 0; at < text.size();) {
      size_t bytes = std::min<size_t>(1 + sizes.Below(5000), text.size() - at);
      Write(std::string_view(text).substr(at, bytes));
      at += bytes;
    }
    CloseWriteEnd();
  });
  RowBatch rows = ReadAll(1 + random.Below(3000));
  writer.join();
  ASSERT_EQ(rows.ratings.size(), expected.ratings.size());
  for (size_t i = 0; i < rows.ratings.size(); ++i) {
    ASSERT_EQ(rows.ratings[i].user, expected.ratings[i].user) << i;
    ASSERT_EQ(rows.ratings[i].movie, expected.ratings[i].movie) << i;
    ASSERT_EQ(rows.ratings[i].time_seconds, expected.ratings[i].time_seconds) << i;
  }
  ASSERT_EQ(rows.rejected.size(), expected.rejected.size());
  for (size_t i = 0; i < rows.rejected.size(); ++i) {
    ASSERT_EQ(rows.rejected[i].line, expected.rejected[i].line);
    ASSERT_EQ(rows.rejected[i].reason, expected.rejected[i].reason);
  }
  EXPECT_EQ(rows.byte, text.size());
}

}  // namespace
}  // namespace marquee::sources
