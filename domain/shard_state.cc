#include "domain/shard_state.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/murmur2.h"
#include "base/status.h"
#include "domain/rating_wire.h"
#include "domain/shard_state_body.h"
#include "domain/text.h"

namespace marquee::domain {
namespace {

MeanRating MeanOfEntry(const MovieEntry& movie, uint32_t shard) {
  return {.movie = movie.id, .aggregate = movie.aggregate, .shard = shard, .as_of = movie.as_of};
}

}  // namespace

void ShardState::Body::Read(const LogMessage& message, Upcoming* upcoming) const {
  upcoming->is_rating = message.value.has_value() && ReadRating(*message.value, &upcoming->rating);
  upcoming->movie = nullptr;
}

Outcome ShardState::Body::Take(const LogMessage& message, const Upcoming& upcoming) {
  MARQUEE_CHECK(message.offset >= next);
  next = message.offset.next();
  ++counters.messages;
  remembered.Advance(counters.messages);
  Outcome outcome = Judge(message, upcoming);
  switch (outcome) {
    case Outcome::kCounted:
      ++counters.counted;
      break;
    case Outcome::kRepeat:
      ++counters.repeats;
      break;
    case Outcome::kDeadLetter:
      ++counters.dead_letters;
      break;
  }
  return outcome;
}

Outcome ShardState::Body::Judge(const LogMessage& message, const Upcoming& upcoming) {
  if (!message.value.has_value()) return Refuse("the message has no value; expected a rating");
  if (!upcoming.is_rating) {
    return Refuse(
        Concat("not a marquee.v1.Rating: ", message.value->size(), " bytes of malformed protobuf"));
  }
  return upcoming.rating.stamp.has_value() ? JudgeStamped(message, upcoming)
                                           : JudgeContent(message, upcoming);
}

Outcome ShardState::Body::JudgeStamped(const LogMessage& message, const Upcoming& upcoming) {
  switch (sources.Take(*upcoming.rating.stamp, &reason)) {
    case AcceptedSources::Verdict::kNew:
      return JudgeContent(message, upcoming);
    case AcceptedSources::Verdict::kRepeat:
      return Outcome::kRepeat;
    case AcceptedSources::Verdict::kRefused:
      break;
  }
  return Outcome::kDeadLetter;
}

Outcome ShardState::Body::JudgeContent(const LogMessage& message, const Upcoming& upcoming) {
  const Rating& rating = upcoming.rating;
  if (absl::Status valid = ValidateRating(rating); !valid.ok()) return Refuse(MessageOf(valid));
  if (ParseMovieKey(message.key) != rating.movie) {
    return Refuse(
        Concat("the rating is of movie ", rating.movie.value(), ", and its key is of another"));
  }
  uint8_t bin = bins.Of(rating.value);
  if (bin == ValueBins::kNotOnScale) {
    return Refuse(Concat("the value is ", FormatThousandths(rating.value), "; expected ",
                         rules.scale.ToString()));
  }
  MovieEntry* movie =
      upcoming.movie != nullptr ? upcoming.movie : FindOrAdd(rating.movie, message.key);
  if (movie == nullptr) {
    return Refuse(Concat("movie ", rating.movie.value(), " belongs to shard ",
                         ShardNumberOfKey(message.key, rules.shards), ", not to ", shard));
  }
  if (rating.idempotency.has_value()) {
    Outcome outcome = JudgeRepetition(*rating.idempotency);
    if (outcome != Outcome::kCounted) return outcome;
  }
  Count(message, rating, movie, bin);
  return Outcome::kCounted;
}

Outcome ShardState::Body::JudgeRepetition(const Idempotency& idempotency) {
  switch (remembered.Take(idempotency, counters.messages)) {
    case RememberedKeys::Verdict::kNew:
      return Outcome::kCounted;
    case RememberedKeys::Verdict::kRepeat:
      return Outcome::kRepeat;
    case RememberedKeys::Verdict::kOtherBody:
      break;
  }
  return Refuse(Concat("the idempotency key ", idempotency.key, " was used with another body"));
}

void ShardState::Body::Count(const LogMessage& message, const Rating& rating, MovieEntry* movie,
                             uint8_t bin) {
  if (!movie->rated()) ++rated_movies;
  Aggregate& aggregate = movie->aggregate;
  ++aggregate.count;
  aggregate.sum_thousandths += rating.value.value();
  if (bin != ValueBins::kNoBin) ++aggregate.histogram[bin];
  movie->as_of = message.offset;
  ledger.Changed(movie);
  if (!rating.stamp.has_value()) ++counters.unstamped;
}

Outcome ShardState::Body::Refuse(std::string_view why) {
  reason = std::string(why);
  return Outcome::kDeadLetter;
}

MovieEntry* ShardState::Body::FindOrAdd(MovieId id, std::string_view key) {
  MovieEntry* movie = movies.Find(id);
  if (movie != nullptr) [[likely]]
    return movie;
  // A movie that is there was checked when it came.
  if (ShardNumberOfKey(key, rules.shards) != shard) return nullptr;
  return movies.Add(id);
}

ShardState::ShardState(const Rules& rules, uint32_t shard) {
  MARQUEE_CHECK(rules.Validate().ok() && shard < rules.shards);
  body_ = std::make_unique<Body>(rules, shard);
}
ShardState::~ShardState() = default;
ShardState::ShardState(ShardState&&) noexcept = default;
ShardState& ShardState::operator=(ShardState&&) noexcept = default;

Outcome ShardState::Apply(const LogMessage& message) {
  Body::Upcoming upcoming;
  body_->Read(message, &upcoming);
  return body_->Take(message, upcoming);
}

void ShardState::ApplyAll(std::span<const LogMessage> messages,
                          const std::function<void(const LogMessage&, Outcome)>& not_counted) {
  // Enough to have the next ones' memory fetched while these are judged.
  constexpr size_t kBlock = 16;
  Body& body = *body_;
  std::array<Body::Upcoming, kBlock> upcoming;
  while (!messages.empty()) {
    std::span<const LogMessage> block = messages.first(std::min(kBlock, messages.size()));
    for (size_t i = 0; i < block.size(); ++i) {
      body.Read(block[i], &upcoming[i]);
      body.movies.Prefetch(upcoming[i].rating.movie);
    }
    for (size_t i = 0; i < block.size(); ++i) {
      upcoming[i].movie = body.movies.Find(upcoming[i].rating.movie);
      if (upcoming[i].movie != nullptr) upcoming[i].movie->Prefetch();
    }
    for (size_t i = 0; i < block.size(); ++i) {
      Outcome outcome = body.Take(block[i], upcoming[i]);
      if (outcome != Outcome::kCounted) not_counted(block[i], outcome);
    }
    messages = messages.subspan(block.size());
  }
}

const std::string& ShardState::reason() const { return body_->reason; }
LogOffset ShardState::next() const { return body_->next; }
void ShardState::SkipTo(LogOffset next) {
  MARQUEE_CHECK(next >= body_->next);
  body_->next = next;
}

const Rules& ShardState::rules() const { return body_->rules; }
uint32_t ShardState::shard() const { return body_->shard; }
const ShardState::Counters& ShardState::counters() const { return body_->counters; }
size_t ShardState::movies() const { return body_->rated_movies; }

const Aggregate* ShardState::Find(MovieId movie) const {
  const MovieEntry* entry = body_->movies.Find(movie);
  return entry != nullptr && entry->rated() ? &entry->aggregate : nullptr;
}

LogOffset ShardState::AsOf(MovieId movie) const {
  const MovieEntry* entry = body_->movies.Find(movie);
  return entry == nullptr ? kNoOffset : entry->as_of;
}

std::vector<MeanRating> ShardState::AllMeans() const {
  std::vector<MeanRating> means;
  means.reserve(movies());
  body_->movies.ForEach([&](const MovieEntry* movie) {
    if (movie->rated()) means.push_back(MeanOfEntry(*movie, shard()));
  });
  std::sort(means.begin(), means.end(),
            [](const MeanRating& a, const MeanRating& b) { return a.movie < b.movie; });
  return means;
}

std::vector<ShardState::AcceptedEntry> ShardState::AllAccepted() const {
  return body_->sources.All();
}
uint64_t ShardState::Lost() const { return body_->sources.Lost(); }

size_t ShardState::MemoryBytes() const {
  return sizeof(Body) + body_->movies.MemoryBytes() + body_->ledger.MemoryBytes() +
         body_->sources.MemoryBytes() + body_->remembered.MemoryBytes();
}

void ShardState::ObserveMean(MovieId movie, LogOffset as_of) {
  char buffer[20];
  // Null for a record that is not of this shard: no rating of its movie will ever count here.
  MovieEntry* entry = body_->FindOrAdd(movie, FormatMovieKey(movie, buffer));
  if (entry != nullptr) body_->ledger.Observe(entry, as_of);
}

void ShardState::ObservedMeansThrough(LogOffset next) { body_->ledger.ObservedThrough(next); }

std::vector<MeanRating> ShardState::TakeDue(size_t max) {
  std::vector<MovieEntry*> movies = body_->ledger.Take(max);
  std::vector<MeanRating> means;
  means.reserve(movies.size());
  for (const MovieEntry* movie : movies) means.push_back(MeanOfEntry(*movie, shard()));
  return means;
}

size_t ShardState::due() const { return body_->ledger.due(); }
bool ShardState::MeansAreDurable() const { return due() == 0 && !body_->ledger.awaits_flush(); }
uint64_t ShardState::conflated() const { return body_->ledger.conflated(); }
void ShardState::MeansFlushed(LogOffset through) { body_->ledger.Flushed(through); }
void ShardState::MeansFailed() { body_->ledger.Failed(); }

}  // namespace marquee::domain
