// What is special to this backend: its files, what it says when they are in trouble, what a flush
// costs. What every backend does is in conformance_test.cc, what a crash leaves in crash_test.cc.
#include "messaging/sqlite/sqlite_broker.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "base/sqlite/database.h"
#include "base/sqlite/fault_vfs.h"
#include "base/status.h"

namespace marquee::messaging {
namespace {

using sqlite::Fault;
using sqlite::FaultVfs;
using testing::HasSubstr;

struct Read {
  std::string key;
  std::optional<std::string> value;
  Offset offset;
};

absl::StatusOr<std::vector<Read>> ReadFrom(Broker& broker, const TopicShard& shard,
                                           const StartPosition& start) {
  MARQUEE_ASSIGN_OR_RETURN(auto reader, broker.OpenReader({}));
  MARQUEE_RETURN_IF_ERROR(reader->Start(shard, start));
  std::vector<Read> all;
  while (true) {
    MARQUEE_ASSIGN_OR_RETURN(Delivery delivery, reader->Poll(absl::ZeroDuration()));
    if (!delivery.batch) return all;
    for (const Record& record : delivery.batch->records) {
      Read read{.key = std::string(record.key), .value = {}, .offset = record.offset};
      if (record.value.has_value()) read.value = std::string(*record.value);
      all.push_back(std::move(read));
    }
  }
}

absl::Status Put(Publisher& publisher, const std::string& key, std::optional<std::string> value) {
  NewRecord record{.key = key, .value = value};
  MARQUEE_RETURN_IF_ERROR(publisher.Publish({&record, 1}));
  return publisher.Flush().status();
}

class SqliteBrokerTest : public testing::Test {
 protected:
  SqliteBrokerTest() {
    directory_ = std::filesystem::temp_directory_path() / "marquee-broker-test-XXXXXX";
    MARQUEE_CHECK(mkdtemp(directory_.data()) != nullptr);
  }
  ~SqliteBrokerTest() override { std::filesystem::remove_all(directory_); }

  absl::StatusOr<std::unique_ptr<Broker>> TryOpen() {
    return OpenSqliteBroker(directory_, options_, clock_);
  }
  std::unique_ptr<Broker> Open() {
    absl::StatusOr<std::unique_ptr<Broker>> broker = TryOpen();
    MARQUEE_CHECK(broker.ok());
    return *std::move(broker);
  }
  std::unique_ptr<Publisher> OpenPublisher(Broker& broker, const TopicSpec& spec) {
    absl::Status declared = broker.DeclareTopic(spec).status();
    EXPECT_TRUE(declared.ok()) << declared;
    auto publisher = broker.OpenPublisher(spec.name);
    MARQUEE_CHECK(publisher.ok());
    return *std::move(publisher);
  }
  std::string TopicPath() {
    for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
      std::string name = entry.path().filename();
      if (entry.path().extension() == ".db" && name != "topics.db" && name != "groups.db")
        return entry.path();
    }
    return "";
  }

  std::string directory_;
  BrokerOptions options_;
  ManualClock clock_;
};

TEST_F(SqliteBrokerTest, ADirectoryThatCannotBeMadeSaysSo) {
  std::ofstream(directory_ + "/file") << "x";
  absl::Status status = OpenSqliteBroker(directory_ + "/file/log", options_, clock_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr(directory_ + "/file/log"));
}

TEST_F(SqliteBrokerTest, AForeignDatabaseIsRefused) {
  ASSERT_TRUE(
      sqlite::Database::Open(directory_ + "/topics.db", {})->Execute("CREATE TABLE mine(x)").ok());
  absl::Status status = TryOpen().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("topics.db: expected a Marquee topic index file"));
}

TEST_F(SqliteBrokerTest, AFileThatIsNoDatabaseIsRefused) {
  std::ofstream(directory_ + "/topics.db") << std::string(10'000, 'x');
  absl::Status status = TryOpen().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("topics.db"));
}

TEST_F(SqliteBrokerTest, AnotherSchemaVersionSaysWhatToDo) {
  ASSERT_TRUE(OpenPublisher(*Open(), {.name = "t"}) != nullptr);
  ASSERT_TRUE(sqlite::Database::Open(TopicPath(), {})->Execute("PRAGMA user_version=2").ok());
  absl::Status status = Open()->DescribeTopic("t").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("expected schema version 1 of a topic file, found 2"));
}

