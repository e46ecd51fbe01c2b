// For tests: a server on a free port, with a catalogue, an intake that does what the test says, and
// a clock that stands still.
#ifndef MARQUEE_HTTP_SERVER_WORLD_H_
#define MARQUEE_HTTP_SERVER_WORLD_H_

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "catalogue/sqlite/catalogue_model.h"
#include "http/raw_client.h"
#include "http/server.h"

namespace marquee::http {

// Keeps what it is given; the test answers it.
class TestIntake final : public RatingIntake {
 public:
  struct Request {
    PostedRatings ratings;
    Done done;
  };
  void Submit(PostedRatings ratings, Done done) override;
  // Waits for the next request.
  Request Take();

 private:
  Mutex mutex_;
  CondVar submitted_;
  std::deque<Request> requests_ ABSL_GUARDED_BY(mutex_);
};

class ServerWorld : public ::testing::Test {
 protected:
  ServerWorld();
  ~ServerWorld() override;

  void StartServer();
  // Commits and tells, as a sink does.
  void Commit(const catalogue::Changes& changes);
  uint16_t port() const { return server_->port(); }
  double Metric(const std::string& line_start);
  // For RawClient::Read: lets so much time pass at every look.
  std::function<void()> TimePasses(absl::Duration step) {
    return [this, step] { clock_.Advance(step); };
  }
  static LogPosition PositionAt(int64_t offset) {
    return {.ratings_identity = "log-1", .through = {{0, domain::LogOffset(offset)}}};
  }
  static domain::Watermark WatermarkAt(int64_t offset) {
    return {.shard = 0, .ratings_through = domain::LogOffset(offset), .ratings_identity = "log-1"};
  }

  catalogue::TemporaryFolder folder_;
  ManualClock clock_;
  Health health_{clock_};
  prometheus::Registry metrics_;
  Visibility visibility_;
  TestIntake intake_;
  domain::Scale scale_;
  std::unique_ptr<catalogue::Catalogue> catalogue_;
  std::unique_ptr<catalogue::Writer> writer_;
  ServerOptions options_;
  Parts parts_;
  std::unique_ptr<Server> server_;
};

}  // namespace marquee::http

#endif  // MARQUEE_HTTP_SERVER_WORLD_H_
