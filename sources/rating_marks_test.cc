// The marks of a file of ratings.
#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sources/rating_file.h"
#include "sources/testing/temporary_folder.h"

namespace marquee::sources {
namespace {

using domain::InputMark;
using ::testing::HasSubstr;

constexpr char kName[] = "ratings.csv";

class RatingMarksTest : public ::testing::Test {
 protected:
  std::unique_ptr<RatingFile> Open(bool finished = true) {
    auto file = RatingFile::Open(folder_.At(kName), {.scale = {}, .finished = finished});
    EXPECT_TRUE(file.ok()) << file.status();
    return *std::move(file);
  }
  static InputMark MarkAfter(RatingFile& file, const InputMark& from, uint64_t bytes_max) {
    auto mark = file.MarkAfter(from, bytes_max);
    EXPECT_TRUE(mark.ok()) << mark.status();
    return mark.value_or(InputMark());
  }
  static InputMark MarkOf(std::string_view before, uint64_t lines) {
    return {.byte = before.size(), .line = lines, .digest = DigestOf(before)};
  }

  testing::TemporaryFolder folder_;
};

TEST_F(RatingMarksTest, AMarkTellsTheLinesAndTheDigestOfAllBeforeItWhateverTheWindows) {
  std::string text = "userId,movieId,rating,timestamp\n";
  for (int i = 0; i < 20'000; ++i) text += std::to_string(i) + ",2,4.0,9\n";
  folder_.Write(kName, text);
  for (uint64_t window :
       {uint64_t{40}, uint64_t{999}, uint64_t{200'000}, uint64_t{10'000'000}, UINT64_MAX}) {
    auto file = Open();
    InputMark mark;
    while (true) {
      InputMark next = MarkAfter(*file, mark, window);
      if (next == mark) break;
      ASSERT_LE(next.byte - mark.byte, window);
      mark = next;
      if (window < 100 && mark.line % 1000 != 0) continue;
      std::string_view before = std::string_view(text).substr(0, mark.byte);
      ASSERT_EQ(mark.digest, DigestOf(before));
      ASSERT_EQ(before.back(), '\n');
      ASSERT_EQ(mark.line, static_cast<uint64_t>(std::count(before.begin(), before.end(), '\n')));
    }
    EXPECT_EQ(mark.byte, text.size());
    EXPECT_EQ(mark.line, 20'001u);
    EXPECT_TRUE(file->Verify(mark).ok());
  }
}

TEST_F(RatingMarksTest, AWindowThatIsSmallerThanALineReachesOverIt) {
  std::string first = "1,2,4.0,9\n", long_line = std::string(3 << 20, 'x') + "\n",
              last = "1,2,4.0,8";
  folder_.Write(kName, first + long_line + last);
  auto file = Open();
  InputMark mark = MarkAfter(*file, {}, 1);
  EXPECT_EQ(mark, MarkOf(first, 1));
  mark = MarkAfter(*file, mark, 1 << 10);
  EXPECT_EQ(mark, MarkOf(first + long_line, 2));
  mark = MarkAfter(*file, mark, 1);
  EXPECT_EQ(mark, MarkOf(first + long_line + last, 3));
  EXPECT_EQ(MarkAfter(*file, mark, 1), mark);
}

TEST_F(RatingMarksTest, ALastLineWithoutANewlineIsWithinAWindowThatEndsWithIt) {
  std::string text = "1,2,4.0,9\n1,2,4.0,8";
  folder_.Write(kName, text);
  EXPECT_EQ(MarkAfter(*Open(), {}, text.size()), MarkOf(text, 2));
  EXPECT_EQ(MarkAfter(*Open(), {}, text.size() - 1), MarkOf("1,2,4.0,9\n", 1));
  EXPECT_EQ(MarkAfter(*Open(/*finished=*/false), {}, UINT64_MAX), MarkOf("1,2,4.0,9\n", 1));
}

TEST_F(RatingMarksTest, MarksGoOnWhereTheFileGrew) {
  folder_.Write(kName, "1,2,4.0,9\n1,2");
  auto file = Open(/*finished=*/false);
  InputMark mark = MarkAfter(*file, {}, UINT64_MAX);
  EXPECT_EQ(mark, MarkOf("1,2,4.0,9\n", 1));
  EXPECT_EQ(MarkAfter(*file, mark, UINT64_MAX), mark);
  folder_.Append(kName, ",4.5,8\n");
  EXPECT_EQ(MarkAfter(*file, mark, UINT64_MAX), MarkOf("1,2,4.0,9\n1,2,4.5,8\n", 2));
}

TEST_F(RatingMarksTest, MarksAreMadeFromAnyEarlierMarkAgain) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += std::to_string(i) + ",2,4.0,9\n";
  folder_.Write(kName, text);
  auto file = Open();
  std::vector<InputMark> marks = {InputMark()};
  while (marks.size() < 20) marks.push_back(MarkAfter(*file, marks.back(), 300));
  for (size_t from : {size_t{3}, size_t{18}, size_t{0}, size_t{11}, size_t{1}}) {
    EXPECT_EQ(MarkAfter(*file, marks[from], 300), marks[from + 1]) << from;
  }
}

TEST_F(RatingMarksTest, WhatLaterEndsALastLineIsAMarkOfItsOwnAndNoLine) {
  folder_.Write(kName, "1,2,4.0,9");
  InputMark open = MarkAfter(*Open(), {}, UINT64_MAX);
  EXPECT_EQ(open, MarkOf("1,2,4.0,9", 1));
  auto file = Open(/*finished=*/false);
  EXPECT_EQ(MarkAfter(*file, open, UINT64_MAX), open);
  folder_.Append(kName, "\r\n1,2,4.0,8\n");
  InputMark ended = MarkAfter(*file, open, UINT64_MAX);
  EXPECT_EQ(ended, MarkOf("1,2,4.0,9\r\n", 1));
  EXPECT_EQ(MarkAfter(*file, ended, UINT64_MAX), MarkOf("1,2,4.0,9\r\n1,2,4.0,8\n", 2));
  folder_.Write(kName, "1,2,4.0,99\n");
  EXPECT_TRUE(absl::IsFailedPrecondition(Open()->MarkAfter(open, UINT64_MAX).status()));
}

TEST_F(RatingMarksTest, AnEditedOrCutFileIsNoticed) {
  folder_.Write(kName, "1,2,4.0,9\n1,2,4.5,9\n");
  InputMark mark = MarkAfter(*Open(), {}, 1000);
  EXPECT_TRUE(Open()->Verify(mark).ok());
  folder_.Write(kName, "1,2,4.0,9\n1,2,3.5,9\n1,2,3.5,9\n");
  absl::Status status = Open()->Verify(mark);
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("its first 20 bytes (2 lines) changed"));
  EXPECT_TRUE(absl::IsFailedPrecondition(Open()->MarkAfter(mark, 1000).status()));
  folder_.Write(kName, "1,2,4.0,9\n");
  status = Open()->Verify(mark);
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("expected at least 20 bytes (2 lines), found 10"));
}

TEST_F(RatingMarksTest, AFileThatWasEditedWhileItIsOpenIsNoticedByVerify) {
  folder_.Write(kName, "1,2,4.0,9\n1,2,4.5,9\n");
  auto file = Open();
  InputMark mark = MarkAfter(*file, {}, 1000);
  EXPECT_TRUE(file->Verify(mark).ok());
  std::fstream edit(folder_.At(kName), std::ios::in | std::ios::out | std::ios::binary);
  edit.seekp(4) << '1';
  edit.close();
  EXPECT_TRUE(absl::IsFailedPrecondition(file->Verify(mark)));
}

TEST_F(RatingMarksTest, ManyMarksAreVerifiedTogetherInAnyOrder) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += std::to_string(i) + ",2,4.0,9\n";
  folder_.Write(kName, text);
  auto file = Open();
  std::vector<InputMark> marks = {InputMark()};
  while (marks.size() < 20) marks.push_back(MarkAfter(*file, marks.back(), 300));
  std::reverse(marks.begin() + 3, marks.end());
  EXPECT_TRUE(Open()->VerifyAll(marks).ok());
  marks[7].digest.low ^= 1;
  EXPECT_TRUE(absl::IsFailedPrecondition(Open()->VerifyAll(marks)));
}

}  // namespace
}  // namespace marquee::sources
