#include "base/mutex.h"

#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace marquee {
namespace {

TEST(Mutex, OneThreadAtATime) {
  Mutex mutex;
  int count = 0;
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int step = 0; step < 10'000; ++step) {
        MutexLock lock(mutex);
        ++count;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  MutexLock lock(mutex);
  EXPECT_EQ(count, 40'000);
}

TEST(Mutex, TryLockFailsWhereAnotherThreadHasIt) {
  Mutex mutex;
  MutexLock lock(mutex);
  bool taken = false;
  std::thread([&] {
    if (!mutex.TryLock()) return;
    taken = true;
    mutex.Unlock();
  }).join();
  EXPECT_FALSE(taken);
}

TEST(CondVar, ASignalWakesWhoWaitsAndTheMutexIsHeldAgain) {
  Mutex mutex;
  CondVar changed;
  int turn = 0;
  std::thread other([&] {
    for (int step = 0; step < 1000; ++step) {
      MutexLock lock(mutex);
      while (turn != 1) changed.Wait(mutex);
      turn = 0;
      changed.SignalAll();
    }
  });
  for (int step = 0; step < 1000; ++step) {
    MutexLock lock(mutex);
    while (turn != 0) changed.WaitFor(mutex, absl::Hours(1));
    turn = 1;
    changed.Signal();
  }
  other.join();
  EXPECT_EQ(turn, 0);
}

TEST(CondVar, WaitForSaysThatTheTimePassed) {
  Mutex mutex;
  CondVar changed;
  MutexLock lock(mutex);
  // A wake may be spurious; that the time passes is sure.
  while (changed.WaitFor(mutex, absl::Milliseconds(1))) {
  }
  EXPECT_FALSE(changed.WaitFor(mutex, absl::ZeroDuration()));
}

}  // namespace
}  // namespace marquee
