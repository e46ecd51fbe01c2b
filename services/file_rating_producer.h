// `ratingproducer` on a file: publishes each row once, whatever crashes and however many run on the
// same file.
//
// The rows' numbers follow from the file alone, so whoever publishes a row again gives it the same
// stamp, and the receiver drops the repeat. That needs the file to be the same: before anything is
// published the producer writes its intent (a position and the digest of all before it) to
// `sources`, and every producer of the source verifies all intents it finds there, its own from
// before a crash and those of a twin, against the file. (design.md section 3)
#ifndef MARQUEE_SERVICES_FILE_RATING_PRODUCER_H_
#define MARQUEE_SERVICES_FILE_RATING_PRODUCER_H_

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/dead_letters.h"
#include "services/pace.h"
#include "services/rating_publisher.h"
#include "services/service.h"
#include "services/source_log.h"
#include "sources/rating_file.h"

namespace marquee::services {

struct FileRatingProducerOptions {
  std::string source = "ratings";
  std::string path;
  bool follow = false;               // go on when rows are appended
  std::optional<double> rate_per_s;  // none: as fast as it can
  std::optional<uint64_t> limit;     // publish at most this many in this run
  bool strict = false;               // a rejected row ends the producer (kInvalidArgument)
  bool new_input = false;  // a claim that the file does not fit is closed, and a new one made
  uint64_t window_bytes = 64 << 20;  // how far an intent reaches

  // A canary for the simulation: takes an incarnation of its own without a claim. Never set outside
  // it.
  bool mutilation_no_claim = false;
};

// For a progress bar. Threads: any.
struct FileProgress {
  std::atomic<uint64_t> bytes_total{0};
  std::atomic<uint64_t> bytes_read{0};    // published, maybe not flushed yet
  std::atomic<uint64_t> bytes_done{0};    // published and flushed
  std::atomic<uint64_t> bytes_before{0};  // done when this run began
  std::atomic<uint64_t> ratings{0};       // published in this run
  std::atomic<uint64_t> rejected{0};      // in this run
};

class FileRatingProducer final : public Service {
 public:
  // kFailedPrecondition: the file is not the claimed one, or was edited where it may have been
  // published.
  static absl::StatusOr<std::unique_ptr<FileRatingProducer>> Open(
      const World& world, const FileRatingProducerOptions& options, FileProgress& progress);

  absl::StatusOr<Turn> Step(absl::Duration wait) override;
  absl::Status Drain() override;

  // Everything that the file holds is published and flushed, or the limit is reached.
  bool caught_up() const { return caught_up_; }

 private:
  FileRatingProducer(const World& world, const FileRatingProducerOptions& options,
                     FileProgress& progress);

  absl::StatusOr<std::optional<domain::SourceClaims::Claim>> FindClaim();
  absl::Status TakeClaim();
  absl::Status VerifyIntents();
  absl::Status VerifyMarks(std::vector<domain::InputMark> marks);
  absl::Status OpenWindow(const domain::InputMark& until);
  absl::StatusOr<size_t> PublishRows(size_t rows_max);
  absl::Status Reject(const sources::RejectedRow& row);
  // Flushes what was published, and knows then that everything before `position` is done.
  absl::Status FlushRows();
  // Marks all that was read as done in `sources`.
  absl::Status RecordDone();
  size_t RowsDueNow();

  World world_;
  FileRatingProducerOptions options_;
  FileProgress& progress_;
  std::unique_ptr<sources::RatingFile> file_;
  std::unique_ptr<SourceLog> sources_;
  std::unique_ptr<RatingPublisher> ratings_;
  std::unique_ptr<DeadLetters> dead_letters_;
  domain::SourceProgress record_;            // as written last, under this process' own key
  std::vector<domain::InputMark> verified_;  // the file is known to hold these
  uint64_t byte_ = 0;                        // read up to here
  uint64_t line_ = 0;
  sources::RowBatch batch_;
  Pace pace_;
  uint64_t published_ = 0;  // in this run
  bool caught_up_ = false;
};

}  // namespace marquee::services

#endif  // MARQUEE_SERVICES_FILE_RATING_PRODUCER_H_
