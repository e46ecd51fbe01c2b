// Which commits changed which movies, as far as it takes to know whether something read earlier
// still holds: the last commit that changed a movie, or a movie of the same slot. A few hundred
// kilobytes, whatever the catalogue's size.
//
// A value read while the commits up to C were told holds for as long as LastChange(movie) <= C and
// Settled().
//
// Threads: Tell from one at a time; the rest from any.
#ifndef MARQUEE_HTTP_CHANGED_MOVIES_H_
#define MARQUEE_HTTP_CHANGED_MOVIES_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>

#include "domain/ids.h"

namespace marquee::http {

class ChangedMovies {
 public:
  static constexpr size_t kSlots = 1 << 16;

  ChangedMovies() : slots_(std::make_unique<std::atomic<uint64_t>[]>(kSlots)) {}

  // Commit `number` changed these movies. Where a commit between was not told, all count as
  // changed.
  void Tell(uint64_t number, std::span<const domain::MovieId> movies) {
    uint64_t told = told_.load(std::memory_order_relaxed);
    if (number <= told) return;
    if (number != told + 1) return TellAll(number);
    for (domain::MovieId movie : movies) SlotOf(movie).store(number, std::memory_order_release);
    told_.store(number, std::memory_order_release);
  }
  // The commits up to `number` may have changed any movie.
  void TellAll(uint64_t number) {
    if (number <= told_.load(std::memory_order_relaxed)) return;
    all_.store(number, std::memory_order_release);
    told_.store(number, std::memory_order_release);
  }
  // Somebody has read from a state of commit `number`, which may not have been told yet.
  void Observe(uint64_t number) {
    uint64_t seen = observed_.load(std::memory_order_relaxed);
    while (seen < number &&
           !observed_.compare_exchange_weak(seen, number, std::memory_order_acq_rel)) {
    }
  }

  uint64_t told() const { return told_.load(std::memory_order_acquire); }
  uint64_t LastChange(domain::MovieId movie) const {
    return std::max(SlotOf(movie).load(std::memory_order_acquire),
                    all_.load(std::memory_order_acquire));
  }
  // False while a state newer than what was told has been seen: nothing read earlier may be served
  // then.
  bool Settled() const { return observed_.load(std::memory_order_acquire) <= told(); }

 private:
  std::atomic<uint64_t>& SlotOf(domain::MovieId movie) const {
    return slots_[movie.value() * 0x9e3779b97f4a7c15 >> 48];
  }

  std::unique_ptr<std::atomic<uint64_t>[]> slots_;
  std::atomic<uint64_t> all_ = 0;
  std::atomic<uint64_t> told_ = 0;
  std::atomic<uint64_t> observed_ = 0;
};

}  // namespace marquee::http

#endif  // MARQUEE_HTTP_CHANGED_MOVIES_H_
