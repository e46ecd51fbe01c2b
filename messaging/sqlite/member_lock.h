// A file that is locked as long as a member's process lives: the kernel frees it at the moment of
// death, so that others need not wait for a lease to run out.
//
// Ownership: the lock is held until the object is destroyed, which also removes the file.
// Threads: any, one at a time.
#ifndef MARQUEE_MESSAGING_SQLITE_MEMBER_LOCK_H_
#define MARQUEE_MESSAGING_SQLITE_MEMBER_LOCK_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace marquee::messaging {

class MemberLock {
 public:
  // Makes the file at `path` and locks it. kFailedPrecondition: it cannot be made.
  static absl::StatusOr<std::unique_ptr<MemberLock>> Take(const std::string& path);
  ~MemberLock();
  MemberLock(const MemberLock&) = delete;

  // Whether somebody holds the lock at `path`; no where there is no such file.
  static bool IsHeld(const std::string& path);

 private:
  MemberLock(int fd, std::string path);

  const int fd_;
  const std::string path_;
};

}  // namespace marquee::messaging

#endif  // MARQUEE_MESSAGING_SQLITE_MEMBER_LOCK_H_
