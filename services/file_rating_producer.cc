#include "services/file_rating_producer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/crash_point.h"
#include "base/status.h"

namespace marquee::services {
namespace {

using domain::InputMark;
using domain::SourceClaims;

constexpr size_t kRowsPerStep = 4096;
// The windows of a paced producer are about a second long.
constexpr double kBytesPerRowEstimate = 32;
constexpr uint64_t kPacedWindowBytesMin = 4096;

}  // namespace

FileRatingProducer::FileRatingProducer(const World& world, const FileRatingProducerOptions& options,
                                       FileProgress& progress)
    : world_(world),
      options_(options),
      progress_(progress),
      pace_(options.rate_per_s, options.limit, world.clock.Uptime()) {
  if (options_.rate_per_s) {
    auto second = static_cast<uint64_t>(*options_.rate_per_s * kBytesPerRowEstimate);
    options_.window_bytes = std::clamp(second, kPacedWindowBytesMin, options_.window_bytes);
  }
}

absl::StatusOr<std::unique_ptr<FileRatingProducer>> FileRatingProducer::Open(
    const World& world, const FileRatingProducerOptions& options, FileProgress& progress) {
  MARQUEE_RETURN_IF_ERROR(domain::ValidateSourceName(options.source));
  std::unique_ptr<FileRatingProducer> producer(new FileRatingProducer(world, options, progress));
  MARQUEE_ASSIGN_OR_RETURN(producer->file_,
                           sources::RatingFile::Open(options.path, {.scale = world.rules.scale,
                                                                    .finished = !options.follow}));
  MARQUEE_ASSIGN_OR_RETURN(producer->sources_, SourceLog::Open(world));
  MARQUEE_ASSIGN_OR_RETURN(producer->dead_letters_,
                           DeadLetters::Open(world, world.topics.ratings(), "ratingproducer"));
  MARQUEE_RETURN_IF_ERROR(producer->TakeClaim());
  return producer;
}

// The open claim, if there is one. Told that the file may be a new input, it closes every claim
// that the file does not fit: only those, so that a restart with the same flags goes on where it
// was.
absl::StatusOr<std::optional<SourceClaims::Claim>> FileRatingProducer::FindClaim() {
  while (true) {
    std::optional<SourceClaims::Claim> claim = sources_->claims().OpenClaim(options_.source);
    if (!claim || !options_.new_input) return claim;
    absl::Status fits = VerifyMarks(claim->intents);
    if (fits.ok()) return claim;
    if (!absl::IsFailedPrecondition(fits)) return fits;
    domain::SourceProgress closing = claim->furthest_done;
    closing.writer = world_.random.Next();
    closing.claim = claim->claimed_at;
    closing.closed = true;
    closing.intended = claim->intended;
    MARQUEE_RETURN_IF_ERROR(sources_->Write(closing));
  }
}

// Finds the open claim or makes one; afterwards the file is known to be the claimed one up to every
// intent.
absl::Status FileRatingProducer::TakeClaim() {
  MARQUEE_ASSIGN_OR_RETURN(std::optional<SourceClaims::Claim> claim, FindClaim());
  record_.source = options_.source;
  record_.writer = world_.random.Next();
  record_.repeatable = true;
  if (options_.mutilation_no_claim) {
    claim = SourceClaims::Claim{
        .source = options_.source,
        .incarnation = domain::MakeIncarnation(sources_->claims().NextOrdinal(options_.source),
                                               world_.random.Next()),
        .repeatable = true};
  }
  if (!claim) {
    // The claim is an intent at once, so that a twin with another file finds something to differ
    // from.
    MARQUEE_ASSIGN_OR_RETURN(record_.intended,
                             file_->MarkAfter(InputMark(), options_.window_bytes));
    MARQUEE_ASSIGN_OR_RETURN(claim, sources_->MakeClaim(record_, world_.random));
    MARQUEE_CRASH_POINT("ratingproducer.claimed");
  }
  record_.incarnation = claim->incarnation;
  record_.claim = claim->claimed_at;
  record_.done = claim->furthest_done.done;
  record_.next_sequence = claim->furthest_done.next_sequence;
  record_.rejected = claim->furthest_done.rejected;
  record_.intended = claim->intended;
  MARQUEE_RETURN_IF_ERROR(VerifyIntents());
  byte_ = record_.done.byte;
  line_ = record_.done.line;
  MARQUEE_RETURN_IF_ERROR(file_->Seek(byte_, line_));
  MARQUEE_ASSIGN_OR_RETURN(
      ratings_,
      RatingPublisher::Open(world_, options_.source, record_.incarnation, record_.next_sequence));
  MARQUEE_ASSIGN_OR_RETURN(uint64_t size, file_->Size());
  progress_.bytes_total = size;
  progress_.bytes_done = progress_.bytes_before = byte_;
  return absl::OkStatus();
}

// What anyone intends to publish of this claim has to be what this file holds.
absl::Status FileRatingProducer::VerifyIntents() {
  for (const SourceClaims::Claim& claim : sources_->claims().OfSource(options_.source)) {
    if (claim.incarnation != record_.incarnation) continue;
    if (claim.closed) {
      return absl::FailedPreconditionError(
          absl::StrCat("source ", options_.source,
                       ": its claim was closed, since another producer began with a new input; "
                       "stop one of the two or "
                       "give this one another --source"));
    }
    MARQUEE_RETURN_IF_ERROR(VerifyMarks(claim.intents));
  }
  return absl::OkStatus();
}

// One pass over the file for all marks that were not verified before.
absl::Status FileRatingProducer::VerifyMarks(std::vector<InputMark> marks) {
  std::erase_if(marks, [&](const InputMark& mark) {
    return mark.byte == 0 || std::find(verified_.begin(), verified_.end(), mark) != verified_.end();
  });
  if (marks.empty()) return absl::OkStatus();
  if (absl::Status status = file_->VerifyAll(marks); !status.ok()) {
    return absl::Status(
        status.code(),
        absl::StrCat("this is not the input that source ", options_.source,
                     " was claimed for: ", status.message(),
                     ". Give the unchanged file, another --source, or --new-input to begin anew"));
  }
  verified_.insert(verified_.end(), marks.begin(), marks.end());
  return absl::OkStatus();
}

absl::Status FileRatingProducer::OpenWindow(const InputMark& until) {
  InputMark former = record_.intended;
  record_.intended = until;
  verified_.push_back(until);
  MARQUEE_CRASH_POINT("ratingproducer.before-intent");
  MARQUEE_RETURN_IF_ERROR(sources_->Write(record_));
  MARQUEE_CRASH_POINT("ratingproducer.after-intent");
  absl::Status verified = VerifyIntents();
  if (absl::IsFailedPrecondition(verified)) {
    // Nothing beyond the former intent was published: taken back, it keeps nobody from going on who
    // has the right file.
    record_.intended = former;
    MARQUEE_RETURN_IF_ERROR(sources_->Write(record_));
  }
  return verified;
}

absl::StatusOr<Turn> FileRatingProducer::Step(absl::Duration wait) {
  caught_up_ = pace_.LimitReached(published_);
  if (caught_up_) return Turn::kFinished;
  if (byte_ >= record_.intended.byte) {
    // One record says that the last window is done and how far the next one reaches. The next one's
    // bytes are read while the last one's rows are still on their way.
    absl::StatusOr<InputMark> marked = file_->MarkAfter(record_.intended, options_.window_bytes);
    MARQUEE_RETURN_IF_ERROR(FlushRows());
    MARQUEE_ASSIGN_OR_RETURN(InputMark until, std::move(marked));
    bool more = until.byte > record_.intended.byte;
    if (record_.done.byte < byte_) {
      record_.done = record_.intended;
      record_.next_sequence = ratings_->next_sequence();
      progress_.bytes_done = byte_;
      if (!more) MARQUEE_RETURN_IF_ERROR(sources_->Write(record_));
    }
    if (!more) {
      caught_up_ = true;
      if (!options_.follow) return Turn::kFinished;
      world_.clock.SleepFor(std::min(wait, absl::Milliseconds(50)));
      return Turn::kIdle;
    }
    MARQUEE_ASSIGN_OR_RETURN(uint64_t size, file_->Size());
    progress_.bytes_total = size;
    MARQUEE_RETURN_IF_ERROR(OpenWindow(until));
  }
  size_t rows = RowsDueNow();
  if (rows == 0) {
    world_.clock.SleepFor(std::min(wait, kPace));
    return Turn::kIdle;
  }
  MARQUEE_ASSIGN_OR_RETURN(size_t read, PublishRows(rows));
  if (pace_.has_rate() && read > 0) MARQUEE_RETURN_IF_ERROR(FlushRows());
  return Turn::kWorked;
}

size_t FileRatingProducer::RowsDueNow() {
  uint64_t rows = pace_.Due(world_.clock.Uptime(), published_, kRowsPerStep);
  // What stands before a rejected row is published before the row ends the producer.
  return options_.strict ? std::min<uint64_t>(rows, 1) : rows;
}

absl::StatusOr<size_t> FileRatingProducer::PublishRows(size_t rows_max) {
  MARQUEE_RETURN_IF_ERROR(file_->Read(record_.intended.byte, rows_max, &batch_));
  for (const sources::RejectedRow& row : batch_.rejected) MARQUEE_RETURN_IF_ERROR(Reject(row));
  domain::Rating rating;
  for (const sources::RatingRow& row : batch_.ratings) {
    rating.user = row.user;
    rating.movie = row.movie;
    rating.value = row.value;
    rating.time_seconds = row.time_seconds;
    MARQUEE_RETURN_IF_ERROR(ratings_->Add(rating));
  }
  if (batch_.byte == byte_) {
    return absl::DataLossError(absl::StrCat(options_.path, ": read nothing at byte ", byte_,
                                            ", expected rows up to byte ", record_.intended.byte,
                                            "; the file changed while it was read"));
  }
  byte_ = batch_.byte;
  line_ = batch_.line;
  published_ += batch_.ratings.size();
  progress_.ratings = published_;
  progress_.bytes_read = byte_;
  MARQUEE_CRASH_POINT("ratingproducer.rows-published");
  return batch_.ratings.size() + batch_.rejected.size();
}

absl::Status FileRatingProducer::Reject(const sources::RejectedRow& row) {
  if (options_.strict) {
    MARQUEE_RETURN_IF_ERROR(Drain());
    return absl::InvalidArgumentError(absl::StrCat(options_.path, " line ", row.line, ": ",
                                                   row.reason,
                                                   " (--strict: nothing after it is published)"));
  }
  ++record_.rejected;
  ++progress_.rejected;
  domain::DeadLetter letter;
  letter.row = domain::DeadLetter::Row{options_.source, record_.incarnation, row.line};
  letter.value = row.text;
  letter.error = row.reason;
  return dead_letters_->Add(std::move(letter));
}

absl::Status FileRatingProducer::FlushRows() {
  MARQUEE_RETURN_IF_ERROR(dead_letters_->Flush());
  return ratings_->Flush().status();
}

absl::Status FileRatingProducer::RecordDone() {
  if (byte_ <= record_.done.byte) return absl::OkStatus();
  MARQUEE_ASSIGN_OR_RETURN(record_.done, file_->MarkAfter(record_.done, byte_ - record_.done.byte));
  record_.next_sequence = ratings_->next_sequence();
  progress_.bytes_done = byte_;
  return sources_->Write(record_);
}

absl::Status FileRatingProducer::Drain() {
  MARQUEE_RETURN_IF_ERROR(FlushRows());
  return RecordDone();
}

}  // namespace marquee::services
