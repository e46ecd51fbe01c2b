#include "sources/rating_lines.h"

#include <fmt/core.h>

#include <utility>

#include "base/status.h"
#include "sources/cells.h"

namespace marquee::sources {

absl::StatusOr<bool> RatingLines::Begin(std::string_view line) {
  MARQUEE_ASSIGN_OR_RETURN(RatingFormat format, DetectRatingFormat(line.substr(0, kRowBytesMax)));
  parser_.emplace(format, scale_);
  return line.size() <= kRowBytesMax && IsRatingHeading(line, format);
}

RatingRowParser::Parsed RatingLines::TakeUsual(std::string_view lines, size_t rows_max,
                                               RowBatch* batch) const {
  return parser_->ParseUsualRows(lines, rows_max, &batch->ratings);
}

void RatingLines::Take(uint64_t number, std::string_view text, uint64_t bytes, RowBatch* batch) {
  if (bytes > kRowBytesMax) {
    reason_ = fmt::format("expected a line of at most {} bytes, found {}", kRowBytesMax, bytes);
  } else {
    RatingRow row;
    if (parser_->ParseRow(text, &row, &reason_)) {
      batch->ratings.push_back(row);
      return;
    }
  }
  batch->rejected.push_back({number, CleanText(text, kRowBytesMax), std::move(reason_)});
}

std::string_view WithoutEnd(std::string_view line, bool is_first) {
  if (is_first && line.starts_with(kByteOrderMark)) line.remove_prefix(kByteOrderMark.size());
  return WithoutCarriageReturn(line);
}

}  // namespace marquee::sources
