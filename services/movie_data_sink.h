// `moviedatasink`: reads `movies` and `mean-ratings` into a catalogue of its own, rows and
// positions in one transaction.
#ifndef MARQUEE_SERVICES_MOVIE_DATA_SINK_H_
#define MARQUEE_SERVICES_MOVIE_DATA_SINK_H_

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "catalogue/catalogue.h"
#include "http/visibility.h"
#include "services/dead_letters.h"
#include "services/service.h"

namespace marquee::services {

struct MovieDataSinkOptions {
  std::string region = "local";
  // Changes that one transaction holds at most, and the time for which it gathers them while there
  // is more to read.
  size_t changes_per_commit_max = 50'000;
  absl::Duration commit_interval = absl::Milliseconds(250);

  // Canaries for the simulation: commits the positions before the rows; takes every watermark for
  // one that holds. Never set outside it.
  bool mutilation_position_before_rows = false;
  bool mutilation_watermark_at_once = false;
};

class MovieDataSink final : public Service {
 public:
  // kFailedPrecondition: the catalogue was filled from other topics, or is ahead of them; kAborted:
  // another sink has it open.
  static absl::StatusOr<std::unique_ptr<MovieDataSink>> Open(const World& world,
                                                             const MovieDataSinkOptions& options,
                                                             catalogue::Catalogue& catalogue,
                                                             http::Visibility& visibility);

  absl::StatusOr<Turn> Step(absl::Duration wait) override;
  absl::Status Drain() override;

  // Records that were not read yet, as the broker counts them.
  struct TopicLag {
    std::string topic;
    uint32_t shard;
    int64_t records;
  };
  absl::StatusOr<std::vector<TopicLag>> Lags();

 private:
  MovieDataSink(const World& world, const MovieDataSinkOptions& options,
                http::Visibility& visibility)
      : world_(world), options_(options), visibility_(visibility) {}

  absl::Status StartTopic(const std::string& name, const std::string& topic,
                          const std::vector<catalogue::TopicPosition>& positions);
  absl::Status Take(const messaging::Batch& batch);
  absl::Status TakeMovie(const messaging::Record& record);
  absl::Status TakeMean(const messaging::TopicShard& shard, const messaging::Record& record);
  absl::Status ReleaseWatermarks();
  void Release(const messaging::TopicShard& shard);
  absl::Status Bury(const messaging::Batch& batch, const messaging::Record& record,
                    const absl::Status& why);
  absl::Status Commit();
  absl::Status WriteChanges();
  void TellVisibility();
  void ObserveFreshness();
  absl::Status ReportPositionsNowAndThen();
  absl::Status ReportPositions();

  World world_;
  MovieDataSinkOptions options_;
  http::Visibility& visibility_;
  std::unique_ptr<catalogue::Writer> writer_;
  std::unique_ptr<messaging::Subscription> reader_;
  std::string group_;

  struct Topic {
    std::string name;  // as the catalogue has it, without the prefix
    std::string identity;
  };
  std::map<std::string, Topic> topics_;  // by the broker's name
  std::map<messaging::TopicShard, messaging::Offset>
      positions_;  // read up to here, into changes_ or the catalogue
  std::map<messaging::TopicShard, messaging::Offset> uncommitted_positions_;
  // By shard of `mean-ratings`: the highest watermark that waits for the shard's end, and where the
  // first one stands.
  struct Held {
    messaging::Offset offset;
    domain::Watermark watermark;
  };
  std::map<messaging::TopicShard, Held> held_;
  // Read to their ends once, and whole since.
  std::set<messaging::TopicShard> known_whole_;
  catalogue::Changes changes_;
  absl::flat_hash_map<domain::MovieId, size_t> mean_index_;  // of a movie in changes_.means
  std::vector<int64_t> fresh_ms_;  // publishing times behind changes_.watermarks
  absl::Duration gathering_since_;
  absl::Duration reported_at_;
  std::map<std::string, std::unique_ptr<DeadLetters>>
      dead_letters_;  // by topic, opened when needed
};

}  // namespace marquee::services

#endif  // MARQUEE_SERVICES_MOVIE_DATA_SINK_H_
