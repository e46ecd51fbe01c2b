#include "catalogue/sqlite/writer_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace marquee::catalogue {
namespace {

std::string HolderOf(int file) {
  char text[64];
  ssize_t length = ::pread(file, text, sizeof(text), 0);
  std::string holder(text, length > 0 ? static_cast<size_t>(length) : 0);
  while (!holder.empty() && holder.back() == '\n') holder.pop_back();
  return holder.empty() ? "another process" : holder;
}

}  // namespace

absl::StatusOr<WriterLock> WriterLock::Take(const std::string& path) {
  int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (file < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot open the lock ", path, ": ", std::strerror(errno)));
  }
  WriterLock lock(file);
  int result;
  do {
    result = ::flock(file, LOCK_EX | LOCK_NB);
  } while (result != 0 && errno == EINTR);
  if (result != 0) {
    if (errno != EWOULDBLOCK) {
      return absl::InternalError(absl::StrCat("cannot lock ", path, ": ", std::strerror(errno)));
    }
    return absl::AbortedError(
        absl::StrCat(path, ": ", HolderOf(file),
                     " has this catalogue open for writing; stop it, or give this sink "
                     "another --data folder"));
  }
  std::string holder = absl::StrCat("process ", ::getpid(), "\n");
  // For people alone: the lock holds whether or not this is written.
  if (::ftruncate(file, 0) == 0) (void)!::pwrite(file, holder.data(), holder.size(), 0);
  return lock;
}

WriterLock::~WriterLock() {
  if (file_ >= 0) ::close(file_);
}

}  // namespace marquee::catalogue
