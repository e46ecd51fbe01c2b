// One rating until it is visible over HTTP: POST /api/v1/ratings, then GET of one of its movies
// with `wait-for` the position that the POST answered, at a fixed rate. Every time counts from when
// the POST was due, not from when it could be sent: what comes late because the server stood still
// counts as late.
//
//   visible_bench PORT RATINGS-PER-SECOND RATINGS-PER-POST SECONDS FOLDER MOVIES.CSV
//
// Beside it, before and after, the time of one sync of the disk in FOLDER. The first second warms
// up and is not counted.
#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "bench/measure.h"
#include "bench/visible_connection.h"

namespace marquee::bench {
namespace {

constexpr int kSyncs = 200;
constexpr size_t kConnections = 256;
constexpr int64_t kNsPerSecond = 1'000'000'000;
constexpr int64_t kWarmUpNs = kNsPerSecond;
constexpr int kPatienceMs = 60'000;
constexpr int kEventsMax = 64;
constexpr uint32_t kTimer = UINT32_MAX;  // in the events, in place of a connection's number
constexpr uint64_t kFirstUser = 1'000'000'000;

struct Load {
  uint16_t port = 0;
  int64_t ratings_per_s = 0;
  int64_t ratings_per_post = 1;
  int64_t seconds = 0;
  std::vector<uint64_t> movies;
};

struct Result {
  std::vector<int64_t> took_ns;
  std::vector<int64_t> late_ns;  // of these, how long until the POST could be sent
  int64_t posts = 0;
  int64_t failed = 0;
  int64_t accepted = 0;  // ratings
  std::string first_failure;
};

class Client {
 public:
  explicit Client(const Load& load)
      : load_(load),
        pause_ns_(kNsPerSecond * load.ratings_per_post / load.ratings_per_s),
        posts_((kWarmUpNs + load.seconds * kNsPerSecond) / pause_ns_),
        events_(epoll_create1(EPOLL_CLOEXEC)),
        timer_(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)) {
    Watch(timer_, kTimer);
    for (uint32_t i = 0; i < kConnections; ++i) {
      calls_.push_back({.connection = std::make_unique<Connection>(load.port)});
      Watch(calls_[i].connection->file(), i);
      idle_.push_back(i);
    }
  }
  ~Client() {
    close(timer_);
    close(events_);
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  Result Run() {
    begin_ns_ = NowNs();
    while (result_.posts < posts_) {
      SendDue();
      HandleEvents();
    }
    return std::move(result_);
  }

 private:
  struct Call {
    std::unique_ptr<Connection> connection;
    int64_t due_ns = 0;
    int64_t sent_ns = 0;
    uint64_t movie = 0;
    bool posted = false;  // the answer to the POST has come
  };

  void Watch(int file, uint32_t number) {
    epoll_event event{.events = EPOLLIN, .data = {.u32 = number}};
    if (epoll_ctl(events_, EPOLL_CTL_ADD, file, &event) != 0) Fail(std::strerror(errno));
  }

  int64_t DueNs(int64_t post) const { return begin_ns_ + post * pause_ns_; }

  void SendDue() {
    while (next_ < posts_ && !idle_.empty() && DueNs(next_) <= NowNs()) {
      Call& call = calls_[idle_.front()];
      idle_.pop_front();
      call.due_ns = DueNs(next_++);
      call.sent_ns = NowNs();
      call.posted = false;
      Post(call);
    }
    // Without an idle connection the next answer wakes it.
    int64_t wake = next_ < posts_ && !idle_.empty() ? DueNs(next_) : 0;
    itimerspec at{.it_interval = {},
                  .it_value = {.tv_sec = wake / kNsPerSecond, .tv_nsec = wake % kNsPerSecond}};
    if (timerfd_settime(timer_, TFD_TIMER_ABSTIME, &at, nullptr) != 0) Fail(std::strerror(errno));
  }

  void Post(Call& call) {
    body_ = load_.ratings_per_post == 1 ? "" : "[";
    for (int64_t i = 0; i < load_.ratings_per_post; ++i) {
      call.movie = load_.movies[random_.Below(load_.movies.size())];
      uint64_t halves = 1 + random_.Below(10);
      fmt::format_to(std::back_inserter(body_),
                     "{}{{\"user_id\":{},\"movie_id\":{},\"rating\":{}.{}}}", i == 0 ? "" : ",",
                     user_++, call.movie, halves / 2, halves % 2 * 5);
    }
    if (load_.ratings_per_post != 1) body_ += ']';
    call.connection->Send(
        fmt::format("POST /api/v1/ratings HTTP/1.1\r\nHost: bench\r\nContent-Type: "
                    "application/json\r\nContent-Length: {}\r\n\r\n{}",
                    body_.size(), body_));
  }

  void HandleEvents() {
    epoll_event events[kEventsMax];
    int count = epoll_wait(events_, events, kEventsMax, kPatienceMs);
    if (count < 0 && errno == EINTR) return;
    if (count <= 0) Fail("no answer for 60 s");
    for (int i = 0; i < count; ++i) {
      uint32_t number = events[i].data.u32;
      if (number == kTimer) {
        uint64_t expirations;
        while (read(timer_, &expirations, sizeof(expirations)) > 0) {
        }
      } else if (std::optional<Answer> answer = calls_[number].connection->Receive()) {
        HandleAnswer(number, *answer);
      }
    }
  }

  void HandleAnswer(uint32_t number, const Answer& answer) {
    Call& call = calls_[number];
    if (answer.status != (call.posted ? 200 : 202)) {
      if (result_.failed++ == 0) {
        result_.first_failure =
            fmt::format("{} to the {}", answer.status, call.posted ? "GET" : "POST");
      }
    } else if (!call.posted) {
      call.posted = true;
      result_.accepted += load_.ratings_per_post;
      call.connection->Send(fmt::format(
          "GET /api/v1/movies/{}?wait-for={}&timeout=30000 HTTP/1.1\r\nHost: bench\r\n\r\n",
          call.movie, PositionIn(answer.body)));
      return;
    } else if (call.due_ns >= begin_ns_ + kWarmUpNs) {
      result_.took_ns.push_back(NowNs() - call.due_ns);
      result_.late_ns.push_back(call.sent_ns - call.due_ns);
    }
    ++result_.posts;
    idle_.push_back(number);
  }

  static std::string_view PositionIn(std::string_view body) {
    constexpr std::string_view kName = "\"position\":\"";
    size_t begin = body.find(kName);
    if (begin == body.npos) Fail(fmt::format("no position in the answer {}", body));
    body.remove_prefix(begin + kName.size());
    return body.substr(0, body.find('"'));
  }

  const Load& load_;
  const int64_t pause_ns_;
  const int64_t posts_;
  const int events_;
  const int timer_;
  std::vector<Call> calls_;
  std::deque<uint32_t> idle_;
  int64_t begin_ns_ = 0;
  int64_t next_ = 0;
  uint64_t user_ = kFirstUser;
  Random random_{1};
  std::string body_;
  Result result_;
};

std::vector<uint64_t> MoviesOf(const std::string& path) {
  std::ifstream file(path);
  std::vector<uint64_t> movies;
  std::string line;
  std::getline(file, line);  // the heading
  while (std::getline(file, line)) movies.push_back(std::strtoull(line.c_str(), nullptr, 10));
  if (movies.empty()) Fail(fmt::format("{}: no movies", path));
  return movies;
}

void Run(const Load& load, const std::string& folder) {
  SyncTime before = TimeSyncs(folder, kSyncs);
  Result result = Client(load).Run();
  SyncTime after = TimeSyncs(folder, kSyncs);
  if (result.took_ns.empty()) Fail(fmt::format("nothing became visible: {}", result.first_failure));
  fmt::print(
      "{{\"p50_ms\":{:.3f},\"p99_ms\":{:.3f},\"max_ms\":{:.3f},\"late_p99_ms\":{:.3f},\"samples\":{"
      "},"
      "\"accepted\":{},\"failed\":{},\"first_failure\":\"{}\",\"sync_p50_ms\":{:.4f},"
      "\"sync_after_p50_ms\":{:.4f}}}\n",
      PercentileMs(result.took_ns, 50), PercentileMs(result.took_ns, 99),
      PercentileMs(result.took_ns, 100), PercentileMs(result.late_ns, 99), result.took_ns.size(),
      result.accepted, result.failed, result.first_failure, before.p50_ms, after.p50_ms);
}

}  // namespace
}  // namespace marquee::bench

int main(int argc, char** argv) {
  using namespace marquee::bench;  // NOLINT: a program, not a header
  if (argc != 7) {
    Fail("usage: visible_bench PORT RATINGS-PER-SECOND RATINGS-PER-POST SECONDS FOLDER MOVIES.CSV");
  }
  Load load;
  load.port = static_cast<uint16_t>(NumberArgument("PORT", argv[1], 1, UINT16_MAX));
  load.ratings_per_s = NumberArgument("RATINGS-PER-SECOND", argv[2], 1, 10'000'000);
  load.ratings_per_post = NumberArgument("RATINGS-PER-POST", argv[3], 1, 1000);
  load.seconds = NumberArgument("SECONDS", argv[4], 1, 3600);
  load.movies = MoviesOf(argv[6]);
  Run(load, argv[5]);
}
