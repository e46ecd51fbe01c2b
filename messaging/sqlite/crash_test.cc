// The log on a disk that forgets: thousands of lives of a broker, each ended by a power loss, a
// dead process or an orderly end, most with faults before. What Flush promised is there afterwards,
// at the same offsets, in order; what was ever read stays; no offset is used twice; of each key of
// an entity topic the newest is kept.
//
// Seeds 1 .. MARQUEE_SEEDS (default below), or the one in MARQUEE_SEED; a failure prints its own.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "base/sqlite/fault_vfs.h"
#include "base/status.h"
#include "messaging/broker.h"
#include "messaging/sqlite/sqlite_broker.h"

namespace marquee::messaging {
namespace {

using sqlite::Fault;
using sqlite::FaultVfs;

constexpr uint64_t kSeedsDefault = 1500;
constexpr uint32_t kShards = 3;
constexpr char kTopic[] = "ratings";

uint64_t NumberFromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

// What is known from outside: what was published, what Flush promised, what was read.
class Log {
 public:
  explicit Log(TopicKind kind) : kind_(kind) {}

  // A value that no other record has: its number, which grows.
  uint64_t NextNumber() { return ++published_; }

  void Promise(const std::vector<std::pair<std::string, uint64_t>>& records,
               const FlushedThrough& through) {
    for (const auto& [key, number] : records) {
      promised_.insert(number);
      newest_promised_[key] = number;
    }
    for (const auto& [shard, offset] : through) {
      EXPECT_GE(offset, promised_through_[shard]) << "offsets went back in shard " << shard;
      promised_through_[shard] = offset;
    }
  }

  // All that can be read, from the start of every shard.
  void Check(Broker& broker) {
    std::map<uint64_t, TopicShard> found;
    for (uint32_t i = 0; i < kShards; ++i) CheckShard(broker, Shard(i));
    if (testing::Test::HasFailure()) return;
    if (kind_ == TopicKind::kEvent) {
      for (uint64_t number : promised_)
        ASSERT_TRUE(seen_now_.contains(number)) << "lost what was flushed: " << number;
    } else {
      for (const auto& [key, number] : newest_promised_) {
        ASSERT_GE(newest_now_[key], number) << "lost the newest of key " << key;
      }
    }
    seen_now_.clear();
    newest_now_.clear();
  }

 private:
  void CheckShard(Broker& broker, Shard shard) {
    absl::StatusOr<Extent> extent = broker.DescribeShard({kTopic, shard});
    ASSERT_TRUE(extent.ok()) << extent.status();
    ASSERT_GE(extent->end, promised_through_[shard]) << "the shard ends before what was flushed";
    absl::StatusOr<std::unique_ptr<Subscription>> reader = broker.OpenReader({});
    ASSERT_TRUE(reader.ok()) << reader.status();
    absl::Status started = (*reader)->Start({kTopic, shard}, StartPosition::AtEarliest());
    ASSERT_TRUE(started.ok()) << started;
    std::set<Offset> offsets;
    uint64_t last = 0;
    while (*(*reader)->Next({kTopic, shard}) < extent->end) {
      absl::StatusOr<Delivery> delivery = (*reader)->Poll(absl::ZeroDuration());
      ASSERT_TRUE(delivery.ok()) << delivery.status();
      ASSERT_TRUE(delivery->batch.has_value());
      for (const Record& record : delivery->batch->records) {
        uint64_t number = std::strtoull(std::string(*record.value).c_str(), nullptr, 10);
        ASSERT_GT(number, last) << "out of order, or twice";
        last = number;
        offsets.insert(record.offset);
        auto [known, is_new] = read_[shard].try_emplace(record.offset, number);
        ASSERT_EQ(known->second, number) << "offset " << record.offset << " was used twice";
        if (is_new) {
          ASSERT_GE(record.offset, ended_[shard])
              << "a record came up where the shard had ended before";
        }
        seen_now_.insert(number);
        newest_now_[std::string(record.key)] = number;
      }
    }
    ended_[shard] = std::max(ended_[shard], extent->end);
    if (kind_ == TopicKind::kEntity) return;
    for (const auto& [offset, number] : read_[shard]) {
      ASSERT_TRUE(offsets.contains(offset)) << "what was read before is gone: offset " << offset;
    }
  }

  const TopicKind kind_;
  uint64_t published_ = 0;
  std::set<uint64_t> promised_;
  std::map<std::string, uint64_t> newest_promised_;
  std::map<Shard, Offset> promised_through_;
  std::map<Shard, std::map<Offset, uint64_t>> read_;  // ever
  std::map<Shard, Offset> ended_;
  std::set<uint64_t> seen_now_;
  std::map<std::string, uint64_t> newest_now_;
};

class Trial {
 public:
  explicit Trial(uint64_t seed)
      : random_(seed),
        vfs_("crash"),
        kind_(random_.OneIn(2) ? TopicKind::kEntity : TopicKind::kEvent),
        log_(kind_),
        value_bytes_(random_.OneIn(10) ? 3000 : 30) {}

