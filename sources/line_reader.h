// Cuts a file into lines, many at a time, through one buffer of a fixed size. A line of any length
// is passed over without being held.
//
// Ownership: borrows the file; what it returns lives until the next call. Threads: one at a time.
// Errors: as InputFile.
#ifndef MARQUEE_SOURCES_LINE_READER_H_
#define MARQUEE_SOURCES_LINE_READER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "sources/input_file.h"

namespace marquee::sources {

inline constexpr size_t kReadBytes = 256 << 10;
// So many bytes behind what WholeLines returns may be read (not used).
inline constexpr size_t kSlackBytes = 8;

class LineReader {
 public:
  // `finished`: what follows the last newline is a line.
  LineReader(InputFile& file, bool finished)
      : file_(file), finished_(finished), buffer_(kReadBytes + kSlackBytes, '\0') {}

  void Seek(uint64_t byte);
  uint64_t byte() const { return byte_; }

  // Lines with their "\n" from byte() on, as many as are at hand, none beyond byte `until`. Empty:
  // there is none, but maybe an odd one.
  absl::StatusOr<std::string_view> WholeLines(uint64_t until);

  // A line that WholeLines cannot give: longer than the buffer, or the last one of a finished file
  // without a newline.
  struct OddLine {
    std::string_view begin;  // at most kRowBytesMax of it, without its "\n"
    uint64_t bytes = 0;      // of the whole line, with its "\n"
    bool open = false;       // it has no "\n"
  };
  // REQUIRES: WholeLines(until) was called last, and was empty.
  absl::StatusOr<std::optional<OddLine>> NextOddLine(uint64_t until);

  void Advance(uint64_t bytes);

 private:
  std::string_view Buffered() const {
    return std::string_view(buffer_.data(), size_).substr(static_cast<size_t>(byte_ - buffer_at_));
  }
  absl::Status Refill();
  absl::StatusOr<std::optional<OddLine>> EndOfLongLine(uint64_t until);

  InputFile& file_;
  const bool finished_;
  uint64_t byte_ = 0;
  // The file's bytes from buffer_at_ on; buffer_at_ <= byte_ <= buffer_at_ + size_.
  uint64_t buffer_at_ = 0;
  size_t size_ = 0;
  std::string buffer_;
};

}  // namespace marquee::sources

#endif  // MARQUEE_SOURCES_LINE_READER_H_
