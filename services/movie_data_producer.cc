#include "services/movie_data_producer.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/crash_point.h"
#include "base/status.h"
#include "domain/rating.h"

namespace marquee::services {
namespace {

constexpr size_t kMoviesPerStep = 2000;
constexpr absl::Duration kPace = absl::Milliseconds(20);

absl::StatusOr<Digest> DigestOfFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file)
    return absl::NotFoundError(
        absl::StrCat(path, ": cannot be opened; give a movies.csv or movies.dat"));
  StreamDigest digest;
  std::vector<char> block(1 << 20);
  while (file.read(block.data(), static_cast<std::streamsize>(block.size())) || file.gcount() > 0) {
    digest.Add({block.data(), static_cast<size_t>(file.gcount())});
  }
  return digest.digest();
}

}  // namespace

absl::StatusOr<std::unique_ptr<MovieDataProducer>> MovieDataProducer::Open(
    const World& world, const MovieDataProducerOptions& options) {
  MARQUEE_RETURN_IF_ERROR(domain::ValidateSourceName(options.source));
  std::unique_ptr<MovieDataProducer> producer(new MovieDataProducer(world, options));
  MARQUEE_ASSIGN_OR_RETURN(producer->sources_, SourceLog::Open(world));
  MARQUEE_ASSIGN_OR_RETURN(producer->movies_, world.broker.OpenPublisher(world.topics.movies()));
  MARQUEE_ASSIGN_OR_RETURN(producer->dead_letters_,
                           DeadLetters::Open(world, world.topics.movies(), "moviedataproducer"));
  producer->record_.source = absl::StrCat(options.source, "-movies");
  producer->record_.repeatable = true;
  producer->record_.incarnation = domain::MakeIncarnation(1, 0);
  for (const domain::SourceClaims::Claim& claim :
       producer->sources_->claims().OfSource(producer->record_.source)) {
    producer->record_ = claim.furthest_done;
    producer->record_.claim = claim.claimed_at;
  }
  MARQUEE_RETURN_IF_ERROR(producer->ReadFile());
  return producer;
}

// Goes on where the same file was left; a changed file is published anew, which repeats what did
// not change.
absl::Status MovieDataProducer::ReadFile() {
  MARQUEE_ASSIGN_OR_RETURN(file_digest_, DigestOfFile(options_.path));
  MARQUEE_ASSIGN_OR_RETURN(rows_, sources::ReadMovieFile(options_.path));
  bool same = record_.done.digest == file_digest_ && record_.done.line <= rows_.movies.size();
  next_ = published_before_ = same ? record_.done.line : 0;
  looked_at_ = world_.clock.Uptime();
  if (options_.strict && !rows_.rejected.empty()) {
    const sources::RejectedRow& row = rows_.rejected.front();
    return absl::InvalidArgumentError(absl::StrCat(
        options_.path, " line ", row.line, ": ", row.reason, " (--strict: nothing is published)"));
  }
  return same ? absl::OkStatus() : BuryRejected();
}

absl::Status MovieDataProducer::BuryRejected() {
  for (const sources::RejectedRow& row : rows_.rejected) {
    domain::DeadLetter letter;
    letter.row = domain::DeadLetter::Row{record_.source, record_.incarnation, row.line};
    letter.value = row.text;
    letter.error = row.reason;
    MARQUEE_RETURN_IF_ERROR(dead_letters_->Add(std::move(letter)));
  }
  return dead_letters_->Flush();
}

absl::StatusOr<Turn> MovieDataProducer::Step(absl::Duration wait) {
  if (next_ == rows_.movies.size()) {
    MARQUEE_RETURN_IF_ERROR(RecordDone());
    if (!options_.follow) return Turn::kFinished;
    absl::Duration now = world_.clock.Uptime();
    if (now - looked_at_ >= options_.follow_interval) {
      looked_at_ = now;
      MARQUEE_ASSIGN_OR_RETURN(Digest digest, DigestOfFile(options_.path));
      if (digest != file_digest_) MARQUEE_RETURN_IF_ERROR(ReadFile());
    }
    world_.clock.SleepFor(std::min(wait, kPace));
    return Turn::kIdle;
  }
  size_t rows = kMoviesPerStep;
  if (options_.rate_per_s) {
    double due = 1 + absl::ToDoubleSeconds(world_.clock.Uptime() - began_) * *options_.rate_per_s;
    rows = std::min<size_t>(
        rows, static_cast<size_t>(std::max(0.0, due - static_cast<double>(published_))));
  }
  if (rows == 0) {
    world_.clock.SleepFor(std::min(wait, kPace));
    return Turn::kIdle;
  }
  MARQUEE_RETURN_IF_ERROR(PublishSome(rows));
  return Turn::kWorked;
}

absl::Status MovieDataProducer::PublishSome(size_t rows_max) {
  size_t end = std::min(rows_.movies.size(), next_ + rows_max);
  std::vector<std::string> keys, values;
  keys.reserve(end - next_);
  values.reserve(end - next_);
  std::vector<messaging::NewRecord> records;
  for (size_t i = next_; i < end; ++i) {
    domain::Movie movie = rows_.movies[i];
    movie.source = options_.source;
    keys.push_back(domain::MovieKey(movie.id));
    values.push_back(domain::EncodeMovie(movie));
    records.push_back({.key = keys.back(), .value = values.back()});
  }
  MARQUEE_RETURN_IF_ERROR(movies_->Publish(records));
  MARQUEE_CRASH_POINT("moviedataproducer.before-flush");
  MARQUEE_RETURN_IF_ERROR(movies_->Flush().status());
  MARQUEE_CRASH_POINT("moviedataproducer.after-flush");
  world_.metrics.Published("moviedataproducer", world_.topics.movies())
      .Increment(static_cast<double>(records.size()));
  published_ += records.size();
  next_ = end;
  return absl::OkStatus();
}

absl::Status MovieDataProducer::RecordDone() {
  if (record_.done.digest == file_digest_ && record_.done.line == next_) return absl::OkStatus();
  record_.done = {.byte = 0, .line = next_, .digest = file_digest_};
  record_.rejected = rows_.rejected.size();
  return sources_->Write(record_);
}

absl::Status MovieDataProducer::Drain() { return RecordDone(); }

}  // namespace marquee::services