TEST_F(SqliteBrokerTest, ATopicFileDeletedWhileInUseStopsItsUsers) {
  auto broker = Open();
  auto publisher = OpenPublisher(*broker, {.name = "t"});
  ASSERT_TRUE(Put(*publisher, "k", "v").ok());
  auto reader = *broker->OpenReader({});
  ASSERT_TRUE(reader->Start({"t", Shard(0)}, StartPosition::AtEarliest()).ok());
  ASSERT_TRUE(std::filesystem::remove(TopicPath()));
  EXPECT_EQ(Put(*publisher, "k", "w").code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(reader->Poll(absl::ZeroDuration()).status().code(),
            absl::StatusCode::kFailedPrecondition);
  absl::Status missing = broker->DescribeTopic("t").status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(missing.message()), HasSubstr("t."));
  EXPECT_TRUE(broker->DeleteTopic("t").ok()) << "the way out that the message names";
  EXPECT_TRUE(broker->DeclareTopic({.name = "t"}).ok());
}

TEST_F(SqliteBrokerTest, InvalidNamesAndNumbersAreRefused) {
  auto broker = Open();
  for (const std::string& name :
       {std::string(), std::string("Upper"), std::string(".dot"), std::string("a/b"),
        std::string("../up"), std::string("white space"), std::string(201, 'a')}) {
    EXPECT_EQ(broker->DeclareTopic({.name = name}).status().code(),
              absl::StatusCode::kInvalidArgument)
        << name;
  }
  EXPECT_TRUE(broker->DeclareTopic({.name = std::string(200, 'a')}).ok());
  for (uint32_t shards : {0u, kShardsMax + 1}) {
    absl::Status status = broker->DeclareTopic({.name = "t", .shards = shards}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr("1024"));
  }
}

TEST_F(SqliteBrokerTest, SettingsAreCheckedByName) {
  options_.settings["sqlite.page_size"] = "4096";
  EXPECT_THAT(std::string(TryOpen().status().message()),
              HasSubstr("unknown setting sqlite.page_size"));
  options_.settings = {{"sqlite.page_size_bytes", "5000"}};
  EXPECT_EQ(TryOpen().status().code(), absl::StatusCode::kInvalidArgument);
  options_.settings = {{"sqlite.page_size_bytes", "8192"}};
  EXPECT_TRUE(TryOpen().ok());
}

// Any bit of the file may be another one: what is read is then an error, or as it was.
TEST_F(SqliteBrokerTest, AFlippedBitIsNeverReadAsAnotherRecord) {
  options_.settings["sqlite.page_size_bytes"] = "4096";  // most of the file is records
  TopicSpec spec{.name = "t", .kind = TopicKind::kEvent, .shards = 2};
  constexpr int kRecords = 300;
  {
    auto broker = Open();
    auto publisher = OpenPublisher(*broker, spec);
    for (int i = 0; i < kRecords; ++i) {
      std::string key = fmt::format("k{}", i);
      std::string value =
          fmt::format("value {} {}", i, std::string(100, static_cast<char>('a' + i % 26)));
      NewRecord record{
          .key = key, .value = value, .headers = {}, .shard = Shard(static_cast<uint32_t>(i) % 2)};
      ASSERT_TRUE(publisher->Publish({&record, 1}).ok());
      if (i % 10 == 0) {
        ASSERT_TRUE(publisher->Flush().ok());
      }
    }
    ASSERT_TRUE(publisher->Flush().ok());
  }
  std::string path = TopicPath();
  auto size = std::filesystem::file_size(path);
  Random random(1);
  int detected = 0;
  constexpr int kFlips = 400;
  for (int flip = 0; flip < kFlips; ++flip) {
    auto at = static_cast<std::streamoff>(random.Below(size));
    char mask = static_cast<char>(1 << random.Below(8));
    auto toggle = [&] {
      std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
      file.seekg(at);
      char byte = static_cast<char>(file.get());
      file.seekp(at);
      file.put(static_cast<char>(byte ^ mask));
    };
    toggle();
    {
      auto broker = Open();
      bool whole = true;
      for (uint32_t shard = 0; shard < 2; ++shard) {
        auto read = ReadFrom(*broker, {"t", Shard(shard)}, StartPosition::AtEarliest());
        if (!read.ok()) {
          whole = false;
          continue;
        }
        ASSERT_EQ(read->size(), size_t{kRecords / 2}) << "bit " << at << " mask " << int{mask};
        for (size_t i = 0; i < read->size(); ++i) {
          size_t number = 2 * i + shard;
          ASSERT_EQ((*read)[i].offset, Offset(static_cast<int64_t>(i)));
          ASSERT_EQ((*read)[i].key, fmt::format("k{}", number));
          ASSERT_TRUE((*read)[i].value->starts_with(fmt::format("value {} ", number)));
        }
      }
      detected += whole ? 0 : 1;
    }
    toggle();
  }
  EXPECT_GT(detected, kFlips / 4);
  EXPECT_TRUE(ReadFrom(*Open(), {"t", Shard(0)}, StartPosition::AtEarliest()).ok());
}

