#include "sources/testing/reference_rows.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "base/digest.h"
#include "domain/utf8.h"

namespace marquee::sources::testing {
namespace {

using domain::InputMark;

constexpr std::array<std::string_view, 10> kHalfStars = {"0.5", "1",   "1.5", "2",   "2.5",
                                                         "3",   "3.5", "4",   "4.5", "5"};

std::optional<std::vector<std::string>> CellsOf(std::string_view line, bool dat) {
  std::vector<std::string> cells(1);
  bool quoted = false;
  for (size_t i = 0; i < line.size(); ++i) {
    if (dat) {
      if (line.substr(i, 2) == "::") {
        cells.emplace_back();
        ++i;
      } else {
        cells.back() += line[i];
      }
    } else if (quoted) {
      if (line[i] != '"') {
        cells.back() += line[i];
      } else if (i + 1 < line.size() && line[i + 1] == '"') {
        cells.back() += line[i++];
      } else {
        quoted = false;
      }
    } else if (line[i] == '"' && (i == 0 || line[i - 1] == ',') && cells.back().empty()) {
      quoted = true;
    } else if (line[i] == ',') {
      cells.emplace_back();
    } else {
      cells.back() += line[i];
    }
  }
  if (quoted) return std::nullopt;
  return cells;
}

bool OnlyDigits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

std::optional<uint64_t> Id(std::string_view cell) {
  if (!OnlyDigits(cell)) return std::nullopt;
  cell.remove_prefix(std::min(cell.find_first_not_of('0'), cell.size()));
  constexpr std::string_view kMax = "9223372036854775807";
  if (cell.size() > kMax.size() || (cell.size() == kMax.size() && cell > kMax)) return std::nullopt;
  return cell.empty() ? 0 : std::stoull(std::string(cell));
}

// By text: without zeros that say nothing, it is one of ten.
std::optional<domain::Thousandths> Value(std::string_view cell) {
  size_t point = std::min(cell.find('.'), cell.size());
  std::string_view whole = cell.substr(0, point);
  if (!OnlyDigits(whole)) return std::nullopt;
  std::string_view decimals = cell.substr(point);
  if (!decimals.empty() && !OnlyDigits(decimals.substr(1))) return std::nullopt;
  while (whole.size() > 1 && whole[0] == '0') whole.remove_prefix(1);
  while (!decimals.empty() && (decimals.back() == '0' || decimals == "."))
    decimals.remove_suffix(1);
  auto found =
      std::find(kHalfStars.begin(), kHalfStars.end(), std::string(whole) + std::string(decimals));
  if (found == kHalfStars.end()) return std::nullopt;
  return domain::Thousandths(static_cast<int32_t>(found - kHalfStars.begin() + 1) * 500);
}

std::optional<RatingRow> RowOf(std::string_view line, bool dat) {
  if (line.find('\0') != std::string_view::npos || !domain::IsValidUtf8(line)) return std::nullopt;
  auto cells = CellsOf(line, dat);
  if (!cells || cells->size() != 4) return std::nullopt;
  auto user = Id((*cells)[0]), movie = Id((*cells)[1]), time = Id((*cells)[3]);
  auto value = Value((*cells)[2]);
  if (!user || !movie || *movie == 0 || !value || !time) return std::nullopt;
  return RatingRow{domain::UserId(*user), domain::MovieId(*movie), *value,
                   static_cast<int64_t>(*time)};
}

bool BeginsAsNumber(std::string_view cell) {
  size_t at = 0;
  if (at < cell.size() && (cell[at] == '+' || cell[at] == '-')) ++at;
  if (at < cell.size() && cell[at] == '.') ++at;
  return at < cell.size() && cell[at] >= '0' && cell[at] <= '9';
}

bool Heading(std::string_view line, bool dat) {
  auto cells = CellsOf(line, dat);
  if (!cells || cells->front().empty()) return false;
  return std::none_of(cells->begin(), cells->end(), BeginsAsNumber);
}

// Line by line, with what the first one told.
class PlainReader {
 public:
  explicit PlainReader(ReferenceRows* rows) : rows_(rows) {}

  // Without its "\n". False where the format is neither.
  bool Take(std::string_view line) {
    bool too_long = line.size() > kRowBytesMax;
    if (rows_->lines++ == 0 && line.starts_with("\xef\xbb\xbf")) line.remove_prefix(3);
    std::string_view begin = line.substr(0, kRowBytesMax);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) return true;
    if (!dat_) {
      if (!Detect(begin)) return false;
      if (!too_long && Heading(line, *dat_)) return true;
    }
    auto row = too_long ? std::nullopt : RowOf(line, *dat_);
    if (row) {
      rows_->ratings.push_back(*row);
    } else {
      rows_->rejected.push_back(rows_->lines);
    }
    return true;
  }

 private:
  bool Detect(std::string_view begin) {
    dat_ = CellsOf(begin, /*dat=*/true)->size() == 4;
    return *dat_ || std::count(begin.begin(), begin.end(), ',') >= 3;
  }

