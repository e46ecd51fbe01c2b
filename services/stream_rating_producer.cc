#include "services/stream_rating_producer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "spdlog/spdlog.h"

namespace marquee::services {
namespace {

constexpr size_t kRowsPerFlushMax = 20'000;
constexpr absl::Duration kRecordInterval = absl::Seconds(1);
constexpr absl::Duration kRetryPauseMin = absl::Milliseconds(50);
constexpr absl::Duration kRetryPauseMax = absl::Seconds(2);

}  // namespace

StreamRatingProducer::StreamRatingProducer(const World& world,
                                           const StreamRatingProducerOptions& options,
                                           sources::RatingStream& stream, FileProgress& progress)
    : world_(world),
      options_(options),
      stream_(stream),
      progress_(progress),
      pace_(options.rate_per_s, options.limit, world.clock.Uptime()),
      retry_pause_(kRetryPauseMin),
      recorded_at_(world.clock.Uptime()) {}

absl::StatusOr<std::unique_ptr<StreamRatingProducer>> StreamRatingProducer::Open(
    const World& world, const StreamRatingProducerOptions& options, sources::RatingStream& stream,
    FileProgress& progress) {
  MARQUEE_RETURN_IF_ERROR(domain::ValidateSourceName(options.source));
  std::unique_ptr<StreamRatingProducer> producer(
      new StreamRatingProducer(world, options, stream, progress));
  MARQUEE_ASSIGN_OR_RETURN(producer->sources_, SourceLog::Open(world));
  MARQUEE_ASSIGN_OR_RETURN(producer->dead_letters_,
                           DeadLetters::Open(world, world.topics.ratings(), "ratingproducer"));
  MARQUEE_ASSIGN_OR_RETURN(producer->record_, producer->sources_->ClaimLive(world, options.source));
  MARQUEE_ASSIGN_OR_RETURN(
      producer->ratings_,
      RatingPublisher::Open(world, options.source, producer->record_.incarnation, {}));
  return producer;
}

absl::StatusOr<Turn> StreamRatingProducer::Step(absl::Duration wait) {
  if (!unflushed_) {
    if (stream_.ended() || pace_.LimitReached(published_)) {
      caught_up_ = true;
      return Turn::kFinished;
    }
    uint64_t rows = pace_.Due(world_.clock.Uptime(), published_, kRowsPerFlushMax);
    if (rows == 0) {
      world_.clock.SleepFor(std::min(wait, kPace));
      return Turn::kIdle;
    }
    const uint64_t line_before = kept_.line;
    // What stands before a rejected row is published before the row ends the producer.
    if (absl::Status read = stream_.Read(wait, options_.strict ? 1 : rows, &kept_); !read.ok())
      return Final(read);
    if (kept_.line == line_before) return Turn::kIdle;
    unflushed_ = true;
  }
  absl::Status status = PublishKept();
  if (status.ok()) return Turn::kWorked;
  if (!MayPass(status)) return Final(status);
  if (retry_pause_ == kRetryPauseMin) {
    spdlog::warn("source {}: {}; {} rows are kept and published again", options_.source,
                 std::string(status.message()), kept_.ratings.size());
  }
  world_.clock.SleepFor(std::min(wait, retry_pause_));
  retry_pause_ = std::min(2 * retry_pause_, kRetryPauseMax);
  return Turn::kIdle;
}

absl::Status StreamRatingProducer::PublishKept() {
  if (absl::Status status = Publish(); !status.ok()) {
    ratings_->Rewind();
    return status;
  }
  retry_pause_ = kRetryPauseMin;
  unflushed_ = false;
  flushed_line_ = kept_.line;
  published_ += kept_.ratings.size();
  record_.rejected += kept_.rejected.size();
  progress_.ratings = published_;
  progress_.rejected += kept_.rejected.size();
  progress_.bytes_read = progress_.bytes_done = progress_.bytes_total = kept_.byte;
  return RecordDoneNowAndThen();
}

absl::Status StreamRatingProducer::Publish() {
  for (const sources::RejectedRow& row : kept_.rejected) {
    if (options_.strict) {
      return absl::InvalidArgumentError(absl::StrCat(stream_.name(), " line ", row.line, ": ",
                                                     row.reason, " (--strict ends it there)"));
    }
    domain::DeadLetter letter;
    letter.row = domain::DeadLetter::Row{options_.source, record_.incarnation, row.line};
    letter.value = row.text;
    letter.error = row.reason;
    MARQUEE_RETURN_IF_ERROR(dead_letters_->Add(std::move(letter)));
  }
  domain::Rating rating;
  for (const sources::RatingRow& row : kept_.ratings) {
    rating.user = row.user;
    rating.movie = row.movie;
    rating.value = row.value;
    rating.time_seconds = row.time_seconds;
    MARQUEE_RETURN_IF_ERROR(ratings_->Add(rating));
  }
  MARQUEE_RETURN_IF_ERROR(dead_letters_->Flush());
  return ratings_->Flush().status();
}

absl::Status StreamRatingProducer::Final(const absl::Status& status) const {
  std::string rest = unflushed_ ? absl::StrCat(", those after it up to line ", kept_.line,
                                               " may be or not: sent again, these may count twice")
                                : ", nothing after it was read";
  absl::StatusCode code = MayPass(status) ? absl::StatusCode::kFailedPrecondition : status.code();
  return absl::Status(
      code, absl::StrCat(status.message(), "; source ", options_.source, ": the rows up to line ",
                         flushed_line_, " of ", stream_.name(), " are durable", rest));
}

absl::Status StreamRatingProducer::RecordDoneNowAndThen() {
  if (world_.clock.Uptime() - recorded_at_ < kRecordInterval) return absl::OkStatus();
  return RecordDone();
}

// For people who look into `sources`: nothing is read back from it.
absl::Status StreamRatingProducer::RecordDone() {
  recorded_at_ = world_.clock.Uptime();
  if (record_.next_sequence == ratings_->next_sequence()) return absl::OkStatus();
  record_.next_sequence = ratings_->next_sequence();
  absl::Status status = sources_->Write(record_);
  return MayPass(status) ? absl::OkStatus() : status;  // the next one says more
}

absl::Status StreamRatingProducer::Drain() {
  if (unflushed_) {
    if (absl::Status status = PublishKept(); !status.ok()) return Final(status);
  }
  MARQUEE_RETURN_IF_ERROR(RecordDone());
  spdlog::info(
      "source {}: {} ratings published, {} rows rejected; the rows up to line {} of {} "
      "are durable",
      options_.source, published_, record_.rejected, flushed_line_, stream_.name());
  return absl::OkStatus();
}

}  // namespace marquee::services
