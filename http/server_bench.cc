// The server alone, for wrk: a catalogue of rated movies, and, where asked for, a sink that changes
// them as so many ratings a second would.
//
//   http_server_bench DIR PORT THREADS MOVIES RATINGS-PER-SECOND     until its standard input ends;
//   port 0: any, printed
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <unordered_map>

#include "base/status.h"
#include "catalogue/sqlite/catalogue_model.h"
#include "catalogue/sqlite/sqlite_catalogue.h"
#include "http/server.h"

namespace {

using namespace marquee;

// As the sink does while it keeps up with a stream.
constexpr absl::Duration kCommitInterval = absl::Milliseconds(20);

void FillCatalogue(catalogue::Writer& writer, uint64_t movies) {
  catalogue::Changes changes;
  for (uint64_t id = 1; id <= movies; ++id) {
    changes.movies.push_back(catalogue::Titled(
        catalogue::MakeMovie(id, absl::StrCat("The Movie with the Number ", id),
                             1950 + static_cast<int>(id % 70), {"Drama", "Crime"})));
    changes.means.push_back(catalogue::MakeMean(id, static_cast<int64_t>(id), 1 + id % 50, 3500));
  }
  MARQUEE_CHECK(writer.Commit(changes).ok());
}

// Popular movies change more often: id = movies^u for u in 0..1.
void Stream(catalogue::Writer& writer, http::Visibility& visibility, uint64_t movies,
            double per_second, std::atomic<bool>& done) {
  Random random(1);
  SystemClock clock;
  int64_t as_of = 1 << 30;
  absl::Duration next = clock.Uptime();
  while (!done) {
    std::unordered_map<uint64_t, domain::MeanRating> means;
    for (double i = per_second * absl::ToDoubleSeconds(kCommitInterval); i > 0; --i) {
      auto u = static_cast<double>(random.Below(1 << 20)) / (1 << 20);
      uint64_t id = 1 + static_cast<uint64_t>(std::pow(static_cast<double>(movies - 1), u));
      means[id] = catalogue::MakeMean(id, ++as_of, 1 + random.Below(50), 4000);
    }
    catalogue::Changes changes;
    std::vector<domain::MovieId> changed;
    for (auto& [id, mean] : means) {
      changed.push_back(mean.movie);
      changes.means.push_back(mean);
    }
    MARQUEE_CHECK(writer.Commit(changes).ok());
    visibility.Advance({}, writer.CommitNumber(), changed);
    next += kCommitInterval;
    clock.SleepFor(next - clock.Uptime());
  }
}

}  // namespace

int main(int argc, char** argv) {
  MARQUEE_CHECK(argc == 6);
  auto catalogue = catalogue::OpenSqliteCatalogue({.path = std::string(argv[1]) + "/catalogue.db"});
  MARQUEE_CHECK(catalogue.ok());
  auto writer = (*catalogue)->OpenWriter();
  MARQUEE_CHECK(writer.ok());
  uint64_t movies = std::strtoull(argv[4], nullptr, 10);
  if ((*writer)->CommitNumber() == 0) FillCatalogue(**writer, movies);

  SystemClock clock;
  http::Health health(clock);
  prometheus::Registry metrics;
  http::Visibility visibility;
  visibility.Advance({}, (*writer)->CommitNumber());
  http::Parts parts;
  parts.catalogue = catalogue->get();
  parts.visibility = &visibility;
  parts.health = &health;
  parts.metrics = &metrics;
  parts.clock = &clock;
  http::ServerOptions options;
  options.port = static_cast<uint16_t>(std::atoi(argv[2]));
  options.threads = std::atoi(argv[3]);
  auto server = http::Server::Start(options, parts);
  MARQUEE_CHECK(server.ok());
  std::printf("%d\n", (*server)->port());
  std::fflush(stdout);

  std::atomic<bool> done = false;
  std::thread sink;
  if (double rate = std::atof(argv[5]); rate > 0) {
    sink = std::thread([&, rate] { Stream(**writer, visibility, movies, rate, done); });
  }
  while (std::getchar() != EOF) {
  }
  done = true;
  if (sink.joinable()) sink.join();
}