  ReferenceRows* rows_;
  std::optional<bool> dat_;
};

}  // namespace

std::optional<ReferenceRows> ReadPlainly(std::string_view text, bool finished) {
  ReferenceRows rows;
  PlainReader reader(&rows);
  while (rows.bytes < text.size()) {
    size_t end = text.find('\n', rows.bytes);
    if (end == std::string_view::npos && !finished) break;
    end = std::min(end, text.size());
    if (!reader.Take(text.substr(rows.bytes, end - rows.bytes))) return std::nullopt;
    rows.bytes = std::min(end + 1, text.size());
  }
  return rows;
}

void Collect(const RowBatch& batch, ReferenceRows* rows) {
  rows->ratings.insert(rows->ratings.end(), batch.ratings.begin(), batch.ratings.end());
  for (const RejectedRow& row : batch.rejected) rows->rejected.push_back(row.line);
  rows->bytes = batch.byte;
  rows->lines = batch.line;
}

std::string Difference(const ReferenceRows& expected, const ReferenceRows& found) {
  for (size_t i = 0; i < std::min(expected.ratings.size(), found.ratings.size()); ++i) {
    const RatingRow &a = expected.ratings[i], &b = found.ratings[i];
    if (a.user != b.user || a.movie != b.movie || a.value != b.value ||
        a.time_seconds != b.time_seconds) {
      return fmt::format("rating {}: expected {},{},{},{}, found {},{},{},{}", i, a.user.value(),
                         a.movie.value(), a.value.value(), a.time_seconds, b.user.value(),
                         b.movie.value(), b.value.value(), b.time_seconds);
    }
  }
  if (expected.ratings.size() != found.ratings.size()) {
    return fmt::format("expected {} ratings, found {}", expected.ratings.size(),
                       found.ratings.size());
  }
  if (expected.rejected != found.rejected) {
    return fmt::format("expected {} rejected rows, found {}, or other lines",
                       expected.rejected.size(), found.rejected.size());
  }
  if (expected.bytes != found.bytes || expected.lines != found.lines) {
    return fmt::format("expected to end at byte {}, line {}, found byte {}, line {}",
                       expected.bytes, expected.lines, found.bytes, found.lines);
  }
  return {};
}

namespace {

// What is wrong with a mark of `text`.
std::string WrongMark(const InputMark& mark, std::string_view text) {
  std::string_view before = text.substr(0, mark.byte);
  if (mark.digest != DigestOf(before)) return fmt::format("wrong digest at byte {}", mark.byte);
  bool open = !before.empty() && before.back() != '\n';
  auto lines =
      static_cast<uint64_t>(std::count(before.begin(), before.end(), '\n')) + (open ? 1 : 0);
  if (mark.line != lines || (open && mark.byte != text.size())) {
    return fmt::format("mark at byte {}, line {}: expected line {}", mark.byte, mark.line, lines);
  }
  return {};
}

uint64_t DrawSize(Random& random) {
  return random.OneIn(8) ? UINT64_MAX : 1 + random.Below(uint64_t{1} << random.Below(12));
}

// Reads the window from..until and adds its rows.
std::string ReadWindow(RatingFile& file, const InputMark& from, const InputMark& until,
                       Random& random, ReferenceRows* found) {
  if (random.OneIn(2) && !file.Seek(from.byte, from.line).ok()) return "a seek failed";
  RowBatch batch;
  batch.byte = from.byte;
  while (batch.byte < until.byte) {
    uint64_t before = batch.byte;
    absl::Status status = file.Read(until.byte, DrawSize(random), &batch);
    if (!status.ok()) return status.ToString();
    if (batch.byte == before)
      return fmt::format("nothing read at byte {} before byte {}", before, until.byte);
    Collect(batch, found);
    if (random.OneIn(8) && !file.Seek(batch.byte, batch.line).ok()) return "a seek failed";
  }
  if (batch.byte != until.byte || batch.line != until.line) {
    return fmt::format("read to byte {}, line {}; expected byte {}, line {}", batch.byte,
                       batch.line, until.byte, until.line);
  }
  return {};
}

}  // namespace

std::string DifferenceInSteps(RatingFile& file, std::string_view text, bool finished,
                              Random& random) {
  std::optional<ReferenceRows> expected = ReadPlainly(text, finished);
  if (!expected)
    return "the file was opened, expected a refusal: its first line is of neither format";
  ReferenceRows found;
  InputMark mark;
  while (true) {
    absl::StatusOr<InputMark> until = file.MarkAfter(mark, DrawSize(random));
    if (!until.ok()) return until.status().ToString();
    if (until->byte == mark.byte) break;
    std::string wrong = WrongMark(*until, text);
    if (wrong.empty()) wrong = ReadWindow(file, mark, *until, random, &found);
    if (!wrong.empty()) return wrong;
    mark = *until;
    if (random.OneIn(16) && !file.Verify(mark).ok()) return "a mark was not verified";
  }
  return Difference(*expected, found);
}

}  // namespace marquee::sources::testing
