#include "cli/run_command.h"

#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status.h"
#include "cli/commands.h"
#include "cli/signals.h"
#include "sources/movielens.h"
#include "spdlog/spdlog.h"

namespace marquee::cli {
namespace {

constexpr absl::Duration kPollWhileReading = absl::Milliseconds(50);
constexpr absl::Duration kPollForVisible = absl::Milliseconds(5);
constexpr size_t kBestMovies = 20;
constexpr char kExample[] =
    "Example:\n  marquee run --data data/ml --movielens ml-latest-small --listen 127.0.0.1:8080\n"
    "  marquee run --data data/ml --movielens ml-latest-small --once";

absl::Status FindInputs(RunSettings* run) {
  if (run->movielens.empty()) return absl::OkStatus();
  MARQUEE_ASSIGN_OR_RETURN(sources::MovieLensFolder folder, sources::FindMovieLens(run->movielens));
  if (run->ratings.empty()) run->ratings = folder.ratings;
  if (run->movies.empty()) run->movies = folder.movies;
  return absl::OkStatus();
}

absl::Status StartServices(const RunSettings& run, Host& host) {
  MARQUEE_ASSIGN_OR_RETURN(std::optional<double> rate, ParseRate(run.rate));
  host.StartSink({.region = run.region});
  if (!run.movies.empty()) {
    host.StartMovies({.source = run.source,
                      .path = run.movies,
                      .rate_per_s = std::nullopt,
                      .follow = run.follow,
                      .strict = run.strict});
  }
  if (!run.ratings.empty()) {
    host.StartRatings({.source = run.source,
                       .path = run.ratings,
                       .follow = run.follow,
                       .rate_per_s = rate,
                       .limit = std::nullopt,
                       .strict = run.strict,
                       .new_input = run.new_input});
  }
  if (!run.once) host.StartLiveRatings("http");
  host.StartReporter();
  return absl::OkStatus();
}

// Until the inputs are read: a progress bar.
absl::Status WatchInputs(Host& host) {
  ProgressBar bar("ratings");
  absl::Duration began = host.clock().Uptime();
  const services::FileProgress& progress = host.progress();
  while (!host.InputsAreRead() && !StopRequested()) {
    MARQUEE_RETURN_IF_ERROR(host.Failure());
    absl::Duration now = host.clock().Uptime();
    uint64_t total = progress.bytes_total;
    // Before the first flush nothing is done for certain; the bar follows what was published.
    if (total > 0 && progress.ratings > 0) {
      double fraction = static_cast<double>(progress.bytes_read) / static_cast<double>(total);
      double seconds = std::max(absl::ToDoubleSeconds(now - began), 1e-3);
      bar.Show(std::min(fraction, 1.0), static_cast<double>(progress.ratings) / seconds, "ratings",
               now);
    }
    host.clock().SleepFor(kPollWhileReading);
  }
  return host.Failure();
}

// Of what the inputs held: what others publish meanwhile is not waited for, nor is the broker asked
// again and again.
absl::Status WaitUntilVisible(Host& host) {
  MARQUEE_ASSIGN_OR_RETURN(Host::Ends ends, host.DescribeEnds());
  while (!StopRequested()) {
    MARQUEE_RETURN_IF_ERROR(host.Failure());
    MARQUEE_ASSIGN_OR_RETURN(bool visible, host.AllIsVisible(ends));
    if (visible) return absl::OkStatus();
    host.clock().SleepFor(kPollForVisible);
  }
  return absl::OkStatus();
}

absl::Status PrintBest(Host& host) {
  MARQUEE_ASSIGN_OR_RETURN(auto reader, host.catalogue().OpenReader());
  MARQUEE_ASSIGN_OR_RETURN(catalogue::Totals totals, reader->ReadTotals());
  catalogue::ListQuery query;
  query.rated_only = true;
  query.limit = kBestMovies;
  if (totals.ratings > 0) {
    query.prior.mean =
        static_cast<double>(totals.sum_thousandths) / 1000.0 / static_cast<double>(totals.ratings);
  }
  MARQUEE_ASSIGN_OR_RETURN(catalogue::ListPage page, reader->List(query));
  Table table({"#>", "movie>", "title", "year>", "bayesian mean>", "mean>", "ratings>"});
  int rank = 0;
  for (const catalogue::Entry& entry : page.entries) {
    table.Add({absl::StrCat(++rank), absl::StrCat(entry.id.value()),
               entry.title.value_or("(no title yet)"), entry.year ? absl::StrCat(*entry.year) : "",
               absl::StrFormat("%.3f", domain::BayesianMeanOf(
                                           entry.aggregate.count, entry.aggregate.sum_thousandths,
                                           query.prior.mean, query.prior.weight)),
               absl::StrFormat("%.3f", domain::MeanOf(entry.aggregate)),
               WithThousands(entry.aggregate.count)});
  }
  Print(table.ToString());
  Say(absl::StrCat(WithThousands(totals.ratings), " ratings of ", WithThousands(totals.movies),
                   " movies are visible"));
  return absl::OkStatus();
}

void SayWhatWasRead(const RunSettings& run, Host& host) {
  const services::FileProgress& progress = host.progress();
  if (!run.ratings.empty()) {
    std::string words =
        absl::StrCat(run.ratings, ": ", WithThousands(progress.ratings), " ratings published");
    if (progress.bytes_before > 0) {
      absl::StrAppend(&words, progress.ratings == 0 ? "; all of it" : "; what comes before byte ",
                      progress.ratings == 0 ? "" : WithThousands(progress.bytes_before),
                      " was published before, and nothing is read or counted twice");
    }
    if (progress.rejected > 0) {
      absl::StrAppend(&words, "; ", WithThousands(progress.rejected),
                      " rows rejected, see the topic ",
                      services::Topics::DeadLettersOf(host.topics().ratings()));
    }
    Say(words);
  }
  if (host.movies_published_before() > 0) {
    Say(absl::StrCat(run.movies, ": ", WithThousands(host.movies_published_before()),
                     " movies were published before"));
  }
}

absl::StatusOr<int> Run(RunSettings run) {
  MARQUEE_RETURN_IF_ERROR(FindInputs(&run));
  MARQUEE_ASSIGN_OR_RETURN(std::unique_ptr<Host> host,
                           Host::Open(run.common, Host::Parts::kSystemAndCatalogue,
                                      [](Host& opening) { opening.StartMeans({}); }));
  if (host->first()) {
    Say(absl::StrCat("recorded for this log: ", host->rules().shards,
                     " shards (cannot change later), ratings from ",
                     host->rules().scale.ToString()));
  }
  if (!run.once)
    MARQUEE_RETURN_IF_ERROR(
        host->StartServer(run.listen, /*with_catalogue=*/true, /*with_intake=*/true));
  MARQUEE_RETURN_IF_ERROR(StartServices(run, *host));
  absl::Status status = WatchInputs(*host);
  if (status.ok()) status = WaitUntilVisible(*host);
  if (status.ok() && !StopRequested()) {
    SayWhatWasRead(run, *host);
    status = PrintBest(*host);
    if (host->serves())
      Say(absl::StrCat("serving on http://", run.listen.substr(0, run.listen.rfind(':')), ":",
                       host->port()));
    if (status.ok() && !run.once) status = host->WaitForEnd();
  }
  absl::Status drained = host->Drain();
  MARQUEE_RETURN_IF_ERROR(status);
  MARQUEE_RETURN_IF_ERROR(drained);
  if (StopRequested()) Say("stopped; everything read so far is kept");
  return kExitOk;
}

}  // namespace

void AddRunSettings(Settings& settings, RunSettings& run, CLI::App& app) {
  AddCommonSettings(settings, run.common, app);
  AddRulesSettings(settings, run.common);
  settings.Add("movielens", run.movielens,
               "folder of a MovieLens data set (ratings.csv, movies.csv or the .dat files)");
  settings.Add("ratings", run.ratings, "file of ratings, in place of the folder's");
  settings.Add("movies", run.movies, "file of movies, in place of the folder's");
  settings.Add("listen", run.listen, "HOST:PORT of the HTTP API");
  settings.Add("rate", run.rate,
               "ratings per second, as in 1000/s; as fast as it can where it is left out");
  settings.Add("source", run.source, "name under which the files' ratings are published");
  settings.Add("region", run.region, "name of the sink's region");
  settings.AddFlag("follow", run.follow, "go on when rows are appended to the files");
  settings.AddFlag("strict", run.strict,
                   "end at the first bad row instead of sending it to the dead letters");
  settings.AddFlag("once", run.once, "end when everything that the inputs hold is visible");
  settings.AddFlag("new-input", run.new_input,
                   "where the ratings are another input than the one published before under this "
                   "source, begin anew with them");
}

void AddRun(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("run", "Run all services in one process");
  command->footer(kExample);
  auto run = std::make_shared<RunSettings>();
  auto settings = std::make_shared<Settings>(*command);
  AddRunSettings(*settings, *run, *command);
  command->callback([run, settings, &action] {
    action = [run, settings]() -> absl::StatusOr<int> {
      MARQUEE_RETURN_IF_ERROR(settings->Complete(run->common.config));
      return Run(*run);
    };
  });
}

}  // namespace marquee::cli
