// A file that appears under its name only when it is whole and on the disk; until then it has the
// ending ".part".
//
// Ownership: owns the descriptor; a file that was not finished is removed. Threads: one at a time.
// Fails with: kResourceExhausted (disk full, or a limit on the file's size), kInvalidArgument
// (cannot be written there), kUnavailable (an I/O error).
#ifndef MARQUEE_SOURCES_OUTPUT_FILE_H_
#define MARQUEE_SOURCES_OUTPUT_FILE_H_

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace marquee::sources {

class OutputFile {
 public:
  static absl::StatusOr<std::unique_ptr<OutputFile>> Open(const std::string& path);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  // What is to be written next; WriteIfLarge passes it on, a large part at a time.
  std::string& text() { return text_; }
  absl::Status WriteIfLarge() { return text_.size() < kWriteBytes ? absl::OkStatus() : Write(); }
  // Writes the rest, syncs, and gives the file its name.
  absl::Status Finish();

 private:
  static constexpr size_t kWriteBytes = 512 << 10;

  explicit OutputFile(const std::string& path) : path_(path), temporary_(path + ".part") {}
  absl::Status Write();
  absl::Status Error() const;

  std::string path_;
  std::string temporary_;
  int fd_ = -1;
  std::string text_;
};

}  // namespace marquee::sources

#endif  // MARQUEE_SOURCES_OUTPUT_FILE_H_
