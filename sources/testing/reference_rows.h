// A plain, slow reader of files of ratings that holds the whole text, and the check that RatingFile
// reads the same from it in whatever steps. For tests and fuzz targets.
#ifndef MARQUEE_SOURCES_TESTING_REFERENCE_ROWS_H_
#define MARQUEE_SOURCES_TESTING_REFERENCE_ROWS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "sources/rating_file.h"

namespace marquee::sources::testing {

struct ReferenceRows {
  std::vector<RatingRow> ratings;
  std::vector<uint64_t> rejected;  // line numbers
  uint64_t bytes = 0;              // of all whole lines
  uint64_t lines = 0;
};

// With the scale of half stars. nullopt where the text's first line is of neither format.
std::optional<ReferenceRows> ReadPlainly(std::string_view text, bool finished);

// Reads what `file` holds, whose text is `text`, in steps drawn from `random`: windows of marks,
// seeks and reads. Empty where marks and rows are those of ReadPlainly, otherwise what differs
// first.
std::string DifferenceInSteps(RatingFile& file, std::string_view text, bool finished,
                              Random& random);

// Adds one batch after the other to what was read before.
void Collect(const RowBatch& batch, ReferenceRows* rows);
// Empty where equal.
std::string Difference(const ReferenceRows& expected, const ReferenceRows& found);

}  // namespace marquee::sources::testing

#endif  // MARQUEE_SOURCES_TESTING_REFERENCE_ROWS_H_
