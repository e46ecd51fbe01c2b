// Wakes a thread that waits for one of several queues. Threads: any rings, one waits.
#ifndef MARQUEE_MESSAGING_KAFKA_BELL_H_
#define MARQUEE_MESSAGING_KAFKA_BELL_H_

#include "absl/time/time.h"
#include "base/mutex.h"

namespace marquee::messaging::kafka {

class Bell {
 public:
  void Ring() {
    MutexLock lock(mutex_);
    rung_ = true;
    changed_.Signal();
  }
  // Before one looks whether there is anything.
  void Reset() {
    MutexLock lock(mutex_);
    rung_ = false;
  }
  // Until somebody has rung since the last Reset, or `timeout` has passed.
  void Wait(absl::Duration timeout) {
    MutexLock lock(mutex_);
    while (!rung_) {
      if (!changed_.WaitFor(mutex_, timeout)) return;
    }
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  bool rung_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace marquee::messaging::kafka

#endif  // MARQUEE_MESSAGING_KAFKA_BELL_H_