TEST_F(SqliteBrokerTest, AFullPublisherKeepsItsWalBounded) {
  auto broker = Open();
  auto publisher = OpenPublisher(*broker, {.name = "t", .shards = 4});
  Random random(1);
  std::string noise(100'000, 'x');
  for (char& c : noise) c = static_cast<char>(random.Next());
  int64_t most = 0;
  for (int i = 0; i < 1500; ++i) {
    std::string key = std::to_string(i);
    NewRecord record{.key = key, .value = noise};
    ASSERT_TRUE(publisher->Publish({&record, 1}).ok());
    std::error_code none;
    auto wal = std::filesystem::file_size(TopicPath() + "-wal", none);
    if (!none) most = std::max(most, static_cast<int64_t>(wal));
  }
  ASSERT_TRUE(publisher->Flush().ok());
  EXPECT_LE(most, int64_t{64} << 20);
}

TEST_F(SqliteBrokerTest, DeletionsStayForADayAndGoWithLaterWrites) {
  auto broker = Open();
  auto publisher = OpenPublisher(*broker, {.name = "t", .kind = TopicKind::kEntity});
  auto rewrite = [&] {
    for (int i = 0; i < 3000; ++i) {
      std::string key = fmt::format("k{}", i % 10);
      NewRecord record{.key = key, .value = "v"};
      ASSERT_TRUE(publisher->Publish({&record, 1}).ok());
    }
    ASSERT_TRUE(publisher->Flush().ok());
  };
  auto deletions = [&] {
    auto read = ReadFrom(*broker, {"t", Shard(0)}, StartPosition::AtEarliest());
    MARQUEE_CHECK(read.ok());
    return std::count_if(read->begin(), read->end(),
                         [](const Read& record) { return !record.value.has_value(); });
  };
  ASSERT_TRUE(Put(*publisher, "gone", "v").ok());
  ASSERT_TRUE(Put(*publisher, "gone", std::nullopt).ok());
  rewrite();
  EXPECT_EQ(deletions(), 1);
  clock_.Advance(absl::Hours(25));
  rewrite();
  EXPECT_EQ(deletions(), 0);
  auto read = ReadFrom(*broker, {"t", Shard(0)}, StartPosition::AtEarliest());
  for (const Read& record : *read) EXPECT_NE(record.key, "gone");
}

TEST_F(SqliteBrokerTest, ABatchSaysWhetherCompactionTookSomethingOfIt) {
  auto broker = Open();
  auto publisher = OpenPublisher(*broker, {.name = "t", .kind = TopicKind::kEntity});
  auto follower = *broker->OpenReader({});
  ASSERT_TRUE(follower->Start({"t", Shard(0)}, StartPosition::AtEarliest()).ok());
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(Put(*publisher, fmt::format("k{}", i % 10), "v").ok());
    auto delivery = follower->Poll(absl::ZeroDuration());
    ASSERT_TRUE(delivery.ok() && delivery->batch);
    EXPECT_TRUE(delivery->batch->whole);
  }
  for (int i = 0; i < 5000; ++i) {
    std::string key = fmt::format("k{}", i % 10);
    NewRecord record{.key = key, .value = "w"};
    ASSERT_TRUE(publisher->Publish({&record, 1}).ok());
  }
  ASSERT_TRUE(publisher->Flush().ok());
  ASSERT_TRUE(Put(*publisher, "k0", "compacts").ok());
  auto newcomer = *broker->OpenReader({});
  ASSERT_TRUE(newcomer->Start({"t", Shard(0)}, StartPosition::AtEarliest()).ok());
  auto delivery = newcomer->Poll(absl::ZeroDuration());
  ASSERT_TRUE(delivery.ok() && delivery->batch);
  EXPECT_FALSE(delivery->batch->whole);
}

TEST_F(SqliteBrokerTest, GenerationsGoOnAfterARestart) {
  std::vector<std::string> topics = {"t"};
  uint64_t last = 0;
  for (int round = 0; round < 3; ++round) {
    auto broker = Open();
    ASSERT_TRUE(broker->DeclareTopic({.name = "t"}).ok());
    auto member = broker->JoinGroup(topics, {.group = "g"});
    ASSERT_TRUE(member.ok()) << member.status();
    auto delivery = (*member)->Poll(absl::ZeroDuration());
    ASSERT_TRUE(delivery.ok()) << delivery.status();
    ASSERT_EQ(delivery->events.size(), 1u);
    EXPECT_GT(delivery->events[0].generation, last);
    last = delivery->events[0].generation;
  }
}

