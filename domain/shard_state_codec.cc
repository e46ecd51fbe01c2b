// A shard's state as bytes, and back. Everything that is read is checked: a state that no log can
// give is refused.
#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
#include "base/murmur2.h"
#include "base/status.h"
#include "domain/message.h"
#include "domain/shard_state.h"
#include "domain/shard_state_body.h"
#include "domain/text.h"
#include "marquee/v1/checkpoint.pb.h"

namespace marquee::domain {
namespace {

constexpr uint32_t kFormat = 1;

absl::Status Damaged(std::string_view what) {
  return absl::DataLossError(Concat("checkpoint: ", what));
}

int BinsOf(const Scale& scale) { return scale.values() <= kHistogramBinsMax ? scale.values() : 0; }

void SetCounters(const ShardState::Counters& counters, v1::Checkpoint::Counters* message) {
  message->set_messages(counters.messages);
  message->set_counted(counters.counted);
  message->set_repeats(counters.repeats);
  message->set_dead_letters(counters.dead_letters);
  message->set_unstamped(counters.unstamped);
}

absl::Status ReadCounters(const v1::Checkpoint::Counters& message, ShardState::Counters* counters) {
  counters->messages = message.messages();
  counters->counted = message.counted();
  counters->repeats = message.repeats();
  counters->dead_letters = message.dead_letters();
  counters->unstamped = message.unstamped();
  if (counters->messages == counters->counted + counters->repeats + counters->dead_letters &&
      counters->unstamped <= counters->counted) {
    return absl::OkStatus();
  }
  return Damaged("the counters of messages do not add up");
}

void SetAccepted(const ShardState::AcceptedEntry& entry, v1::Checkpoint::Accepted* message) {
  message->set_source(entry.source);
  message->set_incarnation(entry.incarnation.value());
  message->set_flushed_through(entry.accepted.flushed_through.value());
  uint64_t before = 0;
  for (const Interval& interval : entry.accepted.sequences.intervals()) {
    message->add_intervals(interval.first - before);
    message->add_intervals(interval.last - interval.first);
    before = interval.last;
  }
}

absl::StatusOr<ShardState::AcceptedEntry> ReadAccepted(const v1::Checkpoint::Accepted& message) {
  std::vector<Interval> intervals;
  uint64_t before = 0;
  bool is_ordered = message.intervals_size() % 2 == 0;
  for (int i = 0; is_ordered && i < message.intervals_size(); i += 2) {
    uint64_t first = before + message.intervals(i);
    uint64_t last = first + message.intervals(i + 1);
    is_ordered = first >= before && last >= first;
    intervals.push_back({first, last});
    before = last;
  }
  if (!is_ordered || !IntervalSet::Valid(intervals)) {
    return Damaged(
        Concat("the sequences of source ", message.source(), " are no intervals in order"));
  }
  ShardState::AcceptedEntry entry{message.source(), Incarnation(message.incarnation()), {}};
  entry.accepted.sequences = IntervalSet(std::move(intervals));
  entry.accepted.flushed_through = Sequence(message.flushed_through());
  return entry;
}

void SetMovies(const std::vector<MeanRating>& means, int bins, v1::Checkpoint::Movies* message) {
  auto size = static_cast<int>(means.size());
  message->mutable_id_deltas()->Reserve(size);
  message->mutable_counts()->Reserve(size);
  message->mutable_sums_thousandths()->Reserve(size);
  message->mutable_as_of()->Reserve(size);
  message->mutable_histograms()->Reserve(size * bins);
  uint64_t before = 0;
  for (const MeanRating& mean : means) {
    message->add_id_deltas(mean.movie.value() - before);
    message->add_counts(mean.aggregate.count);
    message->add_sums_thousandths(mean.aggregate.sum_thousandths);
    message->add_as_of(mean.as_of.value());
    for (int bin = 0; bin < bins; ++bin) {
      message->add_histograms(mean.aggregate.histogram[static_cast<size_t>(bin)]);
    }
    before = mean.movie.value();
  }
}

// What a sum of `count` values of the scale can be.
absl::Status CheckAggregate(const MeanRating& mean, const Scale& scale) {
  const Aggregate& aggregate = mean.aggregate;
  auto count = static_cast<__int128>(aggregate.count);
  __int128 sum = aggregate.sum_thousandths;
  bool is_possible =
      count > 0 && sum >= count * scale.min.value() && sum <= count * scale.max.value();
  if (BinsOf(scale) > 0) {
    __int128 binned = 0, binned_sum = 0;
    for (int bin = 0; bin < BinsOf(scale); ++bin) {
      auto held = static_cast<__int128>(aggregate.histogram[static_cast<size_t>(bin)]);
      binned += held;
      binned_sum += held * (scale.min.value() + bin * scale.step.value());
    }
    is_possible = is_possible && binned == count && binned_sum == sum;
  }
  if (is_possible) return absl::OkStatus();
  return Damaged(Concat("count, sum and histogram of movie ", mean.movie.value(), " disagree"));
}

class MovieReader {
 public:
  MovieReader(const v1::Checkpoint& message, const Rules& rules, uint32_t shard)
      : movies_(message.movies()),
        next_(message.next()),
        rules_(rules),
        shard_(shard),
        bins_(BinsOf(rules.scale)) {}

