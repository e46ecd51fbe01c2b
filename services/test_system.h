// For the tests of services: a system on the memory backend with a clock that stands still, a
// folder for inputs, and the services of one process each, turned until nothing is left to do.
#ifndef MARQUEE_SERVICES_TEST_SYSTEM_H_
#define MARQUEE_SERVICES_TEST_SYSTEM_H_

#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "catalogue/sqlite/sqlite_catalogue.h"
#include "gtest/gtest.h"
#include "messaging/memory/memory_broker.h"
#include "services/file_rating_producer.h"
#include "services/live_rating_producer.h"
#include "services/mean_rating_producer.h"
#include "services/movie_data_producer.h"
#include "services/movie_data_sink.h"
#include "services/system.h"
#include "services/topic_reading.h"

namespace marquee::services {

class TestSystem : public testing::Test {
 protected:
  TestSystem() : metrics_("test"), random_(42) {
    messaging::MemoryWorldOptions calm;
    calm.repeat_one_in = calm.empty_poll_one_in = calm.early_store_one_in = 0;
    calm.together_bytes_max = size_t{1} << 20;
    server_ = std::make_shared<messaging::MemoryWorld>(calm, clock_);
    broker_ = Connect();
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = std::filesystem::path(testing::TempDir()) /
              (std::string("marquee-") + test->test_suite_name() + "-" + test->name());
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  ~TestSystem() override {
    broker_.reset();
    std::filesystem::remove_all(folder_);
  }

  std::unique_ptr<messaging::MemoryBroker> Connect() {
    auto broker = messaging::OpenMemoryBroker(server_, {}, clock_);
    MARQUEE_CHECK(broker.ok());
    return *std::move(broker);
  }

  void OpenTheSystem(const RulesWish& wish = {.shards = 2}) {
    absl::StatusOr<System> system = OpenSystem(*broker_, Topics(), wish, random_);
    ASSERT_TRUE(system.ok()) << system.status();
    rules_ = system->rules;
  }

  World TheWorld(messaging::Broker& broker) {
    return World{.broker = broker,
                 .clock = clock_,
                 .random = random_,
                 .metrics = metrics_,
                 .topics = Topics(),
                 .rules = rules_,
                 .instance = "test"};
  }
  World TheWorld() { return TheWorld(*broker_); }

  std::string Write(const std::string& name, std::string_view text) {
    std::filesystem::path path = folder_ / name;
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }
  void Append(const std::string& name, std::string_view text) {
    std::ofstream(folder_ / name, std::ios::binary | std::ios::app) << text;
  }

  // Turns the service until it has finished or is idle for a while; the error that ended it
  // otherwise.
  absl::Status Turn(Service& service) {
    int idle = 0;
    for (int i = 0; i < 10'000 && idle < 20; ++i) {
      MARQUEE_ASSIGN_OR_RETURN(services::Turn turn, service.Step(absl::ZeroDuration()));
      if (turn == services::Turn::kFinished) return service.Drain();
      idle = turn == services::Turn::kIdle ? idle + 1 : 0;
      clock_.Advance(absl::Milliseconds(5));
    }
    return absl::OkStatus();
  }

  // Publishes a file from start to end in a process of its own.
  absl::Status PublishRatings(const FileRatingProducerOptions& options) {
    MARQUEE_ASSIGN_OR_RETURN(auto producer,
                             FileRatingProducer::Open(TheWorld(), options, progress_));
    return Turn(*producer);
  }

  // Everything in a shard-by-shard topic, as (key, value).
  std::vector<std::pair<std::string, std::string>> ReadAll(const std::string& topic) {
    std::vector<std::pair<std::string, std::string>> records;
    auto info = broker_->DescribeTopic(topic);
    EXPECT_TRUE(info.ok()) << info.status();
    for (uint32_t i = 0; info.ok() && i < info->spec.shards; ++i) {
      absl::Status status =
          ReadShard(*broker_, {topic, messaging::Shard(i)}, [&](const messaging::Record& record) {
            if (record.value)
              records.emplace_back(std::string(record.key), std::string(*record.value));
            return absl::OkStatus();
          });
      EXPECT_TRUE(status.ok()) << status;
    }
    return records;
  }

  // The system's answer: means and movies of everything that is in the topics now.
  std::map<uint64_t, catalogue::Entry> Catalogue(const std::string& name = "catalogue.db") {
    auto means = MeanRatingProducer::Open(TheWorld(), {});
    EXPECT_TRUE(means.ok()) << means.status();
    EXPECT_TRUE(Turn(**means).ok());
    EXPECT_TRUE((*means)->Drain().ok());
    catalogue_ = *catalogue::OpenSqliteCatalogue({.path = folder_ / name});
    auto sink = MovieDataSink::Open(TheWorld(), {}, *catalogue_, visibility_);
    EXPECT_TRUE(sink.ok()) << sink.status();
    EXPECT_TRUE(Turn(**sink).ok());
    EXPECT_TRUE((*sink)->Drain().ok());
    std::map<uint64_t, catalogue::Entry> entries;
    auto reader = catalogue_->OpenReader();
    EXPECT_TRUE(
        (*reader)
            ->ForEach([&](const catalogue::Entry& entry) { entries[entry.id.value()] = entry; })
            .ok());
    return entries;
  }

  ManualClock clock_;
  Metrics metrics_;
  Random random_;
  std::filesystem::path folder_;
  std::shared_ptr<messaging::MemoryWorld> server_;
  std::unique_ptr<messaging::MemoryBroker> broker_;
  domain::Rules rules_;
  FileProgress progress_;
  http::Visibility visibility_;
  std::unique_ptr<catalogue::Catalogue> catalogue_;
};

}  // namespace marquee::services

#endif  // MARQUEE_SERVICES_TEST_SYSTEM_H_
