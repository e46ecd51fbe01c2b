#include "sources/rating_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/status.h"
#include "sources/input_file.h"
#include "sources/input_marks.h"
#include "sources/line_reader.h"
#include "sources/rating_lines.h"
#include "sources/rating_rows.h"

namespace marquee::sources {
namespace {

using domain::InputMark;

class PlainRatingFile final : public RatingFile {
 public:
  PlainRatingFile(std::unique_ptr<InputFile> file, const RatingFileOptions& options)
      : file_(std::move(file)),
        reader_(*file_, options.finished),
        marks_(*file_, options.finished),
        lines_(options.scale) {}

  // Looks for the first line that is not blank. It may not be there yet, or not whole.
  absl::Status FindFirstRow() {
    if (lines_.begun()) return absl::OkStatus();
    const uint64_t byte = reader_.byte();
    reader_.Seek(0);
    absl::Status status = LookForFirstRow();
    reader_.Seek(byte);
    return status;
  }

  absl::StatusOr<uint64_t> Size() override { return file_->Size(); }

  absl::StatusOr<InputMark> MarkAfter(const InputMark& from, uint64_t bytes_max) override {
    MARQUEE_RETURN_IF_ERROR(FindFirstRow());
    return marks_.After(from, bytes_max, ReadableUntil());
  }

  absl::Status VerifyAll(std::span<const InputMark> marks) override {
    return marks_.VerifyAll(marks);
  }

  absl::Status Seek(uint64_t byte, uint64_t line) override {
    MARQUEE_ASSIGN_OR_RETURN(uint64_t size, file_->Size());
    if (byte > size) {
      return absl::DataLossError(fmt::format(
          "{}: expected at least {} bytes, found {}; the file was cut. Give the whole file",
          file_->path(), byte, size));
    }
    reader_.Seek(byte);
    line_ = line;
    after_open_line_ = byte > 0;
    return absl::OkStatus();
  }

  absl::Status Read(uint64_t until_byte, size_t rows_max, RowBatch* batch) override {
    batch->ratings.clear();
    batch->rejected.clear();
    absl::Status status = FindFirstRow();
    if (status.ok()) {
      status = ReadLines(std::min(until_byte, ReadableUntil()), rows_max, batch);
    }
    batch->byte = reader_.byte();
    batch->line = line_;
    return status;
  }

 private:
  // Nothing can be read beyond the blank lines before the first row is whole.
  uint64_t ReadableUntil() const { return lines_.begun() ? UINT64_MAX : blank_until_; }

  absl::Status LookForFirstRow() {
    while (true) {
      MARQUEE_ASSIGN_OR_RETURN(std::string_view lines, reader_.WholeLines(UINT64_MAX));
      if (lines.empty()) break;
      std::string_view line = Text(lines.substr(0, lines.find('\n')));
      if (!line.empty()) return TakeFirstRow(line);
      reader_.Advance(lines.find('\n') + 1);
    }
    MARQUEE_ASSIGN_OR_RETURN(auto odd, reader_.NextOddLine(UINT64_MAX));
    if (odd && !Text(odd->begin).empty()) return TakeFirstRow(Text(odd->begin));
    blank_until_ = reader_.byte() + (odd ? odd->bytes : 0);
    return absl::OkStatus();
  }

  absl::Status TakeFirstRow(std::string_view line) {
    absl::StatusOr<bool> heading = lines_.Begin(line);
    if (!heading.ok()) return Annotate(heading.status(), file_->path());
    if (*heading) heading_at_ = reader_.byte();
    return absl::OkStatus();
  }

  // The line at the reader's place.
  std::string_view Text(std::string_view line) const {
    return WithoutEnd(line, /*is_first=*/reader_.byte() == 0);
  }

  absl::Status ReadLines(uint64_t until, size_t rows_max, RowBatch* batch) {
    if (after_open_line_) {
      MARQUEE_ASSIGN_OR_RETURN(auto line_end, MissingLineEnd(*file_, reader_.byte()));
      if (!line_end || reader_.byte() + *line_end > until) return absl::OkStatus();
      reader_.Advance(*line_end);
      after_open_line_ = false;
    }
    for (size_t lines = 0; lines < rows_max;) {
      MARQUEE_ASSIGN_OR_RETURN(std::string_view at_hand, reader_.WholeLines(until));
      if (!at_hand.empty()) {
        lines += TakeLines(at_hand, rows_max - lines, batch);
        continue;
      }
      MARQUEE_ASSIGN_OR_RETURN(auto odd, reader_.NextOddLine(until));
      if (!odd) break;
      TakeLine(odd->begin, odd->bytes, odd->bytes - (odd->open ? 0 : 1), batch);
      after_open_line_ = odd->open;
      ++lines;
    }
    return absl::OkStatus();
  }

  // Takes usual rows and at most one other line; how many lines that is.
  size_t TakeLines(std::string_view lines, size_t lines_max, RowBatch* batch) {
    RatingRowParser::Parsed usual{};
    if (lines_.begun()) usual = lines_.TakeUsual(lines, lines_max, batch);
    reader_.Advance(usual.bytes);
    line_ += usual.rows;
    if (usual.rows == lines_max || usual.bytes == lines.size()) return usual.rows;
    std::string_view rest = lines.substr(usual.bytes);
    size_t bytes = rest.find('\n');
    TakeLine(rest.substr(0, bytes), bytes + 1, bytes, batch);
    return usual.rows + 1;
  }

  // `line`, or the begin of it: it has `bytes` bytes, of which `text_bytes` are before its newline.
  void TakeLine(std::string_view line, uint64_t bytes, uint64_t text_bytes, RowBatch* batch) {
    std::string_view text = Text(line);
    ++line_;
    bool is_row = !text.empty() && reader_.byte() != heading_at_;
    if (is_row || text_bytes > kRowBytesMax) {
      lines_.Take(line_, text, text_bytes > kRowBytesMax ? text_bytes : text.size(), batch);
    }
    reader_.Advance(bytes);
  }

  std::unique_ptr<InputFile> file_;
  LineReader reader_;
  InputMarks marks_;
  RatingLines lines_;  // begun as soon as the first row is whole
  std::optional<uint64_t> heading_at_;
  uint64_t blank_until_ = 0;

  uint64_t line_ = 0;             // lines before the reader's place
  bool after_open_line_ = false;  // the line before may lack its newline
};

}  // namespace

absl::StatusOr<std::unique_ptr<RatingFile>> RatingFile::Open(const std::string& path,
                                                             const RatingFileOptions& options) {
  MARQUEE_ASSIGN_OR_RETURN(std::unique_ptr<InputFile> input,
                           InputFile::Open(path, "a file of ratings (ratings.csv or ratings.dat)"));
  auto file = std::make_unique<PlainRatingFile>(std::move(input), options);
  MARQUEE_RETURN_IF_ERROR(file->FindFirstRow());
  return file;
}

}  // namespace marquee::sources
