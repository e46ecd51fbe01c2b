#include "domain/mean_ledger.h"

#include <algorithm>

#include "base/status.h"

namespace marquee::domain {
namespace {

// Stale items are dropped when there are more than this, and more than live ones.
constexpr size_t kStaleItemsMax = 1024;

// So many places before its turn a movie's memory is fetched.
constexpr size_t kPrefetchedItems = 8;

// 0 means none, so it is passed over when the numbers begin anew; no item lives through 2^32
// others.
uint32_t NextNumber(uint32_t* last) {
  if (++*last == 0) ++*last;
  return *last;
}

}  // namespace

void MeanLedger::MakeDue(MovieEntry* movie) {
  movie->due_ticket = NextNumber(&last_ticket_);
  queue_.push_back({movie, movie->due_ticket});
  ++due_;
  if (queue_.size() > 2 * due_ + kStaleItemsMax) DropStaleDue();
}

void MeanLedger::MakeNotDue(MovieEntry* movie) {
  movie->due_ticket = 0;
  --due_;
}

void MeanLedger::DropStaleDue() {
  std::erase_if(queue_, [](const DueItem& item) { return item.movie->due_ticket != item.ticket; });
}

void MeanLedger::Decide(MovieEntry* movie) {
  bool is_due = movie->newest < movie->as_of;
  if (is_due == (movie->due_ticket != 0)) return;
  if (is_due) {
    MakeDue(movie);
  } else {
    MakeNotDue(movie);
  }
}

void MeanLedger::Observe(MovieEntry* movie, LogOffset as_of) {
  movie->newest = as_of;
  if (movie->flight == 0) Decide(movie);
}

void MeanLedger::ObservedThrough(LogOffset next) {
  observed_ = std::max(observed_, next);
  LandWhatWasRead();
}

std::vector<MovieEntry*> MeanLedger::Take(size_t max) {
  std::vector<MovieEntry*> movies;
  movies.reserve(std::min(max, due_));
  while (movies.size() < max && due_ > 0) {
    DueItem item = queue_.front();
    queue_.pop_front();
    if (queue_.size() > kPrefetchedItems) queue_[kPrefetchedItems].movie->Prefetch();
    if (item.movie->due_ticket != item.ticket) continue;
    MakeNotDue(item.movie);
    movies.push_back(item.movie);
  }
  if (movies.empty()) return movies;
  if (!awaits_flush()) {
    flights_.push_back({NextNumber(&last_flight_), kNoOffset, {}});
  }
  Flight& flight = flights_.back();
  for (MovieEntry* movie : movies) {
    if (movie->flight == flight.number) continue;  // taken twice before a flush
    movie->flight = flight.number;
    flight.movies.push_back(movie);
    ++in_flights_;
  }
  DropStaleFlights();
  return movies;
}

void MeanLedger::Flushed(LogOffset through) {
  if (!awaits_flush()) return;
  flights_.back().through = through;
  LandWhatWasRead();
}

void MeanLedger::Failed() {
  if (!awaits_flush()) return;
  Flight flight = std::move(flights_.back());
  flights_.pop_back();
  Land(flight);
}

void MeanLedger::Land(const Flight& flight) {
  in_flights_ -= flight.movies.size();
  for (MovieEntry* movie : flight.movies) {
    if (movie->flight != flight.number) continue;
    movie->flight = 0;
    Decide(movie);
  }
}

void MeanLedger::LandWhatWasRead() {
  while (!flights_.empty() && flights_.front().through != kNoOffset &&
         flights_.front().through <= observed_) {
    Flight flight = std::move(flights_.front());
    flights_.pop_front();
    Land(flight);
  }
}

void MeanLedger::DropStaleFlights() {
  if (in_flights_ <= in_flights_max_) return;
  in_flights_ = 0;
  for (Flight& flight : flights_) {
    std::erase_if(flight.movies, [&](MovieEntry* movie) { return movie->flight != flight.number; });
    in_flights_ += flight.movies.size();
  }
  std::erase_if(flights_, [](const Flight& flight) {
    return flight.movies.empty() && flight.through != kNoOffset;
  });
  in_flights_max_ = 2 * in_flights_ + kStaleItemsMax;
}

size_t MeanLedger::MemoryBytes() const {
  // NOLINTNEXTLINE(bugprone-sizeof-expression): pointers are what a flight holds.
  return queue_.size() * sizeof(DueItem) + in_flights_ * sizeof(MovieEntry*);
}

}  // namespace marquee::domain
