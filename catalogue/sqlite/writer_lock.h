// The lock that makes a catalogue's writer the only one: flock on a file beside it, which the
// kernel frees when its holder dies.
//
// Ownership: holds the file open; the file itself stays.
// Threads: one at a time. Fails with: kAborted (held: the message says by whom), kInvalidArgument
// (the file cannot be made).
#ifndef MARQUEE_CATALOGUE_SQLITE_WRITER_LOCK_H_
#define MARQUEE_CATALOGUE_SQLITE_WRITER_LOCK_H_

#include <string>
#include <utility>

#include "absl/status/statusor.h"

namespace marquee::catalogue {

class WriterLock {
 public:
  static absl::StatusOr<WriterLock> Take(const std::string& path);
  WriterLock(WriterLock&& other) noexcept : file_(std::exchange(other.file_, -1)) {}
  WriterLock& operator=(WriterLock&&) = delete;
  ~WriterLock();

 private:
  explicit WriterLock(int file) : file_(file) {}
  int file_;
};

}  // namespace marquee::catalogue

#endif  // MARQUEE_CATALOGUE_SQLITE_WRITER_LOCK_H_
