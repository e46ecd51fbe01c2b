// What is visible in the catalogue: the watermarks that were committed to it. The sink tells,
// requests wait.
//
// Threads: any.
#ifndef MARQUEE_HTTP_VISIBILITY_H_
#define MARQUEE_HTTP_VISIBILITY_H_

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "base/mutex.h"
#include "domain/movie.h"
#include "http/changed_movies.h"
#include "http/log_position.h"

namespace marquee::http {

inline constexpr size_t kVisibilityWaitersMax = 10'000;

class Visibility {
 public:
  // After a commit: watermarks never go back; a lower one is passed over. Runs the callbacks of
  // those whose position is covered, on this thread, without the lock. Any movie may have changed:
  // right, but what was rendered before is read again. The form below says which did.
  void Advance(std::span<const domain::Watermark> watermarks, uint64_t commit_number);
  // As above; the commit changed the records or means of `changed` at most. Where a commit since
  // the last call was not told, all count as changed. One caller at a time.
  void Advance(std::span<const domain::Watermark> watermarks, uint64_t commit_number,
               std::span<const domain::MovieId> changed);

  enum class Answer { kVisible, kWaiting, kAnotherLog, kTooManyWaiters };
  using WaiterId = uint64_t;
  // kVisible: it is (the callback is not called); kWaiting: `visible` will be called once, unless
  // it is cancelled before; kAnotherLog: the position is of another topic than the one that is
  // served.
  Answer Wait(const LogPosition& position, std::function<void()> visible, WaiterId* id);
  // True where the callback will not be called any more.
  bool Cancel(WaiterId id);

  bool Covers(const LogPosition& position) const;
  std::vector<domain::Watermark> watermarks() const;
  // Of the last commit that was told.
  uint64_t commit_number() const;

  ChangedMovies& changed_movies() { return changed_movies_; }

 private:
  struct Waiter {
    LogPosition position;
    std::function<void()> visible;
    // Where the waiter stands in line: the first shard of its position that does not cover it.
    uint32_t shard = 0;
    int64_t offset = 0;
  };
  using Line = std::multimap<int64_t, WaiterId>;  // by the offset that is waited for

  enum class Cover { kYes, kNo, kAnotherLog };
  // kNo: `shard` and `offset` are what is missing.
  Cover CoverOf(const LogPosition& position, uint32_t* shard, int64_t* offset) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AdvanceWatermarks(std::span<const domain::Watermark> watermarks, uint64_t commit_number);
  // Moves who waited for `shard` on: to another shard's line, or, visible now, into `visible`.
  void MoveLine(uint32_t shard, std::vector<std::function<void()>>* visible)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void RemoveFromLine(const Waiter& waiter, WaiterId id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  ChangedMovies changed_movies_;
  mutable Mutex mutex_;
  std::map<uint32_t, domain::Watermark> watermarks_ ABSL_GUARDED_BY(mutex_);
  std::unordered_map<WaiterId, Waiter> waiters_ ABSL_GUARDED_BY(mutex_);
  std::map<uint32_t, Line> lines_ ABSL_GUARDED_BY(mutex_);
  WaiterId next_id_ ABSL_GUARDED_BY(mutex_) = 1;
  uint64_t commit_number_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace marquee::http

#endif  // MARQUEE_HTTP_VISIBILITY_H_
