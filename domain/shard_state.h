// The state of one shard of `ratings`: a pure function of the rules and the shard's log up to an
// offset; and beside it what its owner knows of the shard of `mean-ratings`, from which the one
// rule follows that publishes means:
//
//     a movie is due when the as_of of its newest record (by offset) is lower than its as_of in the
//     state.
//
// No I/O, no clock, no threads: one thread owns a shard.
#ifndef MARQUEE_DOMAIN_SHARD_STATE_H_
#define MARQUEE_DOMAIN_SHARD_STATE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/intervals.h"
#include "domain/aggregate.h"
#include "domain/ids.h"
#include "domain/movie.h"
#include "domain/rating.h"
#include "domain/rules.h"

namespace marquee::domain {

// What became of a message.
enum class Outcome {
  kCounted,
  kRepeat,  // this (source, incarnation, sequence) was accepted before, or its idempotency key was
  kDeadLetter,  // see reason(): goes to `ratings.dlq`; a stamp it bears is accepted where it can be
};

// What was accepted of one (source, incarnation) in this shard.
struct Accepted {
  IntervalSet sequences;
  Sequence flushed_through;  // the highest seen
  // Missing at or below flushed_through: a loss.
  uint64_t lost() const { return sequences.MissingThrough(flushed_through.value()); }
  friend bool operator==(const Accepted&, const Accepted&) = default;
};

// A message of the log. Borrows.
struct LogMessage {
  LogOffset offset;
  std::string_view key;
  std::optional<std::string_view> value;
};

class ShardState {
 public:
  struct Counters {         // part of the state
    uint64_t messages = 0;  // read from the log: counted + repeats + dead_letters
    uint64_t counted = 0;
    uint64_t repeats = 0;
    uint64_t dead_letters = 0;
    uint64_t unstamped = 0;  // of counted
    friend bool operator==(const Counters&, const Counters&) = default;
  };

  ShardState(const Rules& rules, uint32_t shard);
  ~ShardState();
  ShardState(ShardState&&) noexcept;
  ShardState& operator=(ShardState&&) noexcept;

  // Takes the next message. REQUIRES: message.offset >= next(). Dead letters: not a Rating; another
  // movie's key; a movie whose shard this is not; a value outside the scale; a sequence of 0, too
  // far beyond the first missing one, or of an incarnation older than those kept; an idempotency
  // key that was used with another body. A message with a stamp that is a dead letter for another
  // reason than its stamp enters the intervals all the same, so that the audit sees no loss; a
  // repeat of it is a kRepeat.
  Outcome Apply(const LogMessage& message);
  // The same for each of `messages` in turn, in less time: what they need of memory is fetched
  // ahead. `not_counted` is told of each repeat and dead letter as soon as it has been judged;
  // reason() is of that one then.
  void ApplyAll(std::span<const LogMessage> messages,
                const std::function<void(const LogMessage&, Outcome)>& not_counted);
  // Why the last message was a kDeadLetter: one sentence.
  const std::string& reason() const;

  // The first offset that has not been applied.
  LogOffset next() const;
  // Skips to `next` without a message there (a gap in the offsets).
  void SkipTo(LogOffset next);

  const Rules& rules() const;
  uint32_t shard() const;
  const Counters& counters() const;
  size_t movies() const;
  // Null where no rating of the movie was counted; otherwise until the next Apply.
  const Aggregate* Find(MovieId movie) const;
  LogOffset AsOf(MovieId movie) const;  // LogOffset(-1) where unknown
  // Means of all movies, ordered by id.
  std::vector<MeanRating> AllMeans() const;
  // By (source, incarnation), ordered.
  struct AcceptedEntry {
    std::string source;
    Incarnation incarnation;
    Accepted accepted;
  };
  std::vector<AcceptedEntry> AllAccepted() const;
  uint64_t Lost() const;  // the sum of Accepted::lost()
  // About how many bytes of memory this state takes.
  size_t MemoryBytes() const;

  // ---- What the owner knows of `mean-ratings`

  // A record of the shard of `mean-ratings` was read, in order of offset, each once.
  void ObserveMean(MovieId movie, LogOffset as_of);
  // `mean-ratings` was read up to `next`: from here on the newest record of every movie is known up
  // to there.
  void ObservedMeansThrough(LogOffset next);

  // The movies that are due now, each once; they count as published until MeansFailed. Ordered by
  // when they became due. At most `max` of them.
  std::vector<MeanRating> TakeDue(size_t max);
  size_t due() const;
  // Whether every mean of the state is durable, or was seen, in `mean-ratings`: nothing is due, and
  // nothing was taken that MeansFlushed has not covered. A checkpoint may be made of the state as
  // it is now.
  bool MeansAreDurable() const;
  // How often a changed movie was due already when it changed again: means that were never
  // published.
  uint64_t conflated() const;
  // What TakeDue returned is durable in `mean-ratings`, below `through`. Until
  // ObservedMeansThrough(through) a slower writer's record that is read does not make a movie due;
  // after it, one that is the newest does.
  void MeansFlushed(LogOffset through);
  // What TakeDue returned since the last MeansFlushed may not be there: due again, unless seen
  // since.
  void MeansFailed();

  // ---- Checkpoints

  // The state (not the knowledge of `mean-ratings`) as bytes: equal states, equal bytes.
  std::string Encode() const;
  // kDataLoss: not such bytes; kFailedPrecondition: of other rules, another shard, or a newer
  // format.
  static absl::StatusOr<ShardState> Decode(std::string_view bytes, const Rules& rules,
                                           uint32_t shard);

 private:
  struct Body;
  std::unique_ptr<Body> body_;
};

}  // namespace marquee::domain

#endif  // MARQUEE_DOMAIN_SHARD_STATE_H_
