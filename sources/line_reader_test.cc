#include "sources/line_reader.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "sources/rating_file.h"
#include "sources/testing/temporary_folder.h"

namespace marquee::sources {
namespace {

constexpr char kName[] = "lines";

class LineReaderTest : public ::testing::Test {
 protected:
  std::unique_ptr<InputFile> Open(std::string_view text) {
    folder_.Write(kName, text);
    auto file = InputFile::Open(folder_.At(kName), "a test's file");
    EXPECT_TRUE(file.ok()) << file.status();
    return *std::move(file);
  }

  // Passes over all lines before `until`; the sizes of the odd ones.
  static std::vector<uint64_t> PassOver(LineReader& reader, uint64_t until) {
    std::vector<uint64_t> odd_bytes;
    while (true) {
      auto lines = reader.WholeLines(until);
      EXPECT_TRUE(lines.ok()) << lines.status();
      EXPECT_TRUE(lines->empty() || lines->back() == '\n');
      reader.Advance(lines->size());
      if (!lines->empty()) continue;
      auto odd = reader.NextOddLine(until);
      EXPECT_TRUE(odd.ok()) << odd.status();
      if (!odd->has_value()) return odd_bytes;
      EXPECT_EQ((*odd)->begin, std::string(std::min<size_t>((*odd)->bytes, kRowBytesMax), 'x'));
      odd_bytes.push_back((*odd)->bytes);
      reader.Advance((*odd)->bytes);
    }
  }

  testing::TemporaryFolder folder_;
};

TEST_F(LineReaderTest, ALineLongerThanTheBufferIsOneLineWhereverItEndsAndTheLimitIs) {
  for (size_t before : {size_t{0}, size_t{1}, size_t{1000}, kReadBytes - 1, kReadBytes}) {
    for (size_t length : {kReadBytes, kReadBytes + 1, 2 * kReadBytes, 2 * kReadBytes - kRowBytesMax,
                          3 * kReadBytes - 2 * kRowBytesMax}) {
      const uint64_t end = before + length + 1;
      const std::string text = (before == 0 ? "" : std::string(before - 1, 'a') + "\n") +
                               std::string(length, 'x') + "\n" + "1\n";
      auto file = Open(text);
      LineReader reader(*file, /*finished=*/true);
      for (uint64_t until : {end - 1, end - 2, uint64_t{before} + 1}) {
        EXPECT_TRUE(PassOver(reader, until).empty());
        ASSERT_EQ(reader.byte(), before) << "length " << length << ", until " << until;
      }
      EXPECT_EQ(PassOver(reader, end), std::vector<uint64_t>{length + 1}) << "before " << before;
      ASSERT_EQ(reader.byte(), end);
      EXPECT_TRUE(PassOver(reader, UINT64_MAX).empty());
      EXPECT_EQ(reader.byte(), text.size());
    }
  }
}

TEST_F(LineReaderTest, ALastLineOfAFinishedFileIsOddAndOfAnotherWaits) {
  for (size_t before : {size_t{0}, size_t{1000}, kReadBytes - 5, kReadBytes}) {
    for (size_t length : {size_t{1}, size_t{5}, kReadBytes - 1, kReadBytes, kReadBytes + 1}) {
      const std::string text =
          (before == 0 ? "" : std::string(before - 1, 'a') + "\n") + std::string(length, 'x');
      auto file = Open(text);
      LineReader growing(*file, /*finished=*/false);
      EXPECT_TRUE(PassOver(growing, UINT64_MAX).empty());
      EXPECT_EQ(growing.byte(), before);
      for (uint64_t until : {uint64_t{text.size()}, UINT64_MAX}) {
        LineReader finished(*file, /*finished=*/true);
        EXPECT_TRUE(PassOver(finished, text.size() - 1).empty());
        ASSERT_EQ(finished.byte(), before);
        EXPECT_EQ(PassOver(finished, until), std::vector<uint64_t>{length});
        EXPECT_EQ(finished.byte(), text.size());
      }
    }
  }
}

TEST_F(LineReaderTest, ALongLineThatWasNotWholeIsReadOnceItIs) {
  auto file = Open("");
  LineReader reader(*file, /*finished=*/false);
  std::string line;
  for (size_t bytes : {size_t{10}, kRowBytesMax, kReadBytes, kReadBytes}) {
    folder_.Append(kName, std::string(bytes, 'x'));
    line.append(bytes, 'x');
    EXPECT_TRUE(PassOver(reader, UINT64_MAX).empty());
    EXPECT_EQ(reader.byte(), 0u);
  }
  folder_.Append(kName, "\n");
  EXPECT_EQ(PassOver(reader, UINT64_MAX), std::vector<uint64_t>{line.size() + 1});
}

}  // namespace
}  // namespace marquee::sources
