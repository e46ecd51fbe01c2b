#include "sources/movie_file.h"

#include <fmt/core.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "base/status.h"
#include "domain/utf8.h"
#include "sources/cells.h"
#include "sources/input_file.h"

namespace marquee::sources {
namespace {

constexpr int kYearMin = 1800;
constexpr int kYearMax = 2200;
constexpr uint64_t kMovieFileBytesMax = uint64_t{1} << 30;
constexpr std::string_view kNoGenres = "(no genres listed)";

struct MovieFormat {
  bool dat = false;
  bool latin1 = false;
};

std::string FromLatin1(std::string_view text) {
  std::string utf8;
  utf8.reserve(text.size() + text.size() / 8);
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80) {
      utf8 += c;
    } else {
      utf8 += static_cast<char>(0xc0 | byte >> 6);
      utf8 += static_cast<char>(0x80 | (byte & 0x3f));
    }
  }
  return utf8;
}

absl::StatusOr<std::string> ReadWhole(const std::string& path) {
  MARQUEE_ASSIGN_OR_RETURN(std::unique_ptr<InputFile> file,
                           InputFile::Open(path, "a file of movies (movies.csv or movies.dat)"));
  MARQUEE_ASSIGN_OR_RETURN(uint64_t size, file->Size());
  if (size > kMovieFileBytesMax) {
    return absl::InvalidArgumentError(
        fmt::format("{}: expected a file of movies of at most {} bytes, found {}", path,
                    kMovieFileBytesMax, size));
  }
  std::string text(size, '\0');
  MARQUEE_ASSIGN_OR_RETURN(size_t got, file->ReadAt(0, std::span(text)));
  text.resize(got);
  return text;
}

// Takes the next line from `*rest`, without its end.
std::string_view TakeLine(std::string_view* rest) {
  size_t end = std::min(rest->find('\n'), rest->size());
  std::string_view line = rest->substr(0, end);
  rest->remove_prefix(std::min(end + 1, rest->size()));
  return WithoutCarriageReturn(line);
}

// The first "::" ends the id and the last one begins the genres, whatever the title holds.
std::vector<std::string> SplitDatMovie(std::string_view line) {
  size_t first = line.find("::");
  if (first == std::string_view::npos) return {std::string(line)};
  size_t last = line.rfind("::");
  if (last < first + 2) return SplitDat(line);
  return {std::string(line.substr(0, first)), std::string(line.substr(first + 2, last - first - 2)),
          std::string(line.substr(last + 2))};
}

std::vector<std::string> SplitGenres(std::string_view cell) {
  std::vector<std::string> genres;
  if (cell == kNoGenres) return genres;
  while (!cell.empty()) {
    size_t end = std::min(cell.find('|'), cell.size());
    if (end > 0) genres.emplace_back(cell.substr(0, end));
    cell.remove_prefix(std::min(end + 1, cell.size()));
  }
  return genres;
}

// The cells id, title, genres of a line. False where it is rejected; then `reason` says why.
bool ParseMovie(std::string_view line, MovieFormat format, domain::Movie* movie,
                std::string* reason) {
  std::string utf8;
  if (format.latin1) line = utf8 = FromLatin1(line);
  *reason =
      line.size() > kRowBytesMax
          ? fmt::format("expected a line of at most {} bytes, found {}", kRowBytesMax, line.size())
          : WhatIsUnclean(line);
  if (!reason->empty()) return false;
  std::vector<std::string> cells;
  if (format.dat) {
    cells = SplitDatMovie(line);
  } else if (!SplitCsv(line, &cells)) {
    *reason = fmt::format("expected a closing quote, found none in {}", Shown(line));
    return false;
  }
  if (cells.size() != 3) {
    *reason = fmt::format("expected 3 cells (movie, title, genres), found {} in {}", cells.size(),
                          Shown(line));
    return false;
  }
  std::optional<uint64_t> id = ParseWholeNumber(cells[0]);
  if (!id || *id == 0) {
    *reason = fmt::format("the movie's id: expected a whole number from 1 to 2^63 - 1, found {}",
                          Shown(cells[0]));
    return false;
  }
  movie->id = domain::MovieId(*id);
  SplitTitleAndYear(cells[1], movie);
  movie->genres = SplitGenres(cells[2]);
  return true;
}

absl::StatusOr<MovieFormat> DetectFormat(const std::string& path, std::string_view first_line,
                                         std::string_view text) {
  if (first_line.find("::") != std::string_view::npos) {
    return MovieFormat{.dat = true, .latin1 = !domain::IsValidUtf8(text)};
  }
  if (std::count(first_line.begin(), first_line.end(), ',') >= 2) return MovieFormat{};
  return absl::InvalidArgumentError(fmt::format(
      "{}: expected a file of movies, with a first line like movieId,title,genres or 1::Toy Story "
      "(1995)::Comedy; found {}",
      path, Shown(first_line)));
}

// Whether a file's first line is a heading: its first cell is not a number.
bool IsHeading(std::string_view line, MovieFormat format) {
  std::vector<std::string> cells;
  if (format.dat) {
    cells = SplitDatMovie(line);
  } else if (!SplitCsv(line, &cells)) {
    return false;
  }
  return !cells[0].empty() && !LooksLikeNumber(cells[0]);
}

std::string_view WithoutTrailingSpaces(std::string_view text) {
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

}  // namespace

void SplitTitleAndYear(std::string_view cell, domain::Movie* movie) {
  constexpr size_t kYearBytes = 6;  // "(1995)"
  std::string_view text = WithoutTrailingSpaces(cell);
  movie->year.reset();
  if (text.size() >= kYearBytes && text.ends_with(')') && text[text.size() - kYearBytes] == '(') {
    std::optional<uint64_t> year = ParseWholeNumber(text.substr(text.size() - 5, 4));
    if (year && *year >= kYearMin && *year <= kYearMax) {
      movie->year = static_cast<int>(*year);
      text = WithoutTrailingSpaces(text.substr(0, text.size() - kYearBytes));
    }
  }
  movie->title = std::string(text);
}

absl::StatusOr<MovieRows> ReadMovieFile(const std::string& path) {
  MARQUEE_ASSIGN_OR_RETURN(std::string text, ReadWhole(path));
  std::string_view rest = text;
  if (rest.starts_with(kByteOrderMark)) rest.remove_prefix(kByteOrderMark.size());
  MovieRows rows;
  std::optional<MovieFormat> format;
  std::string reason;
  for (uint64_t number = 1; !rest.empty(); ++number) {
    std::string_view line = TakeLine(&rest);
    if (line.empty()) continue;
    if (!format) {
      MARQUEE_ASSIGN_OR_RETURN(format, DetectFormat(path, line, text));
      if (IsHeading(line, *format)) continue;
    }
    domain::Movie movie;
    if (ParseMovie(line, *format, &movie, &reason)) {
      rows.movies.push_back(std::move(movie));
    } else {
      rows.rejected.push_back({number, CleanText(line, kRowBytesMax), reason});
    }
  }
  return rows;
}

}  // namespace marquee::sources
