// Lines of ratings, taken one after the other into a batch: what a file and a stream have in
// common. No I/O. What the formats allow is said in rating_file.h. Threads: one at a time.
#ifndef MARQUEE_SOURCES_RATING_LINES_H_
#define MARQUEE_SOURCES_RATING_LINES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "domain/rules.h"
#include "sources/rating_file.h"
#include "sources/rating_rows.h"

namespace marquee::sources {

class RatingLines {
 public:
  explicit RatingLines(const domain::Scale& scale) : scale_(scale) {}

  // Whether the format is known.
  bool begun() const { return parser_.has_value(); }

  // Tells the format by the first line that is not blank, given without its end (of a line longer
  // than kRowBytesMax the begin); true where that is a heading. kInvalidArgument: neither format.
  absl::StatusOr<bool> Begin(std::string_view line);

  // As RatingRowParser::ParseUsualRows. REQUIRES: begun.
  RatingRowParser::Parsed TakeUsual(std::string_view lines, size_t rows_max, RowBatch* batch) const;

  // Takes line `number`, without its end, as a row or as a rejected row. `text` is all of its
  // `bytes`, or the first kRowBytesMax of them at least. REQUIRES: begun.
  void Take(uint64_t number, std::string_view text, uint64_t bytes, RowBatch* batch);

 private:
  domain::Scale scale_;
  std::optional<RatingRowParser> parser_;
  std::string reason_;
};

// `line` without its "\r" and, where it `is_first` of its input, without a byte order mark.
std::string_view WithoutEnd(std::string_view line, bool is_first);

}  // namespace marquee::sources

#endif  // MARQUEE_SOURCES_RATING_LINES_H_
