// Tells the subscriptions of one broker that something was committed: records, or who owns what.
//
// Threads: every method from any thread.
#ifndef MARQUEE_MESSAGING_SQLITE_NOTIFIER_H_
#define MARQUEE_MESSAGING_SQLITE_NOTIFIER_H_

#include <cstdint>

#include "absl/time/time.h"
#include "base/mutex.h"

namespace marquee::messaging {

class Notifier {
 public:
  void Notify() {
    MutexLock lock(mutex_);
    ++count_;
    changed_.SignalAll();
  }
  uint64_t count() {
    MutexLock lock(mutex_);
    return count_;
  }
  // Returns when the count is no longer `seen`, or after `timeout` (or earlier: wakes may be
  // spurious).
  void Wait(uint64_t seen, absl::Duration timeout) {
    MutexLock lock(mutex_);
    if (count_ == seen) changed_.WaitFor(mutex_, timeout);
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  uint64_t count_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace marquee::messaging

#endif  // MARQUEE_MESSAGING_SQLITE_NOTIFIER_H_
