// Bodies that were rendered before and still hold.
//
// A movie's body holds while no commit changed the movie (ChangedMovies) and the prior is the same;
// a page's while there was no commit at all. Both caches are bounded.
//
// Threads: any.
#ifndef MARQUEE_HTTP_BODY_CACHE_H_
#define MARQUEE_HTTP_BODY_CACHE_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "base/mutex.h"
#include "http/changed_movies.h"

namespace marquee::http {

struct RenderedBody {
  std::string body;
  std::string etag;
  int64_t as_of = -1;       // of a movie; -1: unrated
  uint64_t read_after = 0;  // the commits that had been told before it was read
  uint64_t prior_number = 0;
};
using SharedBody = std::shared_ptr<const RenderedBody>;

inline constexpr size_t kCachedMoviesMax = 64 << 10;
inline constexpr size_t kCachedMovieBytesMax = 32 << 20;
inline constexpr size_t kCachedPagesMax = 64;
inline constexpr size_t kCachedPageBytesMax = 4 << 20;

class MovieCache {
 public:
  explicit MovieCache(const ChangedMovies& changed) : changed_(changed) {}

  // Null where there is none that holds.
  SharedBody Find(domain::MovieId movie, uint64_t prior_number);
  // Keeps what is there where that is of a higher as_of: as_of never goes back.
  void Put(domain::MovieId movie, SharedBody body);

 private:
  static constexpr size_t kParts = 16;
  using Bodies = absl::flat_hash_map<domain::MovieId, SharedBody>;
  // What was put or found since the last turn is `young`; a full `young` becomes `old`, and what
  // was old is dropped.
  struct Part {
    Mutex mutex;
    Bodies young ABSL_GUARDED_BY(mutex);
    Bodies old ABSL_GUARDED_BY(mutex);
    size_t young_bytes ABSL_GUARDED_BY(mutex) = 0;
  };

  static void Insert(Part& part, domain::MovieId movie, SharedBody body)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(part.mutex);
  bool Holds(const RenderedBody& body, domain::MovieId movie) const;
  Part& PartOf(domain::MovieId movie) { return parts_[movie.value() * 0x9e3779b97f4a7c15 >> 60]; }

  const ChangedMovies& changed_;
  std::array<Part, kParts> parts_;
};

class PageCache {
 public:
  explicit PageCache(const ChangedMovies& changed) : changed_(changed) {}

  SharedBody Find(const std::string& key, uint64_t prior_number);
  void Put(const std::string& key, SharedBody body);

 private:
  const ChangedMovies& changed_;
  Mutex mutex_;
  uint64_t read_after_ ABSL_GUARDED_BY(mutex_) = 0;  // of all pages
  size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::flat_hash_map<std::string, SharedBody> pages_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace marquee::http

#endif  // MARQUEE_HTTP_BODY_CACHE_H_
