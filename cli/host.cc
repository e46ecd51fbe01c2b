#include "cli/host.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <future>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "base/status.h"
#include "base/version.h"
#include "catalogue/sqlite/sqlite_catalogue.h"
#include "cli/signals.h"
#include "messaging/open/open.h"
#include "spdlog/spdlog.h"

namespace marquee::cli {
namespace {

constexpr absl::Duration kWatchPause = absl::Milliseconds(20);
constexpr absl::Duration kServerGrace = absl::Seconds(5);

}  // namespace

void AddCommonSettings(Settings& settings, CommonSettings& common, CLI::App& app) {
  settings.Add("broker", common.broker,
               "URL of the broker: sqlite:DIR, kafka://HOST:PORT,... or "
               "amqp://USER:PASSWORD@HOST:PORT/VHOST "
               "(kafkas:// and amqps:// with TLS); without it the log is sqlite: inside --data");
  settings.Add("data", common.data, "folder for the embedded log and the catalogue");
  settings.Add("topic-prefix", common.topic_prefix, "put before the name of every topic and group");
  settings.Add("log-level", common.log_level, "debug, info, warn, error");
  settings.Add("set", common.set, "NAME=VALUE, a setting of the broker's client (may be repeated)");
  app.add_option("--config", common.config, "TOML file with settings")->envname("MARQUEE_CONFIG");
}

void AddRulesSettings(Settings& settings, CommonSettings& common) {
  settings.Add("shards", common.shards,
               "shards of the topics; cannot change once they are declared (default 12)");
  settings.Add(
      "scale", common.scale,
      "MIN:MAX:STEP of the ratings; recorded when the topics are declared (default 0.5:5:0.5)");
  settings.Add("idempotency-window", common.idempotency_window,
               "messages of a shard for which an Idempotency-Key is remembered; recorded likewise "
               "(default 65536)");
}

absl::StatusOr<services::RulesWish> WishOf(const CommonSettings& common) {
  services::RulesWish wish{.shards = common.shards,
                           .scale = std::nullopt,
                           .idempotency_window_messages = common.idempotency_window};
  if (common.scale.empty()) return wish;
  std::vector<std::string> parts = absl::StrSplit(common.scale, ':');
  if (parts.size() != 3) {
    return absl::InvalidArgumentError(
        absl::StrCat("--scale: expected MIN:MAX:STEP as in 0.5:5:0.5, found ", common.scale));
  }
  domain::Scale scale;
  for (auto [part, field] :
       {std::pair(&parts[0], &scale.min), {&parts[1], &scale.max}, {&parts[2], &scale.step}}) {
    absl::StatusOr<domain::Thousandths> value = domain::ParseThousandths(*part);
    if (!value.ok()) return Annotate(value.status(), "--scale");
    *field = *value;
  }
  wish.scale = scale;
  domain::Rules rules;
  rules.scale = scale;
  MARQUEE_RETURN_IF_ERROR(Annotate(rules.Validate(), "--scale"));
  return wish;
}

absl::Status PrepareDataFolder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) {
    return absl::InvalidArgumentError(absl::StrCat("--data ", path,
                                                   ": cannot be made: ", error.message(),
                                                   "; give a folder that can be written to"));
  }
  if (access(path.c_str(), W_OK | X_OK) != 0) {
    return absl::PermissionDeniedError(absl::StrCat("--data ", path, ": ", std::strerror(errno),
                                                    "; give a folder that can be written to"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<messaging::Broker>> OpenBroker(const CommonSettings& common,
                                                              Clock& clock) {
  spdlog::level::level_enum level = spdlog::level::from_str(common.log_level);
  if (level == spdlog::level::off && common.log_level != "off") {
    return absl::InvalidArgumentError(absl::StrCat(
        "--log-level: expected debug, info, warn, error or off, found ", common.log_level));
  }
  spdlog::set_level(level);
  messaging::BrokerOptions options;
  for (const std::string& setting : common.set) {
    size_t equals = setting.find('=');
    if (equals == std::string::npos) {
      return absl::InvalidArgumentError(
          absl::StrCat("--set: expected NAME=VALUE, found ", setting));
    }
    options.settings[setting.substr(0, equals)] = setting.substr(equals + 1);
  }
  if (common.broker.empty()) MARQUEE_RETURN_IF_ERROR(PrepareDataFolder(common.data));
  return messaging::OpenBroker(common.BrokerUrl(), options, clock);
}

absl::Status ParseListen(const std::string& text, http::ServerOptions* options) {
  size_t colon = text.rfind(':');
  std::string port = colon == std::string::npos ? text : text.substr(colon + 1);
  if (colon != std::string::npos && colon > 0) options->address = text.substr(0, colon);
  uint32_t number = 0;
  if (!absl::SimpleAtoi(port, &number) || number > 65535) {
    return absl::InvalidArgumentError(
        absl::StrCat("--listen: expected HOST:PORT as in 127.0.0.1:8080, found ", text));
  }
  options->port = static_cast<uint16_t>(number);
  return absl::OkStatus();
}

absl::StatusOr<std::optional<double>> ParseRate(const std::string& text) {
  if (text.empty()) return std::nullopt;
  std::string number = text.ends_with("/s") ? text.substr(0, text.size() - 2) : text;
  double rate = 0;
  if (!absl::SimpleAtod(number, &rate) || !(rate > 0) || rate > 1e9) {
    return absl::InvalidArgumentError(
        absl::StrCat("--rate: expected a number per second as in 1000/s, found ", text));
  }
  return rate;
}

Host::Host(const CommonSettings& common)
    : common_(common),
      random_(Random::FromSystem()),
      instance_(absl::StrFormat("%04x", random_.Next() & 0xffff)),
      topics_(common.topic_prefix),
      metrics_(kVersion),
      health_(clock_) {}

absl::StatusOr<std::unique_ptr<Host>> Host::Open(const CommonSettings& common, Parts parts,
                                                 const std::function<void(Host&)>& meanwhile) {
  std::unique_ptr<Host> host(new Host(common));
  std::future<absl::Status> catalogue;
  if (parts == Parts::kSystemAndCatalogue) {
    // One that has to be made is made afterwards: a mistake in the settings leaves no file behind.
    std::error_code ignored;
    bool is_there = std::filesystem::exists(common.CataloguePath(), ignored);
    catalogue = std::async(is_there ? std::launch::async : std::launch::deferred,
                           [&host] { return host->OpenCatalogue(); });
  }
  MARQUEE_RETURN_IF_ERROR(host->OpenSystem());
  meanwhile(*host);
  if (catalogue.valid()) MARQUEE_RETURN_IF_ERROR(catalogue.get());
  return host;
}

Host::~Host() {
  reporter_.reset();
  for (auto& runner : runners_) runner->RequestStop();
  runners_.clear();
  server_.reset();
}

services::World Host::WorldFor(const std::string& service) {
  randoms_.push_back(std::make_unique<Random>(random_.Next()));
  return services::World{.broker = *broker_,
                         .clock = clock_,
                         .random = *randoms_.back(),
                         .metrics = metrics_,
                         .topics = topics_,
                         .rules = system_.rules,
                         .instance = absl::StrCat(service, "-", instance_)};
}

void Host::AddRunner(const std::string& name, services::Runner::OpenService open,
                     services::Runner::Watch watch) {
  service_names_.push_back(name);
  runners_.push_back(std::make_unique<services::Runner>(
      services::RunnerOptions{.name = name, .give_up_after = absl::InfiniteDuration()}, clock_,
      health_, std::move(open), std::move(watch)));
}

absl::Status Host::OpenSystem() {
  MARQUEE_ASSIGN_OR_RETURN(services::RulesWish wish, WishOf(common_));
  MARQUEE_ASSIGN_OR_RETURN(broker_, OpenBroker(common_, clock_));
  MARQUEE_ASSIGN_OR_RETURN(system_, services::OpenSystem(*broker_, topics_, wish, random_));
  return absl::OkStatus();
}

absl::Status Host::OpenCatalogue() {
  MARQUEE_RETURN_IF_ERROR(PrepareDataFolder(common_.data));
  MARQUEE_ASSIGN_OR_RETURN(
      catalogue_,
      catalogue::OpenSqliteCatalogue({.path = common_.CataloguePath(), .create = true, .vfs = ""}));
  MARQUEE_ASSIGN_OR_RETURN(catalogue_reader_, catalogue_->OpenReader());
  return absl::OkStatus();
}

absl::Status Host::StartServer(const std::string& listen, bool with_catalogue, bool with_intake) {
  http::ServerOptions options;
  MARQUEE_RETURN_IF_ERROR(ParseListen(listen, &options));
  http::Parts parts;
  parts.health = &health_;
  parts.metrics = &metrics_.registry();
  parts.clock = &clock_;
  parts.version = kVersion;
  if (with_catalogue) {
    parts.catalogue = catalogue_.get();
    parts.visibility = &visibility_;
  }
  if (with_intake) {
    parts.intake = &live_queue_;
    parts.scale = &system_.rules.scale;
  }
  MARQUEE_ASSIGN_OR_RETURN(server_, http::Server::Start(options, parts));
  return absl::OkStatus();
}

void Host::StartSink(const services::MovieDataSinkOptions& options) {
  services::World world = WorldFor("moviedatasink");
  std::string group = topics_.group("moviedatasink-" + options.region);
  AddRunner(
      "moviedatasink",
      [this, world, options]() -> absl::StatusOr<std::unique_ptr<services::Service>> {
        return services::MovieDataSink::Open(world, options, *catalogue_, visibility_);
      },
      [this, group](services::Service& service) {
        auto lags = static_cast<services::MovieDataSink&>(service).Lags();
        if (!lags.ok()) return;
        std::vector<http::ShardLag> shown;
        for (const auto& lag : *lags) shown.push_back({lag.topic, lag.shard, group, lag.records});
        health_.SetLag("moviedatasink", std::move(shown));
      });
}

void Host::StartMeans(const services::MeanRatingProducerOptions& options) {
  services::World world = WorldFor("meanratingproducer");
  AddRunner(
      "meanratingproducer",
      [world, options]() -> absl::StatusOr<std::unique_ptr<services::Service>> {
        return services::MeanRatingProducer::Open(world, options);
      },
      [this](services::Service& service) {
        auto lags = static_cast<services::MeanRatingProducer&>(service).Lags();
        if (!lags.ok()) return;
        std::vector<http::ShardLag> shown;
        for (const auto& lag : *lags) {
          shown.push_back(
              {topics_.ratings(), lag.shard, topics_.group("meanratingproducer"), lag.records});
        }
        health_.SetLag("meanratingproducer", std::move(shown));
      });
}

void Host::StartMovies(const services::MovieDataProducerOptions& options) {
  has_movies_ = true;
  services::World world = WorldFor("moviedataproducer");
  AddRunner(
      "moviedataproducer",
      [this, world, options]() -> absl::StatusOr<std::unique_ptr<services::Service>> {
        MARQUEE_ASSIGN_OR_RETURN(auto producer, services::MovieDataProducer::Open(world, options));
        movies_before_ = producer->published_before();
        return producer;
      },
      [this](services::Service& service) {
        movies_idle_ = static_cast<services::MovieDataProducer&>(service).caught_up();
      });
}

void Host::StartRatings(const services::FileRatingProducerOptions& options) {
  has_ratings_ = true;
  services::World world = WorldFor("ratingproducer");
  AddRunner(
      "ratingproducer",
      [this, world, options]() -> absl::StatusOr<std::unique_ptr<services::Service>> {
        return services::FileRatingProducer::Open(world, options, progress_);
      },
      [this](services::Service& service) {
        ratings_idle_ = static_cast<services::FileRatingProducer&>(service).caught_up();
      });
}

void Host::StartStreamedRatings(const services::StreamRatingProducerOptions& options) {
  has_ratings_ = true;
  services::World world = WorldFor("ratingproducer");
  auto stream =
      std::make_shared<sources::RatingStream>(STDIN_FILENO, "standard input", system_.rules.scale);
  AddRunner(
      "ratingproducer",
      [this, world, options, stream]() -> absl::StatusOr<std::unique_ptr<services::Service>> {
        return services::StreamRatingProducer::Open(world, options, *stream, progress_);
      },
      [this](services::Service& service) {
        ratings_idle_ = static_cast<services::StreamRatingProducer&>(service).caught_up();
      });
}

void Host::StartLiveRatings(const std::string& source) {
  services::World world = WorldFor("liveratingproducer");
  AddRunner("liveratingproducer",
            [this, world, source]() -> absl::StatusOr<std::unique_ptr<services::Service>> {
              return services::LiveRatingProducer::Open(world, {.source = source}, live_queue_);
            });
}

void Host::StartReporter() {
  reporter_ = std::make_unique<services::Reporter>(*broker_, clock_, metrics_, health_, topics_,
                                                   service_names_, instance_);
}

absl::Status Host::Failure() const {
  for (const auto& runner : runners_) {
    if (runner->finished()) MARQUEE_RETURN_IF_ERROR(runner->status());
  }
  return absl::OkStatus();
}

bool Host::InputsAreRead() const {
  return (!has_ratings_ || ratings_idle_) && (!has_movies_ || movies_idle_);
}

absl::StatusOr<Host::Ends> Host::DescribeEnds() {
  Ends ends;
  MARQUEE_ASSIGN_OR_RETURN(messaging::TopicInfo ratings, broker_->DescribeTopic(topics_.ratings()));
  ends.ratings.ratings_identity = ratings.identity;
  MARQUEE_ASSIGN_OR_RETURN(std::vector<messaging::Extent> extents,
                           DescribeAllShards(topics_.ratings()));
  for (uint32_t i = 0; i < extents.size(); ++i) {
    if (extents[i].end.value() > 0)
      ends.ratings.through[i] = domain::LogOffset(extents[i].end.value());
  }
  MARQUEE_ASSIGN_OR_RETURN(ends.movies, DescribeAllShards(topics_.movies()));
  return ends;
}

absl::StatusOr<bool> Host::AllIsVisible(const Ends& ends) {
  if (!visibility_.Covers(ends.ratings)) return false;
  MARQUEE_ASSIGN_OR_RETURN(std::vector<catalogue::TopicPosition> positions,
                           catalogue_reader_->Positions());
  for (uint32_t i = 0; i < ends.movies.size(); ++i) {
    if (ends.movies[i].begin == ends.movies[i].end) continue;
    bool read = false;
    for (const catalogue::TopicPosition& position : positions) {
      if (position.topic == "movies" && position.shard == i)
        read = position.next >= ends.movies[i].end.value();
    }
    if (!read) return false;
  }
  return true;
}

absl::StatusOr<std::vector<messaging::Extent>> Host::DescribeAllShards(const std::string& topic) {
  return broker_->DescribeShards(messaging::ShardsOf(topic, system_.rules.shards));
}

absl::Status Host::WaitForEnd() {
  while (!StopRequested()) {
    MARQUEE_RETURN_IF_ERROR(Failure());
    bool all_finished = true;
    for (const auto& runner : runners_) all_finished = all_finished && runner->finished();
    if (all_finished) return absl::OkStatus();
    clock_.SleepFor(kWatchPause);
  }
  return absl::OkStatus();
}

absl::Status Host::Drain() {
  reporter_.reset();
  absl::Status first;
  // Producers were started last and end first: what they flush on the way is still taken by those
  // that follow.
  for (auto runner = runners_.rbegin(); runner != runners_.rend(); ++runner) {
    (*runner)->RequestStop();
    (*runner)->Join();
    if (first.ok()) first = (*runner)->status();
  }
  if (server_) server_->Stop(kServerGrace);
  return first;
}

}  // namespace marquee::cli
