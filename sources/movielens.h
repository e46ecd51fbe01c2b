// A folder with a MovieLens data set: which two files of it hold the ratings and the movies.
#ifndef MARQUEE_SOURCES_MOVIELENS_H_
#define MARQUEE_SOURCES_MOVIELENS_H_

#include <string>

#include "absl/status/statusor.h"

namespace marquee::sources {

struct MovieLensFolder {
  std::string ratings;  // path of ratings.csv or ratings.dat
  std::string movies;   // path of movies.csv or movies.dat
};

// kNotFound: which of the files is missing, and what the folder holds instead.
absl::StatusOr<MovieLensFolder> FindMovieLens(const std::string& folder);

}  // namespace marquee::sources

#endif  // MARQUEE_SOURCES_MOVIELENS_H_