TEST_F(SqliteBrokerTest, AMemberWithOtherTopicsIsRefused) {
  auto broker = Open();
  ASSERT_TRUE(broker->DeclareTopic({.name = "a"}).ok());
  ASSERT_TRUE(broker->DeclareTopic({.name = "b"}).ok());
  std::vector<std::string> a = {"a"};
  std::vector<std::string> b = {"b"};
  auto first = broker->JoinGroup(a, {.group = "g", .member = "first"});
  ASSERT_TRUE(first.ok()) << first.status();
  absl::Status second = broker->JoinGroup(b, {.group = "g"}).status();
  EXPECT_EQ(second.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(second.message()), HasSubstr("first"));
}

class FaultyDiskTest : public testing::Test {
 protected:
  FaultyDiskTest() {
    absl::StatusOr<std::unique_ptr<Broker>> broker =
        OpenSqliteBroker("/log", {}, clock_, vfs_.name());
    MARQUEE_CHECK(broker.ok());
    broker_ = *std::move(broker);
    MARQUEE_CHECK(broker_->DeclareTopic({.name = "t", .shards = 3}).ok());
    publisher_ = *broker_->OpenPublisher("t");
    MARQUEE_CHECK(Put(*publisher_, "first", "v").ok());
  }

  FaultVfs vfs_{"faulty-disk"};
  ManualClock clock_;
  std::unique_ptr<Broker> broker_;
  std::unique_ptr<Publisher> publisher_;
};

TEST_F(FaultyDiskTest, AFlushIsOneSync) {
  for (int i = 0; i < 20; ++i) {
    uint64_t before = vfs_.syncs();
    ASSERT_TRUE(Put(*publisher_, std::to_string(i), "v").ok());
    EXPECT_EQ(vfs_.syncs() - before, 1u);
  }
  uint64_t before = vfs_.syncs();
  ASSERT_TRUE(publisher_->Flush().ok());
  EXPECT_EQ(vfs_.syncs(), before) << "nothing was published";
}

TEST_F(FaultyDiskTest, ManySmallRowsOfAnEntityTopicBecomeFew) {
  ASSERT_TRUE(broker_->DeclareTopic({.name = "small", .kind = TopicKind::kEntity}).ok());
  auto publisher = *broker_->OpenPublisher("small");
  for (int i = 0; i < 1200; ++i) ASSERT_TRUE(Put(*publisher, fmt::format("k{}", i), "v").ok());
  sqlite::OpenOptions options;
  options.vfs = vfs_.name();
  for (const std::string& file : vfs_.FileNames()) {
    if (!file.starts_with("/log/small.") || !file.ends_with(".db")) continue;
    auto database = sqlite::Database::Open(file, options);
    ASSERT_TRUE(database.ok());
    EXPECT_LT(*database->QueryInt("SELECT count(*) FROM packs"), 400);
  }
  EXPECT_EQ(ReadFrom(*broker_, {"small", Shard(0)}, StartPosition::AtEarliest())->size(), 1200u);
}

TEST_F(FaultyDiskTest, AFullDiskIsSaidAndPublishingGoesOnWhenThereIsRoom) {
  vfs_.FailAfter(Fault::kDiskFull, 0, /*until_healed=*/true);
  for (int i = 0; i < 3; ++i) {
    absl::Status status = Put(*publisher_, "lost", "v");
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("/log/t."));
  }
  vfs_.Heal();
  ASSERT_TRUE(Put(*publisher_, "after", "v").ok());
  size_t records = 0;
  for (uint32_t i = 0; i < 3; ++i)
    records += ReadFrom(*broker_, {"t", Shard(i)}, StartPosition::AtEarliest())->size();
  EXPECT_EQ(records, 2u);
}

TEST_F(FaultyDiskTest, AFailedSyncIsNeverAcknowledged) {
  vfs_.FailAfter(Fault::kSyncError, 0, /*until_healed=*/false);
  EXPECT_FALSE(Put(*publisher_, "doubtful", "v").ok());
  EXPECT_TRUE(Put(*publisher_, "after", "v").ok());
}

TEST_F(FaultyDiskTest, AnErrorOfTheWritingThreadIsToldOnceAndThenItGoesOn) {
  vfs_.FailAfter(Fault::kWriteError, 0, /*until_healed=*/true);
  std::string value(50'000, 'v');
  absl::Status status;
  for (int i = 0; status.ok() && i < 10'000; ++i) {
    std::string key = std::to_string(i);
    NewRecord record{.key = key, .value = value};
    status = publisher_->Publish({&record, 1});
  }
  EXPECT_FALSE(status.ok()) << "the queue is bounded, so the trouble comes up";
  vfs_.Heal();
  EXPECT_TRUE(Put(*publisher_, "after", "v").ok());
}

}  // namespace
}  // namespace marquee::messaging
