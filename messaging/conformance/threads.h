// Threads within a test: a step that fails in one ends that thread, and then the test.
#ifndef MARQUEE_MESSAGING_CONFORMANCE_THREADS_H_
#define MARQUEE_MESSAGING_CONFORMANCE_THREADS_H_

#include <atomic>
#include <functional>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "messaging/conformance/trial.h"

namespace marquee::messaging::conformance {

// One thread beside the test's own; joined by Join or at the end of its life.
class SideThread {
 public:
  explicit SideThread(std::function<void()> body)
      : thread_([this, body = std::move(body)] {
          try {
            body();
          } catch (const TrialFailed&) {
            failed_ = true;
          }
        }) {}
  ~SideThread() {
    if (thread_.joinable()) thread_.join();
  }

  // Ends the test where the thread's body failed.
  void Join() {
    thread_.join();
    if (failed_) throw TrialFailed();
  }

 private:
  std::atomic<bool> failed_ = false;
  std::thread thread_;  // last: it uses the others
};

// Runs body(0) … body(count - 1), each in a thread, and waits for all.
inline void RunThreads(int count, const std::function<void(int)>& body) {
  std::vector<std::unique_ptr<SideThread>> threads;
  threads.reserve(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) {
    threads.push_back(std::make_unique<SideThread>([&body, i] { body(i); }));
  }
  for (auto& thread : threads) thread->Join();
}

}  // namespace marquee::messaging::conformance

#endif  // MARQUEE_MESSAGING_CONFORMANCE_THREADS_H_
