// `ratingproducer` on a stream that comes once: standard input. Takes a new incarnation when it is
// opened. What was read and could not be flushed is kept and published again with the stamps it
// had, until the broker takes it or the producer is told to end; so each row counts once while the
// process lives. A row is durable when `flushed_line` has passed it; what a killed process had read
// beyond that is its feeder's to send again.
#ifndef MARQUEE_SERVICES_STREAM_RATING_PRODUCER_H_
#define MARQUEE_SERVICES_STREAM_RATING_PRODUCER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "services/dead_letters.h"
#include "services/file_rating_producer.h"
#include "services/pace.h"
#include "services/rating_publisher.h"
#include "services/service.h"
#include "services/source_log.h"
#include "sources/rating_stream.h"

namespace marquee::services {

struct StreamRatingProducerOptions {
  std::string source = "stdin";
  std::optional<double> rate_per_s;  // none: as fast as they come
  std::optional<uint64_t> limit;     // publish at most this many
  bool strict = false;               // a rejected row ends the producer (kInvalidArgument)
};

class StreamRatingProducer final : public Service {
 public:
  // Borrows the stream, of which nothing was read yet.
  static absl::StatusOr<std::unique_ptr<StreamRatingProducer>> Open(
      const World& world, const StreamRatingProducerOptions& options, sources::RatingStream& stream,
      FileProgress& progress);

  // Waits until ratings come, publishes and flushes them. An error is final: it says up to which
  // line the rows are durable, and from where on that is not known.
  absl::StatusOr<Turn> Step(absl::Duration wait) override;
  absl::Status Drain() override;

  bool caught_up() const { return caught_up_; }
  // The rows up to this line of the stream are durable.
  uint64_t flushed_line() const { return flushed_line_; }

 private:
  StreamRatingProducer(const World& world, const StreamRatingProducerOptions& options,
                       sources::RatingStream& stream, FileProgress& progress);

  absl::Status PublishKept();
  absl::Status Publish();
  absl::Status RecordDoneNowAndThen();
  absl::Status RecordDone();
  absl::Status Final(const absl::Status& status) const;

  World world_;
  StreamRatingProducerOptions options_;
  sources::RatingStream& stream_;
  FileProgress& progress_;
  Pace pace_;
  std::unique_ptr<SourceLog> sources_;
  std::unique_ptr<RatingPublisher> ratings_;
  std::unique_ptr<DeadLetters> dead_letters_;
  domain::SourceProgress record_;
  sources::RowBatch kept_;  // read, and not known to be durable
  bool unflushed_ = false;  // kept_ waits to be published (again)
  absl::Duration retry_pause_;
  absl::Duration recorded_at_;
  uint64_t published_ = 0;
  uint64_t flushed_line_ = 0;
  bool caught_up_ = false;
};

}  // namespace marquee::services

#endif  // MARQUEE_SERVICES_STREAM_RATING_PRODUCER_H_