  void Run() {
    uint64_t lives = 2 + random_.Below(4);
    for (uint64_t life = 0; life < lives && !testing::Test::HasFailure(); ++life) {
      Live();
      End();
    }
    if (testing::Test::HasFailure()) return;
    absl::StatusOr<std::unique_ptr<Broker>> broker = Open();
    ASSERT_TRUE(broker.ok()) << broker.status();
    log_.Check(**broker);
  }

 private:
  absl::StatusOr<std::unique_ptr<Broker>> Open() {
    BrokerOptions options;
    options.settings["sqlite.wal_bytes"] = "65536";
    options.deadline = absl::Seconds(1);
    MARQUEE_ASSIGN_OR_RETURN(std::unique_ptr<Broker> broker,
                             OpenSqliteBroker("/log", options, clock_, vfs_.name()));
    MARQUEE_RETURN_IF_ERROR(
        broker->DeclareTopic({.name = kTopic, .kind = kind_, .shards = kShards}).status());
    return broker;
  }

  void Live() {
    bool calm = random_.OneIn(4);
    if (!calm) DrawTrouble();
    absl::StatusOr<std::unique_ptr<Broker>> broker = Open();
    if (!broker.ok()) return;
    absl::StatusOr<std::unique_ptr<Publisher>> publisher = (*broker)->OpenPublisher(kTopic);
    if (!publisher.ok()) return;
    uint64_t flushes = random_.Below(12);
    for (uint64_t i = 0; i < flushes && !testing::Test::HasFailure(); ++i) {
      bool ok = PublishAndFlush(**publisher);
      if (!ok && random_.OneIn(2)) vfs_.Heal();
      if (ok && calm && random_.OneIn(4)) log_.Check(**broker);
      clock_.Advance(absl::Milliseconds(static_cast<int64_t>(random_.Below(1000))));
    }
    if (random_.OneIn(3)) (void)Publish(**publisher);  // and never flush it
  }

  void DrawTrouble() {
    uint64_t moment = random_.Below(random_.OneIn(3) ? 30 : 400);
    switch (random_.Below(6)) {
      case 0:
        return vfs_.FailAfter(Fault::kSyncError, moment / 8, random_.OneIn(2));
      case 1:
        return vfs_.FailAfter(Fault::kWriteError, moment, random_.OneIn(2));
      case 2:
        return vfs_.FailAfter(Fault::kDiskFull, moment, random_.OneIn(2));
      default:
        return vfs_.CutPowerAfter(moment);
    }
  }

  // The keys and numbers of what was taken.
  std::vector<std::pair<std::string, uint64_t>> Publish(Publisher& publisher) {
    uint64_t count = 1 + random_.Below(random_.OneIn(6) ? 700 : 5);
    std::vector<std::pair<std::string, uint64_t>> records;
    for (uint64_t i = 0; i < count; ++i) {
      records.emplace_back(fmt::format("k{}", random_.Below(40)), log_.NextNumber());
    }
    for (size_t i = 0; i < records.size(); ++i) {
      std::string value = fmt::format("{} {}", records[i].second, std::string(value_bytes_, 'v'));
      NewRecord record{.key = records[i].first, .value = value};
      if (!publisher.Publish({&record, 1}).ok()) return {};
    }
    return records;
  }

  bool PublishAndFlush(Publisher& publisher) {
    std::vector<std::pair<std::string, uint64_t>> records = Publish(publisher);
    if (records.empty()) return false;
    absl::StatusOr<FlushedThrough> through = publisher.Flush();
    if (!through.ok()) return false;
    log_.Promise(records, *through);
    return true;
  }

  // Everything of the process is gone by now.
  void End() {
    switch (random_.Below(4)) {
      case 0:
        vfs_.ProcessDeath();
        break;
      case 1:
        vfs_.ProcessDeath();
        CheckThenLosePower();
        break;
      default:
        vfs_.PowerLoss(random_.Next());
    }
    vfs_.Heal();
  }

  // What a reader saw after the process had died must not be lost with the power.
  void CheckThenLosePower() {
    absl::StatusOr<std::unique_ptr<Broker>> broker = Open();
    ASSERT_TRUE(broker.ok()) << broker.status();
    log_.Check(**broker);
    vfs_.PowerLoss(random_.Next());
  }

  Random random_;
  FaultVfs vfs_;
  ManualClock clock_;
  const TopicKind kind_;
  Log log_;
  const size_t value_bytes_;
};

TEST(CrashTest, WhatWasFlushedSurvivesPowerLossesAndFaults) {
  uint64_t only = NumberFromEnvironment("MARQUEE_SEED", 0);
  uint64_t first = only != 0 ? only : 1;
  uint64_t last = only != 0 ? only : NumberFromEnvironment("MARQUEE_SEEDS", kSeedsDefault);
  fmt::print("seeds {} to {}\n", first, last);
  for (uint64_t seed = first; seed <= last; ++seed) {
    Trial(seed).Run();
    ASSERT_FALSE(HasFailure()) << "MARQUEE_SEED=" << seed;
  }
}

}  // namespace
}  // namespace marquee::messaging
