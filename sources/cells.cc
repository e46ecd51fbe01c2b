#include "sources/cells.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "domain/utf8.h"

namespace marquee::sources {
namespace {

constexpr size_t kShownBytesMax = 48;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

constexpr size_t kCharacterBytesMax = 4;

// At most the first `bytes_max` bytes of `text`; of UTF-8, no character is cut.
std::string_view BeginOf(std::string_view text, size_t bytes_max) {
  if (text.size() <= bytes_max) return text;
  size_t end = bytes_max;
  auto continues = [&] { return (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80; };
  while (end > 0 && bytes_max - end < kCharacterBytesMax && continues()) --end;
  return text.substr(0, end);
}

// Takes a quoted cell's text from `*at`, its opening quote, and moves it behind the closing one.
bool TakeQuoted(std::string_view line, size_t* at, std::string* cell) {
  ++*at;
  while (true) {
    size_t quote = line.find('"', *at);
    if (quote == std::string_view::npos) return false;
    cell->append(line.substr(*at, quote - *at));
    *at = quote + 1;
    if (*at >= line.size() || line[*at] != '"') return true;
    *cell += '"';
    ++*at;
  }
}

}  // namespace

bool SplitCsv(std::string_view line, std::vector<std::string>* cells) {
  size_t at = 0;
  while (true) {
    std::string cell;
    if (at < line.size() && line[at] == '"' && !TakeQuoted(line, &at, &cell)) return false;
    size_t comma = std::min(line.find(',', at), line.size());
    cell.append(line.substr(at, comma - at));
    cells->push_back(std::move(cell));
    if (comma == line.size()) return true;
    at = comma + 1;
  }
}

std::vector<std::string> SplitDat(std::string_view line) {
  std::vector<std::string> cells;
  while (true) {
    size_t end = line.find("::");
    cells.emplace_back(line.substr(0, end));
    if (end == std::string_view::npos) return cells;
    line.remove_prefix(end + 2);
  }
}

std::optional<uint64_t> ParseWholeNumber(std::string_view cell) {
  if (cell.empty()) return std::nullopt;
  uint64_t value = 0;
  for (char c : cell) {
    if (!IsDigit(c) || value > kIdMax / 10) return std::nullopt;
    value = value * 10 + static_cast<uint64_t>(c - '0');
  }
  if (value > kIdMax) return std::nullopt;
  return value;
}

bool LooksLikeNumber(std::string_view cell) {
  if (cell.starts_with('-') || cell.starts_with('+')) cell.remove_prefix(1);
  if (cell.starts_with('.')) cell.remove_prefix(1);
  return !cell.empty() && IsDigit(cell[0]);
}

std::string_view WithoutCarriageReturn(std::string_view line) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

std::string WhatIsUnclean(std::string_view text) {
  size_t nul = text.find('\0');
  if (nul != std::string_view::npos) {
    return fmt::format("expected text, found a NUL at byte {} of the line", nul + 1);
  }
  if (domain::IsValidUtf8(text)) return {};
  return fmt::format("expected UTF-8, found other bytes in {}", Shown(text));
}

std::string CleanText(std::string_view text, size_t bytes_max) {
  std::string clean = domain::ToValidUtf8(BeginOf(text, bytes_max));
  for (size_t nul = clean.find('\0'); nul != std::string::npos; nul = clean.find('\0', nul)) {
    clean.replace(nul, 1, "\xef\xbf\xbd");
  }
  clean.resize(BeginOf(clean, bytes_max).size());
  return clean;
}

std::string Shown(std::string_view text) {
  std::string shown = CleanText(text, kShownBytesMax);
  return fmt::format("\"{}{}\"", shown, text.size() > kShownBytesMax ? "…" : "");
}

}  // namespace marquee::sources
