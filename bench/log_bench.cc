// How fast the embedded log is by itself: publishing, reading back, a single durable record,
// upserts. Prints a table; every row is checked (all records come back, the newest of each key).
//
//   log_bench [DIRECTORY [RECORDS]]     the directory is made and removed
#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "base/status.h"
#include "messaging/broker.h"
#include "messaging/sqlite/sqlite_broker.h"

namespace marquee::messaging {
namespace {

constexpr uint32_t kShards = 12;
constexpr size_t kBatch = 1024;
constexpr int kMovies = 87'585;

template <typename T>
T Must(absl::StatusOr<T> value) {
  if (!value.ok()) {
    fmt::print(stderr, "log_bench: {}\n", value.status().ToString());
    std::exit(1);
  }
  return *std::move(value);
}
void Must(const absl::Status& status) {
  if (!status.ok()) Must(absl::StatusOr<int>(status));
}

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Of all threads: what is left of the speed where others use the machine too.
double CpuSeconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

void PutVarint(uint64_t value, std::string* out) {
  for (; value >= 0x80; value >>= 7) out->push_back(static_cast<char>(value | 0x80));
  out->push_back(static_cast<char>(value));
}

// Messages like ratings on the wire, prepared before the clock starts: about 55 bytes.
struct Messages {
  std::vector<std::string> keys;
  std::vector<std::string> values;
  std::vector<Shard> shards;
};

Messages MakeMessages(size_t count) {
  Random random(1);
  Messages made;
  std::vector<uint64_t> sequence(kShards, 1);
  uint64_t time = 1'100'000'000;
  uint64_t user = 1;
  for (size_t i = 0; i < count; ++i) {
    if (random.OneIn(150)) ++user;
    uint64_t movie = 1 + random.Below(random.OneIn(3) ? kMovies : 3000);
    made.keys.push_back(std::to_string(movie));
    Shard shard = ShardOfKey(made.keys.back(), kShards);
    made.shards.push_back(shard);
    std::string value = "\x08";
    PutVarint(user, &value);
    value += '\x10';
    PutVarint(movie, &value);
    value += '\x18';
    PutVarint(500 * (1 + random.Below(10)), &value);
    value += '\x20';
    PutVarint(time += random.Below(100), &value);
    value += "\x2a\x1cmovielens-ratings-csv-000001";
    PutVarint(sequence[shard.value()], &value);
    PutVarint(sequence[shard.value()]++ / 100'000 * 100'000, &value);
    made.values.push_back(std::move(value));
  }
  return made;
}

void Row(const char* what, double value, const char* unit) {
  fmt::print("{:<44} {:>14.1f} {}\n", what, value, unit);
}

size_t Publish(Publisher& publisher, const Messages& messages, size_t records) {
  std::vector<NewRecord> batch;
  batch.reserve(kBatch);
  size_t at = 0;
  for (size_t i = 0; i < records; ++i) {
    batch.push_back({.key = messages.keys[at],
                     .value = messages.values[at],
                     .headers = {},
                     .shard = messages.shards[at]});
    if (++at == messages.keys.size()) at = 0;
    if (batch.size() < kBatch) continue;
    Must(publisher.Publish(batch));
    batch.clear();
  }
  Must(publisher.Publish(batch));
  Must(publisher.Flush());
  return records;
}

size_t ReadAll(Broker& broker, const std::string& topic, uint32_t shards) {
  auto reader = Must(broker.OpenReader({}));
  for (uint32_t i = 0; i < shards; ++i)
    Must(reader->Start({topic, Shard(i)}, StartPosition::AtEarliest()));
  size_t records = 0;
  volatile size_t bytes = 0;
  while (true) {
    Delivery delivery = Must(reader->Poll(absl::ZeroDuration()));
    if (!delivery.batch) return records;
    records += delivery.batch->records.size();
    for (const Record& record : delivery.batch->records) bytes = bytes + record.value->size();
  }
}

void BenchEvents(Broker& broker, size_t records) {
  Messages messages = MakeMessages(std::min<size_t>(records, 1'000'000));
  size_t value_bytes = 0;
  for (const std::string& value : messages.values) value_bytes += value.size();
  Row("value of a message",
      static_cast<double>(value_bytes) / static_cast<double>(messages.values.size()), "bytes");
  Must(broker.DeclareTopic({.name = "ratings", .kind = TopicKind::kEvent, .shards = kShards}));
  auto publisher = Must(broker.OpenPublisher("ratings"));
  double begin = Seconds();
  double cpu_begin = CpuSeconds();
  Publish(*publisher, messages, records);
  Row("publish, with the last flush", static_cast<double>(records) / (Seconds() - begin) / 1e6,
      "million/s");
  Row("    CPU of both threads", (CpuSeconds() - cpu_begin) / static_cast<double>(records) * 1e9,
      "ns/record");
  int64_t bytes = Must(broker.DescribeTopic("ratings")).bytes_on_disk;
  Row("on disk, WAL included", static_cast<double>(bytes) / static_cast<double>(records),
      "bytes/record");
  begin = Seconds();
  cpu_begin = CpuSeconds();
  MARQUEE_CHECK(ReadAll(broker, "ratings", kShards) == records);
  Row("read back", static_cast<double>(records) / (Seconds() - begin) / 1e6, "million/s");
  Row("    CPU", (CpuSeconds() - cpu_begin) / static_cast<double>(records) * 1e9, "ns/record");
}

void BenchFlush(Broker& broker) {
  Must(broker.DeclareTopic({.name = "single", .kind = TopicKind::kEvent, .shards = kShards}));
  auto publisher = Must(broker.OpenPublisher("single"));
  std::vector<double> took;
  std::string value(55, 'v');
  for (int i = 0; i < 5000; ++i) {
    std::string key = std::to_string(i);
    NewRecord record{.key = key, .value = value};
    double begin = Seconds();
    Must(publisher->Publish({&record, 1}));
    Must(publisher->Flush());
    took.push_back(Seconds() - begin);
  }
  std::sort(took.begin(), took.end());
  Row("one record, published and flushed: p50", took[took.size() / 2] * 1e6, "us");
  Row("                                   p99", took[took.size() * 99 / 100] * 1e6, "us");
  double begin = Seconds();
  MARQUEE_CHECK(ReadAll(broker, "single", kShards) == took.size());
  Row("such records, read back", static_cast<double>(took.size()) / (Seconds() - begin) / 1e6,
      "million/s");
}

void BenchUpserts(Broker& broker) {
  constexpr int kRounds = 20;
  Must(broker.DeclareTopic({.name = "means", .kind = TopicKind::kEntity, .shards = kShards}));
  auto publisher = Must(broker.OpenPublisher("means"));
  double begin = Seconds();
  double cpu_begin = CpuSeconds();
  for (int round = 1; round <= kRounds; ++round) {
    std::vector<std::string> keys(kMovies);
    std::vector<std::string> values(kMovies);
    std::vector<NewRecord> records;
    for (int movie = 0; movie < kMovies; ++movie) {
      keys[movie] = std::to_string(movie);
      values[movie] = fmt::format("{:>60}{:>10}", movie * 31, round);
      records.push_back({.key = keys[movie], .value = values[movie]});
    }
    Must(publisher->Publish(records));
    Must(publisher->Flush());
  }
  Row("upserts of 87,585 keys a flush", kRounds * double{kMovies} / (Seconds() - begin) / 1e6,
      "million/s");
  Row("    CPU, with making the messages",
      (CpuSeconds() - cpu_begin) / (kRounds * double{kMovies}) * 1e9, "ns/record");
  int64_t bytes = Must(broker.DescribeTopic("means")).bytes_on_disk;
  Row("entity topic on disk", static_cast<double>(bytes) / 1e6, "MB");
  auto reader = Must(broker.OpenReader({}));
  for (uint32_t i = 0; i < kShards; ++i)
    Must(reader->Start({"means", Shard(i)}, StartPosition::AtEarliest()));
  std::unordered_map<std::string, std::string> newest;
  while (true) {
    Delivery delivery = Must(reader->Poll(absl::ZeroDuration()));
    if (!delivery.batch) break;
    for (const Record& record : delivery.batch->records)
      newest[std::string(record.key)] = std::string(*record.value);
  }
  MARQUEE_CHECK(newest.size() == kMovies);
  for (const auto& [key, value] : newest)
    MARQUEE_CHECK(value.ends_with(fmt::format("{:>10}", kRounds)));
}

int64_t PeakMemoryKiB() {
  long peak = 0;
  if (FILE* file = std::fopen("/proc/self/status", "r"); file != nullptr) {
    char line[256];
    while (std::fgets(line, sizeof line, file) != nullptr) std::sscanf(line, "VmHWM: %ld", &peak);
    std::fclose(file);
  }
  return peak;
}

int Main(int argc, char** argv) {
  std::string directory = argc > 1 ? argv[1] : "/tmp/log_bench";
  size_t records = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 16'000'000;
  std::filesystem::remove_all(directory);
  SystemClock clock;
  {
    BrokerOptions options;
    if (const char* page = std::getenv("LOG_BENCH_PAGE_BYTES"))
      options.settings["sqlite.page_size_bytes"] = page;
    if (const char* wal = std::getenv("LOG_BENCH_WAL_BYTES"))
      options.settings["sqlite.wal_bytes"] = wal;
    auto broker = Must(OpenSqliteBroker(directory, options, clock));
    BenchEvents(*broker, records);
    BenchFlush(*broker);
    BenchUpserts(*broker);
  }
  Row("peak memory of this process", static_cast<double>(PeakMemoryKiB()) / 1024, "MiB");
  std::filesystem::remove_all(directory);
  return 0;
}

}  // namespace
}  // namespace marquee::messaging

int main(int argc, char** argv) { return marquee::messaging::Main(argc, argv); }
