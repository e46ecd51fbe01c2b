// Which movies are due: the one rule that publishes means. Private to domain/.
//
// A movie is due when the as_of of its newest record, by offset, is lower than its as_of in the
// state. Which record is the newest is certain only of what was read back. So a mean that was
// published is *in flight* until the log has been read beyond it; in flight it counts as the
// newest, whatever else is read meanwhile: that may lie before it or after it. Then what was read
// last decides.
//
//     not due ── changed ──▶ due ── Take ──▶ in flight ── Flushed, and read through ──▶ not due, or
//     due where the newest
//                             ▲                │  │                                     record is a
//                             slower writer's └── Failed ──────┘  └── changed: due, and in flight
//                             still
#ifndef MARQUEE_DOMAIN_MEAN_LEDGER_H_
#define MARQUEE_DOMAIN_MEAN_LEDGER_H_

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "domain/ids.h"
#include "domain/movie_table.h"

namespace marquee::domain {

class MeanLedger {
 public:
  // A rating was counted, and the movie's as_of is higher than before.
  void Changed(MovieEntry* movie) {
    if (movie->due_ticket != 0) {
      ++conflated_;
    } else if (movie->flight != 0 || movie->newest < movie->as_of) {
      MakeDue(movie);
    }
  }

  // The next record of the movie, in order of offset.
  void Observe(MovieEntry* movie, LogOffset as_of);
  void ObservedThrough(LogOffset next);

  // The first `max` of the movies that are due, which are in flight from then on.
  std::vector<MovieEntry*> Take(size_t max);
  // What was taken since the last Flushed or Failed lies below `through`.
  void Flushed(LogOffset through);
  // What was taken since the last Flushed or Failed may not be there.
  void Failed();

  size_t due() const { return due_; }
  // Something was taken since the last Flushed or Failed.
  bool awaits_flush() const { return !flights_.empty() && flights_.back().through == kNoOffset; }
  uint64_t conflated() const { return conflated_; }
  size_t MemoryBytes() const;

 private:
  // Movies that were taken between two calls of Flushed. One that is in a later flight too counts
  // for that alone.
  struct Flight {
    uint32_t number;
    LogOffset through;  // kNoOffset: not flushed yet; this is the last flight
    std::vector<MovieEntry*> movies;
  };
  struct DueItem {
    MovieEntry* movie;
    uint32_t ticket;  // stale where it is not the movie's
  };

  void MakeDue(MovieEntry* movie);
  void MakeNotDue(MovieEntry* movie);
  // By the rule, where nothing is in flight.
  void Decide(MovieEntry* movie);
  void Land(const Flight& flight);
  void LandWhatWasRead();
  void DropStaleDue();
  void DropStaleFlights();

  std::deque<DueItem> queue_;  // holds every movie that is due exactly once with its ticket
  size_t due_ = 0;
  uint32_t last_ticket_ = 0;
  uint64_t conflated_ = 0;

  std::deque<Flight> flights_;
  uint32_t last_flight_ = 0;
  size_t in_flights_ = 0;      // movies in all flights, counted as often as they are there
  size_t in_flights_max_ = 0;  // beyond it, stale ones are dropped
  LogOffset observed_ = kNoOffset;
};

}  // namespace marquee::domain

#endif  // MARQUEE_DOMAIN_MEAN_LEDGER_H_
