// The world of one process, built from its settings: clock, broker, rules, metrics, catalogue,
// server and the runners of its services. `main` makes one; it is torn down in the reverse order.
#ifndef MARQUEE_CLI_HOST_H_
#define MARQUEE_CLI_HOST_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/clock.h"
#include "base/random.h"
#include "catalogue/catalogue.h"
#include "cli/settings.h"
#include "http/health.h"
#include "http/log_position.h"
#include "http/server.h"
#include "http/visibility.h"
#include "messaging/broker.h"
#include "services/file_rating_producer.h"
#include "services/live_rating_producer.h"
#include "services/mean_rating_producer.h"
#include "services/metrics.h"
#include "services/movie_data_producer.h"
#include "services/movie_data_sink.h"
#include "services/reporter.h"
#include "services/runner.h"
#include "services/stream_rating_producer.h"
#include "services/system.h"
#include "sources/rating_stream.h"

namespace marquee::cli {

// Settings that most commands have. See AddCommonSettings.
struct CommonSettings {
  std::string broker;  // URL; empty: sqlite:DATA/log
  std::string data = "data";
  std::string topic_prefix;
  std::string config;
  std::string log_level = "info";
  std::vector<std::string> set;  // NAME=VALUE for the broker
  std::string output = "table";
  std::optional<uint32_t> shards;
  std::string scale;  // MIN:MAX:STEP; empty: as recorded
  std::optional<uint64_t> idempotency_window;

  std::string BrokerUrl() const { return broker.empty() ? "sqlite:" + data + "/log" : broker; }
  std::string CataloguePath() const { return data + "/catalogue.db"; }
};

void AddCommonSettings(Settings& settings, CommonSettings& common, CLI::App& app);
void AddRulesSettings(Settings& settings, CommonSettings& common);

absl::StatusOr<services::RulesWish> WishOf(const CommonSettings& common);
// Makes the folder where it is missing; kPermissionDenied or kInvalidArgument where it cannot be
// written to.
absl::Status PrepareDataFolder(const std::string& path);
absl::StatusOr<std::unique_ptr<messaging::Broker>> OpenBroker(const CommonSettings& common,
                                                              Clock& clock);
// "127.0.0.1:8080", ":8080", "8080"
absl::Status ParseListen(const std::string& text, http::ServerOptions* options);
// "1000", "1000/s", "0.5/s": per second.
absl::StatusOr<std::optional<double>> ParseRate(const std::string& text);

class Host {
 public:
  enum class Parts { kSystem, kSystemAndCatalogue };
  // Opens the broker and the system there; the catalogue, where it is asked for and was made
  // before, beside them: after a crash each of the two has to be recovered and verified.
  // `meanwhile` is called when the system is open and the catalogue may not be: it starts what does
  // not need it.
  static absl::StatusOr<std::unique_ptr<Host>> Open(
      const CommonSettings& common, Parts parts,
      const std::function<void(Host&)>& meanwhile = [](Host&) {});
  ~Host();

  // Each Start* but StartServer starts a service in a thread of its own.
  absl::Status StartServer(const std::string& listen, bool with_catalogue, bool with_intake);
  void StartSink(const services::MovieDataSinkOptions& options);
  void StartMeans(const services::MeanRatingProducerOptions& options);
  void StartMovies(const services::MovieDataProducerOptions& options);
  void StartRatings(const services::FileRatingProducerOptions& options);
  // Of standard input.
  void StartStreamedRatings(const services::StreamRatingProducerOptions& options);
  void StartLiveRatings(const std::string& source);
  // After all services were started.
  void StartReporter();

  // The first failure of a runner, ok while there is none.
  absl::Status Failure() const;
  // Whether the producers that read files have nothing more to publish for now.
  bool InputsAreRead() const;
  // What is in `ratings` and `movies` now: where their shards end.
  struct Ends {
    http::LogPosition ratings;
    std::vector<messaging::Extent> movies;
  };
  absl::StatusOr<Ends> DescribeEnds();
  // Whether all of it is in the catalogue. Asks no broker.
  absl::StatusOr<bool> AllIsVisible(const Ends& ends);
  absl::StatusOr<std::vector<messaging::Extent>> DescribeAllShards(const std::string& topic);
  // Waits until a signal comes, a runner fails, or all have finished.
  absl::Status WaitForEnd();
  // Drains everything: producers first, then means, then the sink, so that what was published
  // becomes visible.
  absl::Status Drain();

  const domain::Rules& rules() const { return system_.rules; }
  bool first() const { return system_.first; }
  Clock& clock() { return clock_; }
  messaging::Broker& broker() { return *broker_; }
  const services::Topics& topics() const { return topics_; }
  catalogue::Catalogue& catalogue() { return *catalogue_; }
  const services::FileProgress& progress() const { return progress_; }
  size_t movies_published_before() const { return movies_before_; }
  uint16_t port() const { return server_->port(); }
  bool serves() const { return server_ != nullptr; }

 private:
  explicit Host(const CommonSettings& common);
  absl::Status OpenSystem();
  absl::Status OpenCatalogue();
  services::World WorldFor(const std::string& service);
  void AddRunner(const std::string& name, services::Runner::OpenService open,
                 services::Runner::Watch watch = nullptr);

  CommonSettings common_;
  SystemClock clock_;
  Random random_;
  std::string instance_;
  services::Topics topics_;
  services::Metrics metrics_;
  http::Health health_;
  http::Visibility visibility_;
  services::LiveRatingQueue live_queue_;
  services::FileProgress progress_;
  std::atomic<size_t> movies_before_{0};
  std::atomic<bool> ratings_idle_{false};
  std::atomic<bool> movies_idle_{false};
  bool has_ratings_ = false;
  bool has_movies_ = false;
  std::unique_ptr<messaging::Broker> broker_;
  services::System system_;
  std::unique_ptr<catalogue::Catalogue> catalogue_;
  std::unique_ptr<catalogue::Reader> catalogue_reader_;
  std::vector<std::unique_ptr<Random>> randoms_;
  std::vector<std::string> service_names_;
  std::unique_ptr<http::Server> server_;
  std::vector<std::unique_ptr<services::Runner>> runners_;  // drained from the last to the first
  std::unique_ptr<services::Reporter> reporter_;
};

}  // namespace marquee::cli

#endif  // MARQUEE_CLI_HOST_H_
