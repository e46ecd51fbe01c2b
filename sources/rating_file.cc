#include "sources/rating_file.h"

#include <fmt/core.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/status.h"
#include "sources/cells.h"
#include "sources/input_file.h"
#include "sources/input_marks.h"
#include "sources/line_reader.h"
#include "sources/rating_rows.h"

namespace marquee::sources {
namespace {

using domain::InputMark;

class PlainRatingFile final : public RatingFile {
 public:
  PlainRatingFile(std::unique_ptr<InputFile> file, const RatingFileOptions& options)
      : file_(std::move(file)),
        options_(options),
        reader_(*file_, options.finished),
        marks_(*file_, options.finished) {}

  // Looks for the first line that is not blank. It may not be there yet, or not whole.
  absl::Status FindFirstRow() {
    if (parser_) return absl::OkStatus();
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
  uint64_t ReadableUntil() const { return parser_ ? UINT64_MAX : blank_until_; }

  absl::Status LookForFirstRow() {
    while (true) {
      MARQUEE_ASSIGN_OR_RETURN(std::string_view lines, reader_.WholeLines(UINT64_MAX));
      if (lines.empty()) break;
      std::string_view line = WithoutEnd(lines.substr(0, lines.find('\n')));
      if (!line.empty()) return TakeFirstRow(line);
      reader_.Advance(lines.find('\n') + 1);
    }
    MARQUEE_ASSIGN_OR_RETURN(auto odd, reader_.NextOddLine(UINT64_MAX));
    if (odd && !WithoutEnd(odd->begin).empty()) return TakeFirstRow(WithoutEnd(odd->begin));
    blank_until_ = reader_.byte() + (odd ? odd->bytes : 0);
    return absl::OkStatus();
  }

  absl::Status TakeFirstRow(std::string_view line) {
    absl::StatusOr<RatingFormat> format = DetectRatingFormat(line.substr(0, kRowBytesMax));
    if (!format.ok()) return Annotate(format.status(), file_->path());
    parser_.emplace(*format, options_.scale);
    if (line.size() <= kRowBytesMax && IsRatingHeading(line, *format)) heading_at_ = reader_.byte();
    return absl::OkStatus();
  }

  // The line at the reader's place without its "\r", and without the BOM where it is the file's
  // first.
  std::string_view WithoutEnd(std::string_view line) const {
    if (reader_.byte() == 0 && line.starts_with(kByteOrderMark)) {
      line.remove_prefix(kByteOrderMark.size());
    }
    return WithoutCarriageReturn(line);
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
    if (parser_) usual = parser_->ParseUsualRows(lines, lines_max, &batch->ratings);
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
    const uint64_t at = reader_.byte();
    std::string_view text = WithoutEnd(line);
    ++line_;
    if (text_bytes > kRowBytesMax) {
      Reject(text,
             fmt::format("expected a line of at most {} bytes, found {}", kRowBytesMax, text_bytes),
             batch);
    } else if (!text.empty() && at != heading_at_) {
      RatingRow row;
      if (parser_->ParseRow(text, &row, &reason_)) {
        batch->ratings.push_back(row);
      } else {
        Reject(text, reason_, batch);
      }
    }
    reader_.Advance(bytes);
  }

  void Reject(std::string_view text, std::string reason, RowBatch* batch) {
    batch->rejected.push_back({line_, CleanText(text, kRowBytesMax), std::move(reason)});
  }

  std::unique_ptr<InputFile> file_;
  RatingFileOptions options_;
  LineReader reader_;
  InputMarks marks_;

  // Of the first row, as soon as it is whole.
  std::optional<RatingRowParser> parser_;
  std::optional<uint64_t> heading_at_;
  uint64_t blank_until_ = 0;

  uint64_t line_ = 0;             // lines before the reader's place
  bool after_open_line_ = false;  // the line before may lack its newline
  std::string reason_;
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
