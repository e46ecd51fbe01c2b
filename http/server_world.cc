#include "http/server_world.h"

#include "catalogue/sqlite/sqlite_catalogue.h"

namespace marquee::http {

void TestIntake::Submit(PostedRatings ratings, Done done) {
  MutexLock lock(mutex_);
  requests_.push_back({std::move(ratings), std::move(done)});
  submitted_.Signal();
}

TestIntake::Request TestIntake::Take() {
  MutexLock lock(mutex_);
  while (requests_.empty()) submitted_.Wait(mutex_);
  Request request = std::move(requests_.front());
  requests_.pop_front();
  return request;
}

ServerWorld::ServerWorld() {
  catalogue_ = *catalogue::OpenSqliteCatalogue({.path = folder_.File("catalogue.db")});
  writer_ = *catalogue_->OpenWriter();
  options_.port = 0;
  options_.threads = 2;
  // Only the tests that are about them let connections come to it.
  options_.idle_timeout = absl::Hours(100);
  parts_ = {.catalogue = catalogue_.get(),
            .visibility = &visibility_,
            .intake = &intake_,
            .scale = &scale_,
            .health = &health_,
            .metrics = &metrics_,
            .clock = &clock_,
            .version = "1.2.3"};
}

ServerWorld::~ServerWorld() { server_.reset(); }

void ServerWorld::StartServer() {
  auto server = Server::Start(options_, parts_);
  ASSERT_TRUE(server.ok()) << server.status();
  server_ = *std::move(server);
}

void ServerWorld::Commit(const catalogue::Changes& changes) {
  ASSERT_TRUE(writer_->Commit(changes).ok());
  std::vector<domain::MovieId> changed;
  for (const auto& movie : changes.movies) changed.push_back(movie.id);
  for (const auto& mean : changes.means) changed.push_back(mean.movie);
  visibility_.Advance(changes.watermarks, writer_->CommitNumber(), changed);
}

double ServerWorld::Metric(const std::string& line_start) {
  std::string text = RawClient(port()).Get("/metrics").body;
  size_t at = text.find("\n" + line_start);
  return at == std::string::npos ? -1 : std::atof(text.c_str() + at + 1 + line_start.size());
}

}  // namespace marquee::http
