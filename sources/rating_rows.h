// Lines of a file of ratings, parsed. No I/O. What the formats allow is said in rating_file.h.
#ifndef MARQUEE_SOURCES_RATING_ROWS_H_
#define MARQUEE_SOURCES_RATING_ROWS_H_

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "domain/rules.h"
#include "sources/rating_file.h"

namespace marquee::sources {

enum class RatingFormat {
  kCsv,  // userId,movieId,rating,timestamp
  kDat,  // user::movie::rating::time
};

// Of a file's first line: kInvalidArgument where it is neither.
absl::StatusOr<RatingFormat> DetectRatingFormat(std::string_view first_line);

// Whether a file's first line is a heading. None of its cells is a number then, so that a damaged
// first row is rejected and not taken for one.
bool IsRatingHeading(std::string_view line, RatingFormat format);

class RatingRowParser {
 public:
  RatingRowParser(RatingFormat format, const domain::Scale& scale);

  struct Parsed {
    size_t rows = 0;
    size_t bytes = 0;
  };
  // Appends the rows of `lines`, at most `rows_max`, up to the first line that is not of the usual
  // form (digits only, a value on the scale): that one is for ParseRow. The hot path, about 10 ns a
  // row. REQUIRES: each line ends in "\n"; 8 bytes behind `lines` can be read.
  Parsed ParseUsualRows(std::string_view lines, size_t rows_max,
                        std::vector<RatingRow>* rows) const;

  // Parses any line without its end ("\n" or "\r\n"). False where it is rejected; then `reason`
  // says why, in one sentence with what was expected and found.
  bool ParseRow(std::string_view line, RatingRow* row, std::string* reason) const;

 private:
  template <RatingFormat format>
  Parsed ParseUsual(std::string_view lines, size_t rows_max, std::vector<RatingRow>* rows) const;
  template <RatingFormat format>
  const char* ParseUsualRow(const char* at, RatingRow* row) const;
  const char* ParseUsualValue(const char* at, domain::Thousandths* value) const;

  RatingFormat format_;
  domain::Scale scale_;
  // By tenths, 0.0 to 9.9: whether the scale has the value.
  std::array<bool, 100> on_scale_{};
};

}  // namespace marquee::sources

#endif  // MARQUEE_SOURCES_RATING_ROWS_H_
