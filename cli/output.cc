#include "cli/output.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "boost/json/serialize.hpp"

namespace marquee::cli {
namespace {

constexpr int kBarWidth = 30;
constexpr absl::Duration kTerminalInterval = absl::Milliseconds(100);
constexpr absl::Duration kPlainInterval = absl::Seconds(10);

size_t CodePoints(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

// Titles come from outside: nothing in them moves the cursor or changes colours.
std::string WithoutControls(std::string_view text) {
  std::string result;
  for (char c : text) result += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c;
  return result;
}

void Pad(std::string* out, std::string_view cell, size_t width, bool right, bool last) {
  size_t length = CodePoints(cell);
  size_t padding = width > length ? width - length : 0;
  if (right) out->append(padding, ' ');
  out->append(cell);
  if (!right && !last) out->append(padding, ' ');
}

}  // namespace

Table::Table(std::vector<std::string> columns) {
  for (std::string& column : columns) {
    bool right = !column.empty() && column.back() == '>';
    if (right) column.pop_back();
    right_.push_back(right);
    names_.push_back(std::move(column));
  }
}

void Table::Add(std::vector<std::string> cells) {
  for (std::string& cell : cells) cell = WithoutControls(cell);
  cells.resize(names_.size());
  rows_.push_back(std::move(cells));
}

std::string Table::ToString() const {
  std::vector<size_t> widths;
  for (const std::string& name : names_) widths.push_back(CodePoints(name));
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], CodePoints(row[i]));
  }
  std::string text;
  auto line = [&](const std::vector<std::string>& cells) {
    for (size_t i = 0; i < cells.size(); ++i) {
      if (i > 0) text += "  ";
      Pad(&text, cells[i], widths[i], right_[i], i + 1 == cells.size());
    }
    text += '\n';
  };
  line(names_);
  for (const auto& row : rows_) line(row);
  if (!text.empty()) text.pop_back();
  return text;
}

void Print(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fputc('\n', stdout);
  std::fflush(stdout);
}

void PrintJson(const boost::json::value& value) { Print(boost::json::serialize(value)); }

void Say(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fputc('\n', stderr);
}

bool ErrorIsTerminal() { return isatty(STDERR_FILENO) == 1; }

bool ErrorHasColours() {
  const char* no_color = std::getenv("NO_COLOR");
  return ErrorIsTerminal() && (no_color == nullptr || *no_color == '\0');
}

std::string WithThousands(uint64_t number) {
  std::string digits = absl::StrCat(number);
  for (auto at = static_cast<ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3)
    digits.insert(static_cast<size_t>(at), ",");
  return digits;
}

std::string HumanBytes(int64_t bytes) {
  if (bytes < 1024) return absl::StrCat(bytes, " B");
  double value = static_cast<double>(bytes);
  const char* unit = "";
  for (const char* next : {"KiB", "MiB", "GiB", "TiB"}) {
    if (value < 1024) break;
    value /= 1024;
    unit = next;
  }
  return absl::StrFormat("%.1f %s", value, unit);
}

std::string HumanDuration(absl::Duration duration) {
  int64_t seconds = std::max<int64_t>(0, absl::ToInt64Seconds(duration));
  if (seconds >= 3600)
    return absl::StrFormat("%d:%02d:%02d", seconds / 3600, seconds / 60 % 60, seconds % 60);
  return absl::StrFormat("%d:%02d", seconds / 60, seconds % 60);
}

void ProgressBar::Show(double fraction, double rate_per_s, std::string_view unit,
                       absl::Duration now) {
  bool terminal = ErrorIsTerminal();
  if (now - shown_at_ < (terminal ? kTerminalInterval : kPlainInterval)) return;
  if (first_fraction_ < 0) {
    first_fraction_ = fraction;
    first_at_ = now;
    if (!terminal) shown_at_ = now;
    if (!terminal) return;
  }
  shown_at_ = now;
  double gained = fraction - first_fraction_;
  std::string remaining = "-:--";
  if (gained > 0) remaining = HumanDuration((now - first_at_) * ((1 - fraction) / gained));
  std::string words =
      absl::StrFormat("%3.0f %%  %s %s/s  %s left", fraction * 100,
                      WithThousands(static_cast<uint64_t>(rate_per_s)), unit, remaining);
  if (!terminal) {
    Say(absl::StrCat(what_, ": ", words));
    return;
  }
  int filled = static_cast<int>(fraction * kBarWidth);
  std::string bar;
  for (int i = 0; i < kBarWidth; ++i) bar += i < filled ? "█" : "░";
  std::fprintf(stderr, "\r\x1b[K%s %s %s", what_.c_str(), bar.c_str(), words.c_str());
  std::fflush(stderr);
  open_ = true;
}

void ProgressBar::Finish() {
  if (open_) std::fputc('\n', stderr);
  open_ = false;
}

}  // namespace marquee::cli
