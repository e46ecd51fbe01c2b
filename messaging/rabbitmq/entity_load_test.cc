// An entity topic under many updates of few keys, on the broker of script/rabbitmq
// (MARQUEE_RABBITMQ says with which arguments): nobody but the publisher runs, and yet what is on
// disk, and what a new reader reads, grow with the keys and not with the updates.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "base/status.h"
#include "messaging/broker.h"
#include "messaging/rabbitmq/rabbitmq_broker.h"
#include "messaging/rabbitmq/script.h"

namespace marquee::messaging::rabbitmq {
namespace {

constexpr uint32_t kShards = 12;
constexpr int64_t kUpdates = 20'000'000;
constexpr size_t kKeys = 87'585;  // as many as MovieLens 32M has movies
constexpr int kBursts = 20;
constexpr int64_t kSnapshotRecords = 2'000;
// Of a record on disk, with all that is around it, before compression.
constexpr int64_t kRecordBytes = 80;
// A shard keeps two epochs, three while they change, each a snapshot and at most so many changes
// for each key before somebody comes to it.
constexpr int64_t kRecordsAKey = 12;
constexpr absl::Duration kCatchUp = absl::Seconds(20);

class EntityLoadTest : public testing::Test {
 protected:
  EntityLoadTest() {
    BrokerOptions options;
    options.settings["amqp.snapshot_records"] = std::to_string(kSnapshotRecords);
    options.settings["amqp.segment_bytes"] = std::to_string(1 << 20);
    absl::StatusOr<std::unique_ptr<Broker>> opened =
        OpenRabbitmqBroker(Script("start"), options, clock_);
    MARQUEE_CHECK(opened.ok());
    broker_ = *std::move(opened);
    topic_ = fmt::format("load-{:016x}", random_.Next());
    TopicSpec spec{.name = topic_, .kind = TopicKind::kEntity, .shards = kShards};
    MARQUEE_CHECK(broker_->DeclareTopic(spec).ok());
  }
  ~EntityLoadTest() override { EXPECT_TRUE(broker_->DeleteTopic(topic_).ok()); }

  void Burst(Publisher& publisher, int64_t updates) {
    for (int64_t i = 0; i < updates; ++i) {
      size_t key = random_.Below(values_.size());
      ++update_;
      values_[key] = random_.Next();
      std::string name = std::to_string(key), value = ValueOf(key);
      NewRecord record{.key = name, .value = value, .headers = {}, .shard = {}};
      ASSERT_TRUE(publisher.Publish({&record, 1}).ok());
    }
    ASSERT_TRUE(publisher.Flush().ok());
  }

  // Nothing that compresses well.
  std::string ValueOf(size_t key) const { return fmt::format("{:020}", values_[key]); }

  // Of the topic's streams, on the first node.
  int64_t BytesOnDisk() const {
    int64_t bytes = 0;
    std::error_code gone;  // an epoch ends at any moment
    std::filesystem::recursive_directory_iterator at(Script("data"), gone), end;
    for (; at != end && !gone; at.increment(gone)) {
      if (at->path().string().find(topic_) == std::string::npos) continue;
      std::error_code none;
      uintmax_t size = at->is_regular_file(none) ? at->file_size(none) : 0;
      if (!none) bytes += static_cast<int64_t>(size);
    }
    return bytes;
  }

  struct Read {
    int64_t records = 0;
    absl::Duration took;
    std::map<std::string, std::string> newest;
  };
  Read ReadAll() {
    Read read;
    absl::Duration began = clock_.Uptime();
    auto reader = *broker_->OpenReader({});
    std::vector<TopicShard> shards = ShardsOf(topic_, kShards);
    std::vector<Extent> extents = *broker_->DescribeShards(shards);
    for (const TopicShard& shard : shards) {
      EXPECT_TRUE(reader->Start(shard, StartPosition::AtEarliest()).ok());
    }
    auto is_read = [&] {
      for (size_t i = 0; i < shards.size(); ++i) {
        if (*reader->Next(shards[i]) < extents[i].end) return false;
      }
      return true;
    };
    while (!is_read() && clock_.Uptime() - began < absl::Minutes(1)) {
      absl::StatusOr<Delivery> delivery = reader->Poll(absl::Seconds(1));
      if (!delivery.ok()) {
        ADD_FAILURE() << delivery.status();
        return read;
      }
      if (!delivery->batch) continue;
      for (const Record& record : delivery->batch->records) {
        ++read.records;
        read.newest[std::string(record.key)] = std::string(*record.value);
      }
    }
    EXPECT_TRUE(is_read());
    read.took = clock_.Uptime() - began;
    return read;
  }

  SystemClock clock_;
  Random random_ = Random::FromSystem();
  std::unique_ptr<Broker> broker_;
  std::string topic_;
  std::vector<uint64_t> values_ = std::vector<uint64_t>(kKeys);
  int64_t update_ = 0;
};

TEST_F(EntityLoadTest, DiskAndReadersGrowWithTheKeysAndNotWithTheUpdates) {
  int64_t records_max = kRecordsAKey * static_cast<int64_t>(kKeys) + 3 * kShards * kSnapshotRecords;
  int64_t disk_max = 0;
  absl::Duration began = clock_.Uptime();
  auto publisher = *broker_->OpenPublisher(topic_);
  for (int burst = 0; burst < kBursts; ++burst) {
    ASSERT_NO_FATAL_FAILURE(Burst(*publisher, kUpdates / kBursts));
    disk_max = std::max(disk_max, BytesOnDisk());
    if (burst != 1 && burst != kBursts - 1) continue;
    // Whoever writes snapshots is behind a publisher that is this fast, and comes after it soon.
    Read read = ReadAll();
    absl::Duration until = clock_.Uptime() + kCatchUp;
    while (read.records > records_max && clock_.Uptime() < until) read = ReadAll();
    std::printf("after %lld updates: a new reader has %lld records of %zu keys in %s\n",
                static_cast<long long>(update_), static_cast<long long>(read.records),
                read.newest.size(), absl::FormatDuration(read.took).c_str());
    EXPECT_LE(read.records, records_max);
    for (size_t key = 0; key < values_.size(); ++key) {
      if (values_[key] == 0) continue;
      ASSERT_EQ(read.newest[std::to_string(key)], ValueOf(key)) << key;
    }
  }
  std::printf("%lld updates in %s with snapshots, at most %lld bytes on disk\n",
              static_cast<long long>(update_),
              absl::FormatDuration(clock_.Uptime() - began).c_str(),
              static_cast<long long>(disk_max));
  EXPECT_GT(disk_max, 0);
  EXPECT_LE(disk_max, 3 * records_max * kRecordBytes);
}

}  // namespace
}  // namespace marquee::messaging::rabbitmq