  // By id.
  absl::StatusOr<std::vector<MeanRating>> Read() {
    int size = movies_.id_deltas_size();
    if (movies_.counts_size() != size || movies_.sums_thousandths_size() != size ||
        movies_.as_of_size() != size || movies_.histograms_size() != int64_t{size} * bins_) {
      return Damaged("the lists of movies differ in length");
    }
    std::vector<MeanRating> means;
    means.reserve(static_cast<size_t>(size));
    uint64_t before = 0;
    for (int i = 0; i < size; ++i) {
      uint64_t delta = movies_.id_deltas(i);
      if (delta == 0 || delta > kMovieIdMax - before)
        return Damaged("the ids of movies are not in order");
      before += delta;
      means.push_back(At(i, MovieId(before)));
      MARQUEE_RETURN_IF_ERROR(Check(means.back()));
    }
    return means;
  }

 private:
  MeanRating At(int i, MovieId id) const {
    MeanRating mean;
    mean.movie = id;
    mean.shard = shard_;
    mean.as_of = LogOffset(movies_.as_of(i));
    mean.aggregate.count = movies_.counts(i);
    mean.aggregate.sum_thousandths = movies_.sums_thousandths(i);
    for (int bin = 0; bin < bins_; ++bin) {
      mean.aggregate.histogram[static_cast<size_t>(bin)] = movies_.histograms(i * bins_ + bin);
    }
    return mean;
  }

  absl::Status Check(const MeanRating& mean) const {
    char buffer[20];
    if (ShardNumberOfKey(FormatMovieKey(mean.movie, buffer), rules_.shards) != shard_) {
      return Damaged(Concat("movie ", mean.movie.value(), " does not belong to shard ", shard_));
    }
    if (mean.as_of.value() < 0 || mean.as_of.value() >= next_) {
      return Damaged(Concat("movie ", mean.movie.value(), " changed at offset ", mean.as_of.value(),
                            ", and the state ends at ", next_));
    }
    return CheckAggregate(mean, rules_.scale);
  }

