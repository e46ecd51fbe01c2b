#include "messaging/sqlite/member_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace marquee::messaging {

absl::StatusOr<std::unique_ptr<MemberLock>> MemberLock::Take(const std::string& path) {
  int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) {
    return absl::FailedPreconditionError(
        fmt::format("{}: expected to make a lock file for a member of a group: {}", path,
                    std::strerror(errno)));
  }
  // flock, not fcntl: it belongs to the open file, so it also tells members of one process apart.
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    int failure = errno;
    close(fd);
    return absl::FailedPreconditionError(
        fmt::format("{}: expected to lock it: {}; the file system may not support flock", path,
                    std::strerror(failure)));
  }
  return std::unique_ptr<MemberLock>(new MemberLock(fd, path));
}

MemberLock::MemberLock(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}

MemberLock::~MemberLock() {
  unlink(path_.c_str());
  close(fd_);
}

bool MemberLock::IsHeld(const std::string& path) {
  int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  // With no descriptor left nothing is known; the lease decides.
  if (fd < 0) return errno != ENOENT;
  bool held = flock(fd, LOCK_SH | LOCK_NB) != 0;
  close(fd);
  return held;
}

}  // namespace marquee::messaging
