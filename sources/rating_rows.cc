#include "sources/rating_rows.h"

#include <fmt/core.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>

#include "base/status.h"
#include "sources/cells.h"

namespace marquee::sources {
namespace {

static_assert(std::endian::native == std::endian::little, "the loads below are little-endian");

bool IsDigit(char c) { return static_cast<unsigned char>(c - '0') < 10; }

// Eight characters at once: digits become 0 to 9, and the lowest high bit of the second is at the
// first character that is no digit.
struct EightCharacters {
  uint64_t values;
  uint64_t others;
};

EightCharacters LoadEight(const char* at) {
  uint64_t word;
  std::memcpy(&word, at, sizeof word);
  word ^= 0x3030303030303030;
  return {word, ((word + 0x7676767676767676) | word) & 0x8080808080808080};
}

// The number of the first `digits` of `values`, 1 to 8 (anything where 0): pairs first, then fours,
// then eights.
uint64_t JoinDigits(uint64_t values, int digits) {
  values <<= (64 - 8 * digits) & 63;
  values = (values * 10 + (values >> 8)) & 0x00ff00ff00ff00ff;
  values = (values * 100 + (values >> 16)) & 0x0000ffff0000ffff;
  return (values * 10000 + (values >> 32)) & 0xffffffff;
}

constexpr uint64_t kPowersOfTen[] = {1, 10, 100, 1'000, 10'000, 100'000, 1'000'000, 10'000'000};

// Takes up to 15 digits from `at`, so far below 2^63; the place behind them, null where there is
// none or they are more.
[[gnu::always_inline]] inline const char* TakeNumber(const char* at, uint64_t* number) {
  EightCharacters eight = LoadEight(at);
  if (eight.others != 0) [[likely]] {
    int digits = std::countr_zero(eight.others) >> 3;
    *number = JoinDigits(eight.values, digits);
    return digits == 0 ? nullptr : at + digits;
  }
  uint64_t high = JoinDigits(eight.values, 8);
  eight = LoadEight(at + 8);
  if (eight.others == 0) return nullptr;
  int digits = std::countr_zero(eight.others) >> 3;
  *number = digits == 0 ? high : high * kPowersOfTen[digits] + JoinDigits(eight.values, digits);
  return at + 8 + digits;
}

template <RatingFormat format>
const char* TakeSeparator(const char* at) {
  if constexpr (format == RatingFormat::kCsv) {
    return *at == ',' ? at + 1 : nullptr;
  } else {
    return at[0] == ':' && at[1] == ':' ? at + 2 : nullptr;
  }
}

const char* TakeLineEnd(const char* at) {
  if (*at == '\r') ++at;
  return *at == '\n' ? at + 1 : nullptr;
}

bool SplitCells(std::string_view line, RatingFormat format, std::vector<std::string>* cells) {
  if (format == RatingFormat::kCsv) return SplitCsv(line, cells);
  *cells = SplitDat(line);
  return true;
}

// What is wrong with the line's form; empty where it has four cells of clean text.
std::string WhatIsMalformed(std::string_view line, RatingFormat format,
                            std::vector<std::string>* cells) {
  std::string unclean = WhatIsUnclean(line);
  if (!unclean.empty()) return unclean;
  if (!SplitCells(line, format, cells)) {
    return fmt::format("expected a closing quote, found none in {}", Shown(line));
  }
  if (cells->size() == 4) return {};
  return fmt::format("expected 4 cells (user, movie, rating, time), found {} in {}", cells->size(),
                     Shown(line));
}

}  // namespace

absl::StatusOr<RatingFormat> DetectRatingFormat(std::string_view first_line) {
  if (SplitDat(first_line).size() == 4) return RatingFormat::kDat;
  if (std::count(first_line.begin(), first_line.end(), ',') >= 3) return RatingFormat::kCsv;
  return absl::InvalidArgumentError(fmt::format(
      "expected a file of ratings, with a first line like userId,movieId,rating,timestamp or "
      "1::1193::5::978300760; found {}",
      Shown(WithoutCarriageReturn(first_line))));
}

bool IsRatingHeading(std::string_view line, RatingFormat format) {
  std::vector<std::string> cells;
  if (!SplitCells(line, format, &cells) || cells[0].empty()) return false;
  return std::none_of(cells.begin(), cells.end(), LooksLikeNumber);
}

RatingRowParser::RatingRowParser(RatingFormat format, const domain::Scale& scale)
    : format_(format), scale_(scale) {
  for (size_t tenths = 0; tenths < on_scale_.size(); ++tenths) {
    on_scale_[tenths] = scale.Contains(domain::Thousandths(static_cast<int32_t>(tenths) * 100));
  }
}

// "4.0" or "4" by the table; the place behind it, null where it is written in another way or not on
// the scale.
inline const char* RatingRowParser::ParseUsualValue(const char* at,
                                                    domain::Thousandths* value) const {
  if (!IsDigit(at[0])) return nullptr;
  int tenths = (at[0] - '0') * 10;
  ++at;
  if (at[0] == '.' && IsDigit(at[1])) {
    tenths += at[1] - '0';
    at += 2;
  }
  if (!on_scale_[static_cast<size_t>(tenths)]) return nullptr;
  *value = domain::Thousandths(tenths * 100);
  return at;
}

// Reads on only behind a character that is no line end, so never far beyond the line's.
template <RatingFormat format>
inline const char* RatingRowParser::ParseUsualRow(const char* at, RatingRow* row) const {
  uint64_t user = 0, movie = 0, time = 0;
  if ((at = TakeNumber(at, &user)) == nullptr) return nullptr;
  if ((at = TakeSeparator<format>(at)) == nullptr) return nullptr;
  if ((at = TakeNumber(at, &movie)) == nullptr || movie == 0) return nullptr;
  if ((at = TakeSeparator<format>(at)) == nullptr) return nullptr;
  if ((at = ParseUsualValue(at, &row->value)) == nullptr) return nullptr;
  if ((at = TakeSeparator<format>(at)) == nullptr) return nullptr;
  if ((at = TakeNumber(at, &time)) == nullptr) return nullptr;
  row->user = domain::UserId(user);
  row->movie = domain::MovieId(movie);
  row->time_seconds = static_cast<int64_t>(time);
  return TakeLineEnd(at);
}

template <RatingFormat format>
RatingRowParser::Parsed RatingRowParser::ParseUsual(std::string_view lines, size_t rows_max,
                                                    std::vector<RatingRow>* rows) const {
  const char* at = lines.data();
  const char* end = at + lines.size();
  size_t count = 0;
  RatingRow row;
  while (at < end && count < rows_max) {
    const char* next = ParseUsualRow<format>(at, &row);
    if (next == nullptr) break;
    rows->push_back(row);
    at = next;
    ++count;
  }
  return {.rows = count, .bytes = static_cast<size_t>(at - lines.data())};
}

RatingRowParser::Parsed RatingRowParser::ParseUsualRows(std::string_view lines, size_t rows_max,
                                                        std::vector<RatingRow>* rows) const {
  return format_ == RatingFormat::kCsv ? ParseUsual<RatingFormat::kCsv>(lines, rows_max, rows)
                                       : ParseUsual<RatingFormat::kDat>(lines, rows_max, rows);
}

bool RatingRowParser::ParseRow(std::string_view line, RatingRow* row, std::string* reason) const {
  std::vector<std::string> cells;
  *reason = WhatIsMalformed(line, format_, &cells);
  if (!reason->empty()) return false;
  std::optional<uint64_t> user = ParseWholeNumber(cells[0]);
  if (!user) {
    *reason = fmt::format("the user's id: expected a whole number from 0 to 2^63 - 1, found {}",
                          Shown(cells[0]));
    return false;
  }
  std::optional<uint64_t> movie = ParseWholeNumber(cells[1]);
  if (!movie || *movie == 0) {
    *reason = fmt::format("the movie's id: expected a whole number from 1 to 2^63 - 1, found {}",
                          Shown(cells[1]));
    return false;
  }
  absl::StatusOr<domain::Thousandths> value = domain::ParseThousandths(cells[2]);
  if (!value.ok() || !scale_.Contains(*value)) {
    *reason = fmt::format("the rating: expected {}, found {}", scale_.ToString(), Shown(cells[2]));
    return false;
  }
  std::optional<uint64_t> time = ParseWholeNumber(cells[3]);
  if (!time) {
    *reason = fmt::format("the time: expected whole seconds since 1970, found {}", Shown(cells[3]));
    return false;
  }
  *row = {domain::UserId(*user), domain::MovieId(*movie), *value, static_cast<int64_t>(*time)};
  return true;
}

}  // namespace marquee::sources
