// How long after a publish an idle consumer has the record: from before Publish, through Flush,
// until the Poll of a consumer that waits returns it. Once in one process, once across two; beside
// the time of one sync in the same folder.
//
//   wakeup_bench FOLDER RECORDS        the logs are made in FOLDER, which exists
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "bench/measure.h"
#include "messaging/open/open.h"

namespace marquee::bench {
namespace {

constexpr char kTopic[] = "wakeups";
constexpr int kPatienceMs = 60'000;
constexpr absl::Duration kPollWait = absl::Seconds(1);
// A record comes at a random time in this range after the one before, so that the consumer is idle.
constexpr int64_t kPauseNsMin = 5'000'000;
constexpr int64_t kPauseNsMax = 15'000'000;

// What the consumer tells the publisher: that it is waiting, then when it had each record.
struct Note {
  int64_t index = -1;
  int64_t at_ns = 0;
};

void WriteNote(int pipe, Note note) {
  if (write(pipe, &note, sizeof(note)) != sizeof(note)) Fail("the pipe of the notes is closed");
}

Note ReadNote(int pipe) {
  pollfd waits{.fd = pipe, .events = POLLIN, .revents = 0};
  if (::poll(&waits, 1, kPatienceMs) != 1) Fail("the consumer did not get a record in 60 s");
  Note note;
  if (read(pipe, &note, sizeof(note)) != sizeof(note))
    Fail("the consumer ended before its last record");
  return note;
}

void Declare(messaging::Broker& broker) {
  Must(broker.DeclareTopic({.name = kTopic, .kind = messaging::TopicKind::kEvent, .shards = 1}));
}

void Consume(messaging::Broker& broker, int records, int notes) {
  auto reader = Must(broker.OpenReader({}));
  Must(reader->Start({kTopic, messaging::Shard(0)}, messaging::StartPosition::AtEarliest()));
  WriteNote(notes, {});
  for (int64_t index = 0; index < records;) {
    messaging::Delivery delivery = Must(reader->Poll(kPollWait));
    if (!delivery.batch) continue;
    int64_t now = NowNs();
    for (const messaging::Record& record : delivery.batch->records) {
      if (record.key != std::to_string(index)) Fail("a record is missing or out of order");
      WriteNote(notes, {index++, now});
    }
  }
}

// The time of each record from before its Publish until the consumer had it. A sync is timed before
// each, while the consumer is idle.
std::vector<int64_t> Publish(messaging::Broker& broker, int records, int notes, SyncTimer* syncs) {
  auto publisher = Must(broker.OpenPublisher(kTopic));
  Random random(1);
  const std::string value(55, 'v');
  std::vector<int64_t> took;
  ReadNote(notes);
  for (int64_t index = 0; index < records; ++index) {
    syncs->TimeOne();
    int64_t pause = kPauseNsMin + static_cast<int64_t>(random.Below(kPauseNsMax - kPauseNsMin));
    SleepUntilNs(NowNs() + pause);
    const std::string key = std::to_string(index);
    messaging::NewRecord record{.key = key, .value = value};
    int64_t begin = NowNs();
    Must(publisher->Publish({&record, 1}));
    Must(publisher->Flush());
    Note note = ReadNote(notes);
    if (note.index != index) Fail("the notes of the consumer are out of order");
    took.push_back(note.at_ns - begin);
  }
  return took;
}

std::vector<int64_t> InOneProcess(const std::string& folder, int records, SyncTimer* syncs) {
  int notes[2];
  if (pipe(notes) != 0) Fail(std::strerror(errno));
  SystemClock clock;
  auto broker = Must(messaging::OpenBroker("sqlite:" + folder + "/one", {}, clock));
  Declare(*broker);
  std::thread consumer([&] { Consume(*broker, records, notes[1]); });
  std::vector<int64_t> took = Publish(*broker, records, notes[0], syncs);
  consumer.join();
  close(notes[0]);
  close(notes[1]);
  return took;
}

[[noreturn]] void BeConsumer(const std::string& url, int records, int notes) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  {
    SystemClock clock;
    auto broker = Must(messaging::OpenBroker(url, {}, clock));
    Declare(*broker);
    Consume(*broker, records, notes);
  }
  std::_Exit(0);
}

// REQUIRES: no thread and no open log in this process, as it forks.
std::vector<int64_t> AcrossProcesses(const std::string& folder, int records, SyncTimer* syncs) {
  int notes[2];
  if (pipe(notes) != 0) Fail(std::strerror(errno));
  const std::string url = "sqlite:" + folder + "/two";
  pid_t consumer = fork();
  if (consumer < 0) Fail(std::strerror(errno));
  if (consumer == 0) BeConsumer(url, records, notes[1]);
  close(notes[1]);
  SystemClock clock;
  auto broker = Must(messaging::OpenBroker(url, {}, clock));
  Declare(*broker);
  std::vector<int64_t> took = Publish(*broker, records, notes[0], syncs);
  close(notes[0]);
  int status = 0;
  if (waitpid(consumer, &status, 0) != consumer || status != 0) Fail("the consumer failed");
  return took;
}

void Run(const std::string& folder, int records) {
  SyncTimer syncs(folder);
  std::vector<int64_t> two = AcrossProcesses(folder, records, &syncs);
  std::vector<int64_t> one = InOneProcess(folder, records, &syncs);
  SyncTime sync = syncs.Result();
  fmt::print(
      "{{\"sync_p50_ms\":{:.4f},\"sync_p99_ms\":{:.4f},\"one_p50_ms\":{:.4f},\"one_p99_ms\":{:.4f},"
      "\"two_p50_ms\":{:.4f},\"two_p99_ms\":{:.4f}}}\n",
      sync.p50_ms, sync.p99_ms, PercentileMs(one, 50), PercentileMs(one, 99), PercentileMs(two, 50),
      PercentileMs(two, 99));
}

}  // namespace
}  // namespace marquee::bench

int main(int argc, char** argv) {
  using namespace marquee::bench;  // NOLINT: a program, not a header
  if (argc != 3) Fail("usage: wakeup_bench FOLDER RECORDS");
  Run(argv[1], static_cast<int>(NumberArgument("RECORDS", argv[2], 1, 1'000'000)));
}
