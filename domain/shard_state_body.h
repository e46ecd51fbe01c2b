// What a ShardState is made of. Private to domain/.
#ifndef MARQUEE_DOMAIN_SHARD_STATE_BODY_H_
#define MARQUEE_DOMAIN_SHARD_STATE_BODY_H_

#include <string>

#include "domain/accepted_sources.h"
#include "domain/mean_ledger.h"
#include "domain/movie_table.h"
#include "domain/remembered_keys.h"
#include "domain/shard_state.h"
#include "domain/value_bins.h"

namespace marquee::domain {

struct ShardState::Body {
  Body(const Rules& rules_in, uint32_t shard_in)
      : rules(rules_in),
        shard(shard_in),
        bins(rules_in.scale),
        sources(rules_in),
        remembered(rules_in.idempotency_window_messages) {}

  // A message that was looked at, and not judged yet.
  struct Upcoming {
    bool is_rating = false;
    Rating rating;
    MovieEntry* movie = nullptr;  // null: not found so far
  };

  void Read(const LogMessage& message, Upcoming* upcoming) const;
  Outcome Take(const LogMessage& message, const Upcoming& upcoming);

  Outcome Judge(const LogMessage& message, const Upcoming& upcoming);
  Outcome JudgeStamped(const LogMessage& message, const Upcoming& upcoming);
  Outcome JudgeContent(const LogMessage& message, const Upcoming& upcoming);
  Outcome JudgeRepetition(const Idempotency& idempotency);
  void Count(const LogMessage& message, const Rating& rating, MovieEntry* movie, uint8_t bin);
  Outcome Refuse(std::string_view why);
  // Null where the movie belongs to another shard; made where it is not there.
  MovieEntry* FindOrAdd(MovieId id, std::string_view key);

  const Rules rules;
  const uint32_t shard;
  const ValueBins bins;

  LogOffset next;
  Counters counters;
  AcceptedSources sources;
  RememberedKeys remembered;
  MovieTable movies;
  size_t rated_movies = 0;

  MeanLedger ledger;  // no part of the state
  std::string reason;
};

}  // namespace marquee::domain

#endif  // MARQUEE_DOMAIN_SHARD_STATE_BODY_H_
