// The services on their own, each in a process: `marquee ratingproducer`, `moviedataproducer`,
// `meanratingproducer`, `moviedatasink`.
#include <memory>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cli/commands.h"
#include "cli/host.h"
#include "cli/signals.h"

namespace marquee::cli {
namespace {

struct ServiceSettings {
  CommonSettings common;
  std::string listen;
  std::string rate;
  std::string source = "movielens";
  std::string region = "local";
  std::string file;
  std::optional<uint64_t> limit;
  uint64_t session_timeout_ms = 6000;
  uint64_t checkpoint_interval_ms = 500;
  bool follow = false;
  bool strict = false;
  bool new_input = false;
};

// A subcommand with the common settings; `body` starts its services on the host.
using Body = std::function<absl::Status(const ServiceSettings&, Host&)>;

void AddService(CLI::App& app, Action& action, const char* name, const char* description,
                const char* example, Host::Parts parts,
                const std::function<void(Settings&, ServiceSettings&)>& options, Body body) {
  CLI::App* command = app.add_subcommand(name, description);
  command->footer(std::string("Example:\n  ") + example);
  auto service = std::make_shared<ServiceSettings>();
  auto settings = std::make_shared<Settings>(*command);
  AddCommonSettings(*settings, service->common, *command);
  AddRulesSettings(*settings, service->common);
  options(*settings, *service);
  command->callback([=, &action] {
    action = [=]() -> absl::StatusOr<int> {
      MARQUEE_RETURN_IF_ERROR(settings->Complete(service->common.config));
      MARQUEE_ASSIGN_OR_RETURN(std::unique_ptr<Host> host, Host::Open(service->common, parts));
      MARQUEE_RETURN_IF_ERROR(body(*service, *host));
      host->StartReporter();
      if (host->serves()) Say(absl::StrCat("serving on port ", host->port()));
      absl::Status status = host->WaitForEnd();
      absl::Status drained = host->Drain();
      MARQUEE_RETURN_IF_ERROR(status);
      MARQUEE_RETURN_IF_ERROR(drained);
      return kExitOk;
    };
  });
}

absl::Status ServeIfAsked(const ServiceSettings& service, Host& host, bool with_catalogue,
                          bool with_intake) {
  if (service.listen.empty()) return absl::OkStatus();
  return host.StartServer(service.listen, with_catalogue, with_intake);
}

}  // namespace

void AddRatingProducer(CLI::App& app, Action& action) {
  AddService(
      app, action, "ratingproducer", "Publish the ratings of one source",
      "marquee ratingproducer --broker sqlite:data/log --source movielens --ratings "
      "ml-latest-small/ratings.csv\n"
      "  marquee ratingproducer --broker sqlite:data/log --source web --listen 127.0.0.1:8081",
      Host::Parts::kSystem,
      [](Settings& settings, ServiceSettings& service) {
        settings.Add(
            "ratings", service.file,
            "file of ratings, or - for standard input; without it, with --listen, ratings come by "
            "POST /api/v1/ratings");
        settings.Add("source", service.source,
                     "name of the source; a file keeps its place under it");
        settings.Add("rate", service.rate,
                     "ratings per second, as in 1000/s; as fast as it can where it is left out");
        settings.Add("limit", service.limit, "publish at most this many ratings in this run");
        settings.Add("listen", service.listen,
                     "HOST:PORT for health and metrics, and for ratings where there is no file");
        settings.AddFlag("follow", service.follow, "go on when rows are appended");
        settings.AddFlag("strict", service.strict,
                         "end at the first bad row instead of sending it to the dead letters");
        settings.AddFlag(
            "new-input", service.new_input,
            "where the file is another than the one published before under this source, begin "
            "anew with it");
      },
      [](const ServiceSettings& service, Host& host) -> absl::Status {
        if (service.file.empty() && service.listen.empty()) {
          return absl::InvalidArgumentError(
              "give --ratings FILE, --ratings - for standard input, or --listen HOST:PORT to take "
              "ratings over HTTP");
        }
        bool streamed = service.file == "-";
        if (streamed && (service.follow || service.new_input)) {
          return absl::InvalidArgumentError(absl::StrCat(
              service.follow ? "--follow" : "--new-input",
              ": standard input is read once, to its end; leave it out with --ratings -"));
        }
        MARQUEE_ASSIGN_OR_RETURN(std::optional<double> rate, ParseRate(service.rate));
        MARQUEE_RETURN_IF_ERROR(
            ServeIfAsked(service, host, /*with_catalogue=*/false, service.file.empty()));
        if (service.file.empty()) {
          host.StartLiveRatings(service.source);
        } else if (streamed) {
          host.StartStreamedRatings({.source = service.source,
                                     .rate_per_s = rate,
                                     .limit = service.limit,
                                     .strict = service.strict});
        } else {
          host.StartRatings({.source = service.source,
                             .path = service.file,
                             .follow = service.follow,
                             .rate_per_s = rate,
                             .limit = service.limit,
                             .strict = service.strict,
                             .new_input = service.new_input});
        }
        return absl::OkStatus();
      });
}

void AddMovieDataProducer(CLI::App& app, Action& action) {
  AddService(
      app, action, "moviedataproducer", "Publish the movies of one source",
      "marquee moviedataproducer --broker sqlite:data/log --movies ml-latest-small/movies.csv",
      Host::Parts::kSystem,
      [](Settings& settings, ServiceSettings& service) {
        settings.Add("movies", service.file, "file of movies");
        settings.Add("source", service.source, "name of the source");
        settings.Add(
            "rate", service.rate,
            "movies per second; with --follow 1/s where it is left out, else as fast as it can");
        settings.Add("listen", service.listen, "HOST:PORT for health and metrics");
        settings.AddFlag("follow", service.follow, "publish the file again when it changes");
        settings.AddFlag("strict", service.strict,
                         "end at a bad row instead of sending it to the dead letters");
      },
      [](const ServiceSettings& service, Host& host) -> absl::Status {
        if (service.file.empty()) return absl::InvalidArgumentError("give --movies FILE");
        MARQUEE_ASSIGN_OR_RETURN(std::optional<double> rate, ParseRate(service.rate));
        if (!rate && service.follow) rate = 1;
        MARQUEE_RETURN_IF_ERROR(ServeIfAsked(service, host, false, false));
        host.StartMovies({.source = service.source,
                          .path = service.file,
                          .rate_per_s = rate,
                          .follow = service.follow,
                          .strict = service.strict});
        return absl::OkStatus();
      });
}

void AddMeanRatingProducer(CLI::App& app, Action& action) {
  AddService(
      app, action, "meanratingproducer", "Keep the means of a share of the shards",
      "marquee meanratingproducer --broker sqlite:data/log     (start several: they share the "
      "shards)",
      Host::Parts::kSystem,
      [](Settings& settings, ServiceSettings& service) {
        settings.Add("listen", service.listen, "HOST:PORT for health and metrics");
        settings.Add("session-timeout-ms", service.session_timeout_ms,
                     "a member silent for so long loses its shards to others");
        settings.Add("checkpoint-interval-ms", service.checkpoint_interval_ms,
                     "how often, at most, the state of a shard is written down");
      },
      [](const ServiceSettings& service, Host& host) -> absl::Status {
        MARQUEE_RETURN_IF_ERROR(ServeIfAsked(service, host, false, false));
        host.StartMeans(
            {.session_timeout = absl::Milliseconds(service.session_timeout_ms),
             .checkpoint_interval = absl::Milliseconds(service.checkpoint_interval_ms)});
        return absl::OkStatus();
      });
}

void AddMovieDataSink(CLI::App& app, Action& action) {
  AddService(
      app, action, "moviedatasink", "Keep a region's catalogue and serve it",
      "marquee moviedatasink --broker sqlite:data/log --data data/eu --region eu --listen "
      "127.0.0.1:8080",
      Host::Parts::kSystemAndCatalogue,
      [](Settings& settings, ServiceSettings& service) {
        settings.Add("region", service.region,
                     "name of the region; each has a catalogue of its own, in --data");
        settings.Add("listen", service.listen, "HOST:PORT of the read API, health and metrics");
      },
      [](const ServiceSettings& service, Host& host) -> absl::Status {
        MARQUEE_RETURN_IF_ERROR(ServeIfAsked(service, host, /*with_catalogue=*/true, false));
        host.StartSink({.region = service.region});
        return absl::OkStatus();
      });
}

}  // namespace marquee::cli
