// A file that is read by position while others may append to it. It is never mapped: memory stays
// at the caller's buffers, and a file that is cut under us is an error, not a signal.
//
// Ownership: owns the descriptor. Threads: one at a time.
// Fails with: kNotFound, kInvalidArgument (a folder, a pipe, no permission), kUnavailable (an I/O
// error; retry), kDataLoss (the file became shorter than it was seen to be).
#ifndef MARQUEE_SOURCES_INPUT_FILE_H_
#define MARQUEE_SOURCES_INPUT_FILE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace marquee::sources {

class InputFile {
 public:
  // `expected` names what should be there: "a file of ratings (ratings.csv or ratings.dat)".
  static absl::StatusOr<std::unique_ptr<InputFile>> Open(const std::string& path,
                                                         std::string_view expected);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::string& path() const { return path_; }

  // Bytes of the file now.
  absl::StatusOr<uint64_t> Size();

  // Fills `to` with the bytes from `byte` on; how many there are. Fewer than asked for only at the
  // file's end.
  absl::StatusOr<size_t> ReadAt(uint64_t byte, std::span<char> to);

 private:
  InputFile(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  absl::Status Error(const char* what) const;

  std::string path_;
  int fd_;
  uint64_t bytes_seen_ = 0;  // the file was at least so long
};

// A last line may be read before its newline is there. What the line before `byte` lacks of its
// end: 0 bytes where it has one (or `byte` is 0), the 1 or 2 bytes of "\n" or "\r\n" where these
// stand at `byte` now, nullopt where nothing follows yet. kFailedPrecondition: the line goes on, so
// that it was not the line that was read.
absl::StatusOr<std::optional<size_t>> MissingLineEnd(InputFile& file, uint64_t byte);

}  // namespace marquee::sources

#endif  // MARQUEE_SOURCES_INPUT_FILE_H_
