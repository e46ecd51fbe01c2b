#include "sources/line_reader.h"

#include <algorithm>
#include <cstring>
#include <span>

#include "base/status.h"
#include "sources/rating_file.h"

namespace marquee::sources {

static_assert(kRowBytesMax < kReadBytes, "the begin of a long line stays in the buffer");

void LineReader::Seek(uint64_t byte) {
  byte_ = buffer_at_ = byte;
  size_ = 0;
}

void LineReader::Advance(uint64_t bytes) {
  if (bytes <= Buffered().size()) {
    byte_ += bytes;
  } else {
    Seek(byte_ + bytes);
  }
}

absl::Status LineReader::Refill() {
  std::string_view rest = Buffered();
  std::memmove(buffer_.data(), rest.data(), rest.size());
  size_ = rest.size();
  buffer_at_ = byte_;
  MARQUEE_ASSIGN_OR_RETURN(
      size_t got,
      file_.ReadAt(buffer_at_ + size_, std::span(buffer_).subspan(size_, kReadBytes - size_)));
  size_ += got;
  return absl::OkStatus();
}

absl::StatusOr<std::string_view> LineReader::WholeLines(uint64_t until) {
  if (until <= byte_) return std::string_view();
  auto lines_at_hand = [&] {
    std::string_view at_hand = Buffered();
    at_hand =
        at_hand.substr(0, static_cast<size_t>(std::min<uint64_t>(at_hand.size(), until - byte_)));
    return at_hand.substr(0, at_hand.rfind('\n') + 1);
  };
  std::string_view lines = lines_at_hand();
  if (!lines.empty() || until <= buffer_at_ + size_) return lines;
  MARQUEE_RETURN_IF_ERROR(Refill());
  return lines_at_hand();
}

absl::StatusOr<std::optional<LineReader::OddLine>> LineReader::NextOddLine(uint64_t until) {
  if (until <= byte_) return std::nullopt;
  MARQUEE_RETURN_IF_ERROR(Refill());
  std::string_view rest = Buffered();
  if (rest.find('\n') != std::string_view::npos) return std::nullopt;
  if (size_ == kReadBytes) return EndOfLongLine(until);
  if (!finished_ || rest.empty() || byte_ + rest.size() > until) return std::nullopt;
  return OddLine{.begin = rest.substr(0, kRowBytesMax), .bytes = rest.size(), .open = true};
}

// Keeps the line's begin at the front of the buffer and looks for its end with the rest of it.
absl::StatusOr<std::optional<LineReader::OddLine>> LineReader::EndOfLongLine(uint64_t until) {
  std::string_view begin(buffer_.data(), kRowBytesMax);
  std::span<char> block = std::span(buffer_).subspan(kRowBytesMax, kReadBytes - kRowBytesMax);
  uint64_t at = byte_ + size_;
  size_ = kRowBytesMax;
  while (at <= until) {
    MARQUEE_ASSIGN_OR_RETURN(size_t got, file_.ReadAt(at, block));
    size_t newline = std::string_view(block.data(), got).find('\n');
    if (newline != std::string_view::npos) {
      uint64_t bytes = at + newline + 1 - byte_;
      if (byte_ + bytes > until) return std::nullopt;
      return OddLine{.begin = begin, .bytes = bytes};
    }
    at += got;
    if (got < block.size()) {
      if (!finished_ || at > until) return std::nullopt;
      return OddLine{.begin = begin, .bytes = at - byte_, .open = true};
    }
  }
  return std::nullopt;
}

}  // namespace marquee::sources
