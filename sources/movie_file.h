// A file of movies: `movies.csv` of MovieLens (movieId,title,genres; quoted titles with commas and
// doubled quotes, UTF-8, CRLF or LF, a BOM, a heading or none) or `movies.dat` of the older sets
// (id::Title (year)::Genre|Genre; Latin-1 where the file is not UTF-8 as a whole). Read whole. A
// line is a row; blank lines are passed over.
//
// The year at the end of the title ("Heat (1995)", trailing spaces allowed) becomes the year and
// leaves the title; anything else, "(2006–2007)" among it, stays in the title. "(no genres listed)"
// are no genres. HTML entities stay as they are.
#ifndef MARQUEE_SOURCES_MOVIE_FILE_H_
#define MARQUEE_SOURCES_MOVIE_FILE_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "domain/movie.h"
#include "sources/rating_file.h"

namespace marquee::sources {

struct MovieRows {
  std::vector<domain::Movie> movies;  // in the order of the file; `source` is left empty
  std::vector<RejectedRow> rejected;
};

// Errors as for RatingFile::Open, kInvalidArgument also for more than 1 GiB. A last line with no
// newline counts.
absl::StatusOr<MovieRows> ReadMovieFile(const std::string& path);

// "Toy Story (1995) " → "Toy Story", 1995.
void SplitTitleAndYear(std::string_view cell, domain::Movie* movie);

}  // namespace marquee::sources

#endif  // MARQUEE_SOURCES_MOVIE_FILE_H_
