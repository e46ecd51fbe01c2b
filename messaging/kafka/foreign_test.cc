// What other programs do to topics on a real cluster: open transactions, partitions that are added,
// records that are cut, configurations that are altered, a node that dies under load.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/random.h"
#include "messaging/kafka/handle.h"
#include "messaging/kafka/kafka_broker.h"
#include "messaging/kafka/test_cluster.h"
#include "messaging/packed_log.h"

namespace marquee::messaging::kafka {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class ForeignTest : public testing::Test {
 protected:
  ForeignTest() : cluster_(TestCluster::NodesWanted()) { broker_ = Open(); }

  std::unique_ptr<Broker> Open(const char* pack = "off") {
    BrokerOptions options{.settings = {{"kafka.pack", pack}}};
    return OpenKafkaBroker(cluster_.url(), options, clock_).value();
  }

  std::string Declare(uint32_t shards) {
    TopicSpec spec{.name = absl::StrCat("foreign-", Random::FromSystem().Next()), .shards = shards};
    absl::Status status = broker_->DeclareTopic(spec).status();
    EXPECT_TRUE(status.ok()) << status;
    return spec.name;
  }
  void Put(const std::string& topic, int first, int last) { Put(*broker_, topic, first, last); }
  void Put(Broker& broker, const std::string& topic, int first, int last) {
    auto publisher = broker.OpenPublisher(topic).value();
    std::vector<std::string> values;
    values.reserve(static_cast<size_t>(last) + 1 - static_cast<size_t>(first));
    for (int i = first; i <= last; ++i) values.push_back(absl::StrCat(i));
    std::vector<NewRecord> records;
    records.reserve(values.size());
    for (const std::string& value : values) {
      records.push_back({.key = "k", .value = value, .headers = {}, .shard = Shard(0)});
    }
    ASSERT_TRUE(publisher->Publish(records).ok());
    absl::Status flushed = publisher->Flush().status();
    ASSERT_TRUE(flushed.ok()) << flushed;
  }
  // The values of shard 0 from its start to its end as it is now, and where they are.
  std::vector<std::string> Read(const std::string& topic) {
    return Read(*broker_, topic, StartPosition::AtEarliest());
  }
  std::vector<std::string> Read(Broker& broker, const std::string& topic,
                                const StartPosition& start,
                                std::vector<Offset>* offsets = nullptr) {
    TopicShard shard{topic, Shard(0)};
    auto reader = broker.OpenReader({}).value();
    absl::Status started = reader->Start(shard, start);
    EXPECT_TRUE(started.ok()) << started;
    Offset end = broker.DescribeShard(shard).value().end;
    std::vector<std::string> values;
    absl::Duration give_up = clock_.Uptime() + absl::Seconds(30);
    while (reader->Next(shard).value() < end && clock_.Uptime() < give_up) {
      absl::StatusOr<Delivery> delivery = reader->Poll(absl::Milliseconds(100));
      if (!delivery.ok()) return {std::string(delivery.status().message())};
      if (!delivery->batch) continue;
      for (const Record& record : delivery->batch->records) {
        values.emplace_back(*record.value);
        if (offsets != nullptr) offsets->push_back(record.offset);
      }
    }
    EXPECT_GE(reader->Next(shard).value(), end) << "read to the end";
    return values;
  }
  // Polls until an error comes.
  absl::Status ErrorOf(Subscription& subscription) {
    absl::Duration give_up = clock_.Uptime() + absl::Seconds(30);
    while (clock_.Uptime() < give_up) {
      absl::Status status = subscription.Poll(absl::Milliseconds(50)).status();
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }
  // Declares until the error says so: a broker may know of what another was told a moment later.
  bool TellsOf(const std::string& topic, std::string_view text) {
    absl::Duration give_up = clock_.Uptime() + absl::Seconds(30);
    while (clock_.Uptime() < give_up) {
      absl::Status status = broker_->DeclareTopic({.name = topic, .shards = 1}).status();
      if (absl::IsFailedPrecondition(status) &&
          status.message().find({text.data(), text.size()}) != absl::string_view::npos) {
        return true;
      }
    }
    return false;
  }
  std::string Servers() const { return cluster_.url().substr(std::string("kafka://").size()); }

  SystemClock clock_;
  TestCluster cluster_;
  std::unique_ptr<Broker> broker_;
};

TEST_F(ForeignTest, PacksMayBeSwitchedOnAndOffWhileATopicLives) {
  std::string topic = Declare(1);
  auto packing = Open("on");
  std::vector<std::string> published;
  for (int i = 0; i < 60; i += 10) {
    Put(i % 20 == 0 ? *broker_ : *packing, topic, i, i + 9);
    for (int j = i; j < i + 10; ++j) published.push_back(absl::StrCat(j));
  }
  std::vector<Offset> offsets;
  EXPECT_EQ(Read(*broker_, topic, StartPosition::AtEarliest(), &offsets), published);
  EXPECT_EQ(offsets[9], FirstOffsetOf(9)) << "one by one";
  EXPECT_EQ(offsets[19], Offset(FirstOffsetOf(10).value() + 9)) << "in one pack";
  EXPECT_EQ(broker_->DescribeShard({topic, Shard(0)}).value().end, FirstOffsetOf(33));
  TopicIdentity identity = broker_->DescribeTopic(topic).value().identity;
  for (size_t from : {5, 10, 15, 19, 20, 39, 59}) {
    std::vector<std::string> rest(published.begin() + static_cast<ptrdiff_t>(from),
                                  published.end());
    StartPosition start = StartPosition::At({identity, offsets[from]});
    EXPECT_EQ(Read(*broker_, topic, start), rest) << "from " << from;
    EXPECT_EQ(Read(*packing, topic, start), rest) << "from " << from;
  }
}

// A producer of somebody else's, with transactions.
class Transactor {
 public:
  explicit Transactor(const std::string& servers) {
    char text[256];
    rd_kafka_conf_t* conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", servers.c_str(), text, sizeof text);
    rd_kafka_conf_set(conf, "transactional.id", "foreign", text, sizeof text);
    handle_ = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    Check(rd_kafka_init_transactions(handle_, 20'000));
  }
  ~Transactor() { rd_kafka_destroy(handle_); }
  void Begin(const std::string& topic, const char* value) {
    Check(rd_kafka_begin_transaction(handle_));
    EXPECT_EQ(rd_kafka_producev(handle_, RD_KAFKA_V_TOPIC(topic.c_str()), RD_KAFKA_V_PARTITION(0),
                                RD_KAFKA_V_VALUE(const_cast<char*>(value), strlen(value)),
                                RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END),
              RD_KAFKA_RESP_ERR_NO_ERROR);
    EXPECT_EQ(rd_kafka_flush(handle_, 20'000), RD_KAFKA_RESP_ERR_NO_ERROR);
  }
  void Abort() { Check(rd_kafka_abort_transaction(handle_, 20'000)); }

 private:
  static void Check(rd_kafka_error_t* error) {
    EXPECT_EQ(error, nullptr) << rd_kafka_error_string(error);
    if (error != nullptr) rd_kafka_error_destroy(error);
  }
  rd_kafka_t* handle_;
};

TEST_F(ForeignTest, AnOpenTransactionHoldsNobodyUp) {
  std::string topic = Declare(1);
  Put(topic, 1, 2);
  Transactor transactor(Servers());
  transactor.Begin(topic, "theirs");
  Put(topic, 3, 4);
  EXPECT_EQ(Read(topic), (std::vector<std::string>{"1", "2", "theirs", "3", "4"}));
  transactor.Abort();
  // The last offset is a marker's now, which is no record.
  EXPECT_EQ(Read(topic).size(), 5u);
}

// An administrator's client.
class Administrator {
 public:
  explicit Administrator(const std::string& servers) {
    char text[256];
    rd_kafka_conf_t* conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", servers.c_str(), text, sizeof text);
    handle_ = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    queue_ = rd_kafka_queue_new(handle_);
  }
  ~Administrator() {
    rd_kafka_queue_destroy(queue_);
    rd_kafka_destroy(handle_);
  }
  // As kafka-delete-records does.
  void CutBelow(const std::string& topic, int64_t offset) {
    PartitionsPtr list(rd_kafka_topic_partition_list_new(1));
    rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), 0)->offset = offset;
    rd_kafka_DeleteRecords_t* records = rd_kafka_DeleteRecords_new(list.get());
    rd_kafka_DeleteRecords(handle_, &records, 1, nullptr, queue_);
    rd_kafka_DeleteRecords_destroy(records);
    Await();
  }
  void Alter(const std::string& topic, const char* name, const char* value) {
    rd_kafka_ConfigResource_t* resource =
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic.c_str());
    ErrorPtr error(rd_kafka_ConfigResource_add_incremental_config(
        resource, name, RD_KAFKA_ALTER_CONFIG_OP_TYPE_SET, value));
    EXPECT_EQ(error, nullptr);
    rd_kafka_IncrementalAlterConfigs(handle_, &resource, 1, nullptr, queue_);
    rd_kafka_ConfigResource_destroy(resource);
    Await();
  }

 private:
  void Await() {
    EventPtr event(rd_kafka_queue_poll(queue_, 20'000));
    ASSERT_NE(event, nullptr);
    EXPECT_EQ(rd_kafka_event_error(event.get()), RD_KAFKA_RESP_ERR_NO_ERROR)
        << rd_kafka_event_error_string(event.get());
  }
  rd_kafka_t* handle_;
  rd_kafka_queue_t* queue_;
};

TEST_F(ForeignTest, RecordsThatWereCutAreAGapThatIsNamed) {
  std::string topic = Declare(1);
  Put(topic, 1, 10);
  TopicShard shard{topic, Shard(0)};
  TopicIdentity identity = broker_->DescribeTopic(topic).value().identity;
  auto reader = broker_->OpenReader({}).value();
  ASSERT_TRUE(reader->Start(shard, StartPosition::At({identity, FirstOffsetOf(2)})).ok());
  Administrator(Servers()).CutBelow(topic, 5);
  absl::Status status = ErrorOf(*reader);
  EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange) << status;
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("offsets 131072 to 327679 were dropped"),
                    HasSubstr("begins at 327680 (Kafka's 5)")));
  status = reader->Start(shard, StartPosition::At({identity, FirstOffsetOf(2)}));
  EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange) << status;
  EXPECT_EQ(Read(topic), (std::vector<std::string>{"6", "7", "8", "9", "10"}));
}

TEST_F(ForeignTest, ATopicKeptForEverMayNotLoseRecordsForTheirSize) {
  std::string topic = Declare(1);
  Administrator(Servers()).Alter(topic, "retention.bytes", "1000000");
  EXPECT_TRUE(TellsOf(topic, "expected retention.bytes=-1, found 1000000"));
}

TEST_F(ForeignTest, PartitionsThatAreAddedAreAnError) {
  std::string topic = Declare(2);
  auto reader = broker_->OpenReader({}).value();
  ASSERT_TRUE(reader->Start({topic, Shard(0)}, StartPosition::AtEarliest()).ok());
  std::string topics[] = {topic};
  auto member = broker_->JoinGroup(topics, {.group = "g-" + topic, .member = "m"}).value();
  cluster_.Tool({"TopicCommand", "--alter", "--topic", topic, "--partitions", "3"});
  for (Subscription* subscription : {reader.get(), member.get()}) {
    absl::Status status = ErrorOf(*subscription);
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()), HasSubstr("expected 2 shards, found 3"));
  }
  EXPECT_EQ(broker_->DeclareTopic({.name = topic, .shards = 2}).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(ForeignTest, ATopicThatIsMadeAgainAndFilledBeyondIsToldToItsReader) {
  std::string topic = Declare(1);
  Put(topic, 1, 10);
  auto reader = broker_->OpenReader({}).value();
  ASSERT_TRUE(reader->Start({topic, Shard(0)}, StartPosition::AtEarliest()).ok());
  while (reader->Next({topic, Shard(0)}).value() < FirstOffsetOf(10))
    ASSERT_TRUE(reader->Poll(absl::Milliseconds(50)).ok());
  auto elsewhere = Open();
  ASSERT_TRUE(elsewhere->DeleteTopic(topic).ok());
  ASSERT_TRUE(elsewhere->DeclareTopic({.name = topic, .shards = 1}).ok());
  absl::Status status = ErrorOf(*reader);
  EXPECT_TRUE(status.code() == absl::StatusCode::kFailedPrecondition ||
              status.code() == absl::StatusCode::kNotFound)
      << status;
}

TEST_F(ForeignTest, ANodeThatIsKilledUnderLoadLosesNothing) {
  std::string topic = Declare(1);
  auto publisher = broker_->OpenPublisher(topic).value();
  std::atomic<bool> stop = false;
  std::thread killing([&] {
    for (int i = 0; i < 2; ++i) cluster_.Restart();
    stop = true;
  });
  int published = 0;
  absl::Status status;
  while (!stop && status.ok()) {
    for (int i = 0; i < 500 && status.ok(); ++i) {
      std::string value = absl::StrCat(++published);
      NewRecord record{.key = value, .value = value};
      status = publisher->Publish({&record, 1});
    }
    if (status.ok()) status = publisher->Flush().status();
  }
  killing.join();
  ASSERT_TRUE(status.ok()) << status;
  std::vector<std::string> values = Read(topic);
  ASSERT_EQ(values.size(), static_cast<size_t>(published)) << "no gap, and none twice";
  for (int i = 0; i < published; ++i) ASSERT_EQ(values[i], absl::StrCat(i + 1)) << "in order";
}

}  // namespace
}  // namespace marquee::messaging::kafka
