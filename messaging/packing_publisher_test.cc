#include "messaging/packing_publisher.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace marquee::messaging {
namespace {

constexpr uint32_t kShards = 3;
constexpr absl::Duration kPatience = absl::Seconds(30);

// What a sink was told, and what it does about it.
struct Log {
  Mutex mutex;
  CondVar changed;
  std::map<uint32_t, std::vector<std::string>> values ABSL_GUARDED_BY(mutex);  // by shard
  int packs ABSL_GUARDED_BY(mutex) = 0;
  int flushes ABSL_GUARDED_BY(mutex) = 0;
  bool blocked ABSL_GUARDED_BY(mutex) = false;  // Send waits
  bool interrupted ABSL_GUARDED_BY(mutex) = false;
  absl::Status error ABSL_GUARDED_BY(mutex);  // of the next Send or Flush

  int Packs() {
    MutexLock lock(mutex);
    return packs;
  }
  std::vector<std::string> Values(uint32_t shard) {
    MutexLock lock(mutex);
    return values[shard];
  }
  void Fail(const absl::Status& status) {
    MutexLock lock(mutex);
    error = status;
  }
  void Block(bool block) {
    MutexLock lock(mutex);
    blocked = block;
    changed.SignalAll();
  }
  // Whether there were so many packs before patience ended.
  bool AwaitPacks(int count) {
    MutexLock lock(mutex);
    while (packs < count) {
      if (!changed.WaitFor(mutex, kPatience)) return false;
    }
    return true;
  }
};

class FakeSink final : public PackSink {
 public:
  explicit FakeSink(Log& log) : log_(log) {}

  absl::Status Send(Shard shard, absl::Time newest, std::string_view pack) override {
    PackDecoder decoder;
    absl::Status status = decoder.Add(pack, Offset(0));
    EXPECT_TRUE(status.ok()) << status;
    MutexLock lock(log_.mutex);
    while (log_.blocked && !log_.interrupted) log_.changed.Wait(log_.mutex);
    if (!log_.error.ok()) return std::exchange(log_.error, absl::OkStatus());
    for (const Record& record : decoder.records()) {
      EXPECT_LE(record.published, newest);
      log_.values[shard.value()].emplace_back(*record.value);
    }
    ++log_.packs;
    log_.changed.SignalAll();
    return absl::OkStatus();
  }
  absl::StatusOr<FlushedThrough> Flush() override {
    MutexLock lock(log_.mutex);
    if (!log_.error.ok()) return std::exchange(log_.error, absl::OkStatus());
    ++log_.flushes;
    FlushedThrough through;
    for (const auto& [shard, values] : log_.values)
      through[Shard(shard)] = Offset(static_cast<int64_t>(values.size()));
    return through;
  }
  void Interrupt() override {
    MutexLock lock(log_.mutex);
    log_.interrupted = true;
    log_.changed.SignalAll();
  }

 private:
  Log& log_;
};

class PackingPublisherTest : public testing::Test {
 protected:
  PackingPublisherTest() { Open({}); }

  void Open(const PackLimits& limits) {
    publisher_ =
        std::make_unique<PackingPublisher>(TopicSpec{.name = "topic", .shards = kShards}, limits,
                                           std::make_unique<FakeSink>(log_), clock_);
  }
  absl::Status Put(std::string_view value, uint32_t shard = 1) {
    NewRecord record{.key = "k", .value = value, .headers = {}, .shard = Shard(shard)};
    return publisher_->Publish({&record, 1});
  }

