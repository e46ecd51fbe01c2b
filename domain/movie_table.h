// The movies of a shard: their aggregates, and what is known of their means. Entries never move.
// Private to domain/.
#ifndef MARQUEE_DOMAIN_MOVIE_TABLE_H_
#define MARQUEE_DOMAIN_MOVIE_TABLE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "domain/aggregate.h"
#include "domain/ids.h"

namespace marquee::domain {

inline constexpr LogOffset kNoOffset{-1};

// Two cache lines, next to each other.
struct alignas(128) MovieEntry {
  MovieId id;
  LogOffset as_of = kNoOffset;  // of the state; kNoOffset where no rating was counted
  // The three of MeanLedger.
  LogOffset newest = kNoOffset;  // as_of of the movie's newest record that was read
  uint32_t flight = 0;      // the flight that it was last published in; 0: none that is under way
  uint32_t due_ticket = 0;  // its place among the due; 0: not due
  Aggregate aggregate;

  bool rated() const { return as_of != kNoOffset; }
  void Prefetch() const {
    __builtin_prefetch(this, /*for writing*/ 1);
    __builtin_prefetch(reinterpret_cast<const char*>(this) + 64, 1);
  }
};
static_assert(sizeof(MovieEntry) == 128);

class MovieTable {
 public:
  // Null where it is not there.
  MovieEntry* Find(MovieId id) const {
    auto at = by_id_.find(id);
    return at == by_id_.end() ? nullptr : at->second;
  }

  // Has the memory that Find(id) will look at fetched.
  void Prefetch(MovieId id) const { by_id_.prefetch(id); }

  // REQUIRES: not there.
  MovieEntry* Add(MovieId id) {
    if (size_ % kChunkEntries == 0)
      chunks_.push_back(std::make_unique<MovieEntry[]>(kChunkEntries));
    MovieEntry* entry = &chunks_.back()[size_++ % kChunkEntries];
    entry->id = id;
    by_id_.emplace(id, entry);
    return entry;
  }

  // Every entry, in the order of their arrival.
  template <typename Visit>
  void ForEach(Visit visit) const {
    for (size_t i = 0; i < size_; ++i) visit(&chunks_[i / kChunkEntries][i % kChunkEntries]);
  }

  size_t MemoryBytes() const {
    return chunks_.size() * kChunkEntries * sizeof(MovieEntry) +
           by_id_.capacity() * (sizeof(std::pair<MovieId, MovieEntry*>) + 1);
  }

 private:
  static constexpr size_t kChunkEntries = 128;

  absl::flat_hash_map<MovieId, MovieEntry*> by_id_;
  std::vector<std::unique_ptr<MovieEntry[]>> chunks_;
  size_t size_ = 0;
};

}  // namespace marquee::domain

#endif  // MARQUEE_DOMAIN_MOVIE_TABLE_H_