  const v1::Checkpoint::Movies& movies_;
  const int64_t next_;
  const Rules& rules_;
  const uint32_t shard_;
  const int bins_;
};

// kFailedPrecondition: a state, but not one to go on from here.
absl::Status CheckIdentity(const v1::Checkpoint& message, const Rules& rules, uint32_t shard) {
  if (message.format() != kFormat) {
    if (message.format() == 0) return Damaged("no format is named");
    return absl::FailedPreconditionError(Concat("checkpoint: its format is ", message.format(),
                                                ", and this version reads ", kFormat,
                                                "; use the version that wrote it, or a later one"));
  }
  absl::StatusOr<Rules> recorded = DecodeRules(message.rules().SerializeAsString());
  if (!recorded.ok()) return Damaged(MessageOf(recorded.status()));
  if (std::vector<std::string> differences = Differences(*recorded, rules); !differences.empty()) {
    return absl::FailedPreconditionError(
        Concat("checkpoint: it was made by other rules: ", absl::StrJoin(differences, "; ")));
  }
  if (message.shard() != shard) {
    return absl::FailedPreconditionError(
        Concat("checkpoint: it is of shard ", message.shard(), "; expected ", shard));
  }
  if (message.next() < 0) return Damaged(Concat("it ends at offset ", message.next()));
  return absl::OkStatus();
}

}  // namespace

std::string ShardState::Encode() const {
  v1::Checkpoint message;
  message.set_format(kFormat);
  MARQUEE_CHECK(message.mutable_rules()->ParseFromString(EncodeRules(rules())));
  message.set_shard(shard());
  message.set_next(next().value());
  SetCounters(counters(), message.mutable_counters());
  for (const AcceptedEntry& entry : AllAccepted()) SetAccepted(entry, message.add_accepted());
  SetMovies(AllMeans(), BinsOf(rules().scale), message.mutable_movies());
  for (RememberedKeys::Entry& entry : body_->remembered.All()) {
    auto* remembered = message.add_remembered();
    remembered->set_key(std::move(entry.key));
    remembered->set_body_digest(entry.body_digest);
    remembered->set_index(entry.index);
    remembered->set_message(entry.message);
  }
  return message.SerializeAsString();
}

absl::StatusOr<ShardState> ShardState::Decode(std::string_view bytes, const Rules& rules,
                                              uint32_t shard) {
  v1::Checkpoint message;
  if (absl::Status read = ReadMessageFrom(bytes, &message); !read.ok())
    return Damaged(MessageOf(read));
  MARQUEE_RETURN_IF_ERROR(CheckIdentity(message, rules, shard));
  ShardState state(rules, shard);
  Body& body = *state.body_;
  body.next = LogOffset(message.next());
  MARQUEE_RETURN_IF_ERROR(ReadCounters(message.counters(), &body.counters));
  for (const v1::Checkpoint::Accepted& accepted : message.accepted()) {
    MARQUEE_ASSIGN_OR_RETURN(AcceptedEntry entry, ReadAccepted(accepted));
    if (absl::Status restored = body.sources.Restore(std::move(entry)); !restored.ok()) {
      return Damaged(MessageOf(restored));
    }
  }
  for (const v1::Checkpoint::Remembered& remembered : message.remembered()) {
    RememberedKeys::Entry entry{remembered.key(), remembered.body_digest(), remembered.index(),
                                remembered.message()};
    if (absl::Status restored = body.remembered.Restore(entry, body.counters.messages);
        !restored.ok()) {
      return Damaged(MessageOf(restored));
    }
  }
  MARQUEE_ASSIGN_OR_RETURN(std::vector<MeanRating> means,
                           MovieReader(message, rules, shard).Read());
  // In the order in which they became due.
  std::sort(means.begin(), means.end(),
            [](const MeanRating& a, const MeanRating& b) { return a.as_of < b.as_of; });
  uint64_t counted = 0;
  for (const MeanRating& mean : means) {
    MovieEntry* movie = body.movies.Add(mean.movie);
    movie->as_of = mean.as_of;
    movie->aggregate = mean.aggregate;
    body.ledger.Changed(movie);
    counted += mean.aggregate.count;
  }
  body.rated_movies = means.size();
  if (counted != body.counters.counted)
    return Damaged("the movies' counts do not add up to the ratings counted");
  return state;
}

}  // namespace marquee::domain
