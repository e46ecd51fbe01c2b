#include "sources/movielens.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <vector>

namespace marquee::sources {
namespace {

namespace fs = std::filesystem;

constexpr size_t kNamesShownMax = 10;

bool IsFile(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error) && !fs::is_directory(path, error);
}

// ratings.csv and movies.csv, or else the .dat of the older sets.
std::optional<MovieLensFolder> FindIn(const fs::path& folder) {
  for (const char* ending : {".csv", ".dat"}) {
    fs::path ratings = folder / (std::string("ratings") + ending);
    fs::path movies = folder / (std::string("movies") + ending);
    if (IsFile(ratings) && IsFile(movies)) return MovieLensFolder{ratings, movies};
  }
  return std::nullopt;
}

// What the folder holds instead, and the folder below it that was meant perhaps (an archive
// unpacked inside).
std::string WhatIsThere(const fs::path& folder) {
  std::vector<std::string> names;
  std::string meant;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    names.push_back(entry->path().filename());
    if (FindIn(entry->path())) meant = fmt::format("; {} has them", entry->path().string());
  }
  if (error) return fmt::format("a folder that cannot be read ({})", error.message());
  if (names.empty()) return "an empty folder";
  std::sort(names.begin(), names.end());
  if (names.size() > kNamesShownMax) {
    names.resize(kNamesShownMax);
    names.emplace_back("…");
  }
  return fmt::format("{}{}", fmt::join(names, ", "), meant);
}

}  // namespace

absl::StatusOr<MovieLensFolder> FindMovieLens(const std::string& folder) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) {
    return absl::NotFoundError(
        fmt::format("{}: expected a folder with ratings.csv and movies.csv, found {}", folder,
                    fs::exists(folder, error) ? "something that is no folder" : "nothing there"));
  }
  if (auto found = FindIn(folder)) return *found;
  return absl::NotFoundError(fmt::format(
      "{}: expected ratings.csv and movies.csv, or ratings.dat and movies.dat; found {}", folder,
      WhatIsThere(folder)));
}

}  // namespace marquee::sources