  SystemClock clock_;
  Log log_;
  std::unique_ptr<PackingPublisher> publisher_;
};

using Values = std::vector<std::string>;

TEST_F(PackingPublisherTest, AFlushSendsAllInOnePackOfEachShard) {
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(Put(absl::StrCat(i), i % 2).ok());
  absl::StatusOr<FlushedThrough> through = publisher_->Flush();
  ASSERT_TRUE(through.ok()) << through.status();
  EXPECT_EQ(*through, (FlushedThrough{{Shard(0), Offset(50)}, {Shard(1), Offset(50)}}));
  EXPECT_EQ(log_.Values(0).size(), 50u);
  EXPECT_EQ(log_.Values(1)[49], "99");
  EXPECT_LE(log_.Packs(), 4) << "one of each shard, or two where the linger came between";
}

TEST_F(PackingPublisherTest, AKeyWithoutAShardGoesWhereItBelongs) {
  NewRecord record{.key = "318", .value = "v"};
  ASSERT_TRUE(publisher_->Publish({&record, 1}).ok());
  ASSERT_TRUE(publisher_->Flush().ok());
  EXPECT_EQ(log_.Values(ShardOfKey("318", kShards).value()), Values{"v"});
}

TEST_F(PackingPublisherTest, ARecordThatNoFlushWaitsForGoesAfterTheLinger) {
  ASSERT_TRUE(Put("alone").ok());
  EXPECT_TRUE(log_.AwaitPacks(1));
  EXPECT_EQ(log_.Values(1), Values{"alone"});
}

TEST_F(PackingPublisherTest, AFullPackGoesAtOnce) {
  Open({.pack_records = 2});
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(Put(absl::StrCat(i)).ok());
  EXPECT_TRUE(log_.AwaitPacks(2));
  EXPECT_EQ(log_.Values(1), (Values{"0", "1", "2", "3"}));
}

TEST_F(PackingPublisherTest, NothingOfARefusedCallIsTaken) {
  std::string large(kMessageBytesMax + 1, 'x');
  NewRecord records[] = {{.key = "k", .value = "1"}, {.key = "k", .value = large}};
  EXPECT_EQ(publisher_->Publish(records).code(), absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(Put("2").ok());
  ASSERT_TRUE(publisher_->Flush().ok());
  EXPECT_EQ(log_.Packs(), 1);
  EXPECT_EQ(log_.Values(1), Values{"2"});
}

TEST_F(PackingPublisherTest, AFlushOfNothingAsksNobody) {
  ASSERT_TRUE(publisher_->Flush().ok());
  MutexLock lock(log_.mutex);
  EXPECT_EQ(log_.flushes, 0);
}

TEST_F(PackingPublisherTest, AnErrorIsToldOnceAndWhatFollowsIsAsNew) {
  log_.Fail(absl::DeadlineExceededError("broker away"));
  ASSERT_TRUE(Put("lost").ok());
  EXPECT_EQ(publisher_->Flush().status(), absl::DeadlineExceededError("broker away"));
  ASSERT_TRUE(Put("again").ok());
  ASSERT_TRUE(publisher_->Flush().ok());
  EXPECT_EQ(log_.Values(1), Values{"again"}) << "nothing of what failed is sent any more";
}

TEST_F(PackingPublisherTest, AnErrorThatNobodyWaitedForIsToldToTheNextCall) {
  Open({.pack_records = 1});
  log_.Fail(absl::UnavailableError("gone"));
  absl::Status status;
  for (int i = 0; status.ok(); ++i) status = Put(absl::StrCat(i));
  EXPECT_EQ(status, absl::UnavailableError("gone"));
  EXPECT_TRUE(Put("new").ok());
  EXPECT_TRUE(publisher_->Flush().ok());
  EXPECT_EQ(log_.Values(1), Values{"new"});
}

TEST_F(PackingPublisherTest, APublisherAheadOfItsSinkWaits) {
  log_.Block(true);
  std::string value(kMessageBytesMax / 2, 'x');
  Mutex mutex;
  size_t taken = 0;
  bool ended = false;
  std::thread publishing([&] {
    for (int i = 0; i < 100; ++i) {
      EXPECT_TRUE(Put(value).ok());
      MutexLock lock(mutex);
      taken += value.size();
    }
    MutexLock lock(mutex);
    ended = true;
  });
  // What is open and sealed, the pack that is being sent, and the record that waits.
  size_t most = PackLimits().open_bytes + kSealedBytesMax + 3 * value.size();
  absl::Duration until = clock_.Uptime() + absl::Milliseconds(300);
  while (clock_.Uptime() < until) {
    MutexLock lock(mutex);
    EXPECT_LE(taken, most);
    EXPECT_FALSE(ended);
  }
  log_.Block(false);
  publishing.join();
  ASSERT_TRUE(publisher_->Flush().ok());
  EXPECT_EQ(log_.Values(1).size(), 100u);
}

TEST_F(PackingPublisherTest, WhoIsDestroyedDoesNotWaitForItsSink) {
  log_.Block(true);
  ASSERT_TRUE(Put("never").ok());
  absl::Duration begin = clock_.Uptime();
  publisher_.reset();
  EXPECT_LT(clock_.Uptime() - begin, kPatience);
}

}  // namespace
}  // namespace marquee::messaging
