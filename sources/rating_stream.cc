#include "sources/rating_stream.h"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/status.h"
#include "sources/line_reader.h"

namespace marquee::sources {

RatingStream::RatingStream(int fd, std::string name, const domain::Scale& scale)
    : fd_(fd), name_(std::move(name)), lines_(scale), buffer_(kReadBytes + kSlackBytes, '\0') {}

absl::Status RatingStream::Read(absl::Duration wait, size_t lines_max, RowBatch* batch) {
  batch->ratings.clear();
  batch->rejected.clear();
  const uint64_t before = line_;
  absl::Status status = TakeAtHand(lines_max, batch);
  if (status.ok() && line_ == before && lines_max > 0) {
    status = Fill(wait);
    if (status.ok()) status = TakeAtHand(lines_max, batch);
  }
  batch->byte = byte_;
  batch->line = line_;
  return status;
}

absl::Status RatingStream::Fill(absl::Duration wait) {
  if (ended_) return absl::OkStatus();
  std::memmove(buffer_.data(), buffer_.data() + begin_, size_ - begin_);
  size_ -= begin_;
  begin_ = 0;
  pollfd waiting{.fd = fd_, .events = POLLIN, .revents = 0};
  int ready = poll(&waiting, 1, static_cast<int>(absl::ToInt64Milliseconds(wait)));
  if (ready == 0 || (ready < 0 && errno == EINTR)) return absl::OkStatus();
  ssize_t got = ready < 0 ? -1 : read(fd_, buffer_.data() + size_, kReadBytes - size_);
  if (got < 0 && (errno == EINTR || errno == EAGAIN)) return absl::OkStatus();
  if (got < 0) {
    return absl::UnavailableError(
        fmt::format("{}: cannot be read: {}", name_, std::strerror(errno)));
  }
  size_ += static_cast<size_t>(got);
  ended_ = got == 0;
  return absl::OkStatus();
}

absl::Status RatingStream::TakeAtHand(size_t lines_max, RowBatch* batch) {
  const uint64_t until = lines_max > UINT64_MAX - line_ ? UINT64_MAX : line_ + lines_max;
  while (line_ < until) {
    std::string_view at_hand = AtHand();
    size_t newline = at_hand.find('\n');
    if (newline == std::string_view::npos) {
      if (ended_ && long_bytes_ > 0) return TakeLongLine(at_hand.size(), batch);
      if (ended_ && !at_hand.empty()) return TakeLine(at_hand, at_hand.size(), batch);
      if (long_bytes_ > 0 || at_hand.size() == kReadBytes) KeepBeginOfLongLine();
      return absl::OkStatus();
    }
    if (long_bytes_ > 0) {
      MARQUEE_RETURN_IF_ERROR(TakeLongLine(newline + 1, batch));
      continue;
    }
    if (lines_.begun()) {
      std::string_view whole = at_hand.substr(0, at_hand.rfind('\n') + 1);
      RatingRowParser::Parsed usual =
          lines_.TakeUsual(whole, static_cast<size_t>(until - line_), batch);
      line_ += usual.rows;
      Advance(usual.bytes);
      if (usual.rows > 0) continue;
    }
    MARQUEE_RETURN_IF_ERROR(TakeLine(at_hand.substr(0, newline), newline, batch));
  }
  return absl::OkStatus();
}

absl::Status RatingStream::TakeLine(std::string_view line, uint64_t text_bytes, RowBatch* batch) {
  std::string_view text = WithoutEnd(line, /*is_first=*/byte_ == 0);
  ++line_;
  bool is_row = !text.empty();
  if (is_row && !lines_.begun()) {
    absl::StatusOr<bool> heading = lines_.Begin(text);
    if (!heading.ok()) return Annotate(heading.status(), name_);
    is_row = !*heading;
  }
  if (is_row) lines_.Take(line_, text, text_bytes > kRowBytesMax ? text_bytes : text.size(), batch);
  Advance(std::min(static_cast<size_t>(text_bytes) + 1, size_ - begin_));
  return absl::OkStatus();
}

void RatingStream::Advance(size_t bytes) {
  begin_ += bytes;
  byte_ += bytes;
}

void RatingStream::KeepBeginOfLongLine() {
  std::string_view at_hand = AtHand();
  if (long_bytes_ == 0) long_begin_.assign(at_hand.substr(0, kRowBytesMax));
  long_bytes_ += at_hand.size();
  Advance(at_hand.size());
}

absl::Status RatingStream::TakeLongLine(size_t rest_bytes, RowBatch* batch) {
  std::string_view rest = AtHand().substr(0, rest_bytes);
  uint64_t bytes = long_bytes_ + rest.size() - (rest.ends_with('\n') ? 1 : 0);
  ++line_;
  if (!lines_.begun()) {
    absl::StatusOr<bool> heading = lines_.Begin(long_begin_);
    if (!heading.ok()) return Annotate(heading.status(), name_);
  }
  lines_.Take(line_, long_begin_, bytes, batch);
  Advance(rest.size());
  long_begin_.clear();
  long_bytes_ = 0;
  return absl::OkStatus();
}

}  // namespace marquee::sources
