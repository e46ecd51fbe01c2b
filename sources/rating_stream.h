// Ratings that come once and cannot be read again: standard input, a pipe. The formats and rules
// are those of rating_file.h, with line numbers from the stream's begin; at its end a last line
// without a newline is a line.
//
// Ownership: borrows the descriptor. Threads: one at a time. Memory: under 1 MiB and the batch.
// Fails with: kInvalidArgument (neither of the formats, with what the first line was), kUnavailable
// (an I/O error).
#ifndef MARQUEE_SOURCES_RATING_STREAM_H_
#define MARQUEE_SOURCES_RATING_STREAM_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "domain/rules.h"
#include "sources/rating_file.h"
#include "sources/rating_lines.h"

namespace marquee::sources {

class RatingStream {
 public:
  // `name` is for errors: "standard input".
  RatingStream(int fd, std::string name, const domain::Scale& scale);

  // Replaces `*batch` with the next rows that are at hand, of at most `lines_max` lines; where none
  // are, waits for at most `wait` and takes what has come by then, which may be nothing. `byte` and
  // `line` of the batch are the place after it.
  absl::Status Read(absl::Duration wait, size_t lines_max, RowBatch* batch);

  // Nothing more will come.
  bool ended() const { return ended_ && begin_ == size_ && long_bytes_ == 0; }
  const std::string& name() const { return name_; }

 private:
  std::string_view AtHand() const { return std::string_view(buffer_.data(), size_).substr(begin_); }
  absl::Status Fill(absl::Duration wait);
  absl::Status TakeAtHand(size_t lines_max, RowBatch* batch);
  // Takes the line that begins what is at hand: `line` without its newline.
  absl::Status TakeLine(std::string_view line, uint64_t text_bytes, RowBatch* batch);
  void Advance(size_t bytes);
  void KeepBeginOfLongLine();
  absl::Status TakeLongLine(size_t rest_bytes, RowBatch* batch);

  const int fd_;
  const std::string name_;
  RatingLines lines_;
  bool ended_ = false;
  uint64_t line_ = 0;  // lines taken
  uint64_t byte_ = 0;  // bytes taken
  std::string buffer_;
  size_t begin_ = 0;  // bytes [begin_, size_) of the buffer are at hand
  size_t size_ = 0;
  // Of a line that does not fit into the buffer: its begin, and how many of its bytes were taken.
  std::string long_begin_;
  uint64_t long_bytes_ = 0;
};

}  // namespace marquee::sources

#endif  // MARQUEE_SOURCES_RATING_STREAM_H_
