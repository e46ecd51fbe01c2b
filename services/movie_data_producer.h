// `moviedataproducer`: publishes each movie of a file to `movies`, under its id. Publishing one
// again changes nothing, so all it has to remember is how far it is; it does so in `sources`, under
// "SOURCE-movies".
#ifndef MARQUEE_SERVICES_MOVIE_DATA_PRODUCER_H_
#define MARQUEE_SERVICES_MOVIE_DATA_PRODUCER_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "services/dead_letters.h"
#include "services/service.h"
#include "services/source_log.h"
#include "sources/movie_file.h"

namespace marquee::services {

struct MovieDataProducerOptions {
  std::string source = "movies";
  std::string path;
  std::optional<double> rate_per_s;  // none: as fast as it can
  bool follow = false;               // look for changes of the file and publish it again
  bool strict = false;
  absl::Duration follow_interval = absl::Seconds(2);
};

class MovieDataProducer final : public Service {
 public:
  static absl::StatusOr<std::unique_ptr<MovieDataProducer>> Open(
      const World& world, const MovieDataProducerOptions& options);

  absl::StatusOr<Turn> Step(absl::Duration wait) override;
  absl::Status Drain() override;

  bool caught_up() const { return next_ == rows_.movies.size(); }
  size_t movies() const { return rows_.movies.size(); }
  size_t rejected() const { return rows_.rejected.size(); }
  // Of this file, published before this run.
  size_t published_before() const { return published_before_; }

 private:
  MovieDataProducer(const World& world, const MovieDataProducerOptions& options)
      : world_(world), options_(options), began_(world.clock.Uptime()) {}

  absl::Status ReadFile();
  absl::Status PublishSome(size_t rows_max);
  absl::Status BuryRejected();
  absl::Status RecordDone();

  World world_;
  MovieDataProducerOptions options_;
  std::unique_ptr<SourceLog> sources_;
  std::unique_ptr<messaging::Publisher> movies_;
  std::unique_ptr<DeadLetters> dead_letters_;
  domain::SourceProgress record_;  // done.line: movies published; done.digest: of the whole file
  sources::MovieRows rows_;
  Digest file_digest_;
  size_t next_ = 0;
  size_t published_before_ = 0;
  absl::Duration began_;
  uint64_t published_ = 0;
  absl::Duration looked_at_;
};

}  // namespace marquee::services

#endif  // MARQUEE_SERVICES_MOVIE_DATA_PRODUCER_H_
