// The publisher on librdkafka's mock cluster, which can be told to fail in ways that a real broker
// seldom does.
#include "messaging/kafka/publisher.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "messaging/kafka/fetcher.h"
#include "messaging/kafka/mock_cluster.h"

namespace marquee::messaging::kafka {
namespace {

constexpr int16_t kProduceRequest = 0;
constexpr const char* kTopic = "topic";

// The topic is what it was; `status` may say otherwise.
class FakeCheck final : public TopicCheck {
 public:
  explicit FakeCheck(absl::Status* status) : status_(status) {}
  absl::Status Check(absl::Duration) override { return *status_; }
  absl::StatusOr<Offset> EndOf(Shard) override { return Offset(1'000'000); }

 private:
  absl::Status* const status_;
};

class PublisherTest : public testing::Test {
 protected:
  PublisherTest() {
    settings_.servers = mock_.servers();
    Open(absl::Seconds(20));
  }
  void Open(absl::Duration deadline) {
    PublisherOptions options{.topic = {.name = kTopic, .shards = 2}, .deadline = deadline};
    publisher_ = std::make_unique<KafkaPublisher>(settings_, std::move(options),
                                                  std::make_unique<FakeCheck>(&check_), clock_);
  }
  absl::Status Put(const std::string& value) {
    NewRecord record{.key = "k", .value = value, .headers = {}, .shard = Shard(1)};
    return publisher_->Publish({&record, 1});
  }
  void Fail(rd_kafka_resp_err_t error, int times) {
    std::vector<rd_kafka_resp_err_t> errors(static_cast<size_t>(times), error);
    rd_kafka_mock_push_request_errors_array(mock_.get(), kProduceRequest, errors.size(),
                                            errors.data());
  }
  size_t ProduceRequests() {
    size_t all = 0, produce = 0;
    rd_kafka_mock_request_t** requests = rd_kafka_mock_get_requests(mock_.get(), &all);
    for (size_t i = 0; i < all; ++i) {
      if (rd_kafka_mock_request_api_key(requests[i]) == kProduceRequest) ++produce;
    }
    rd_kafka_mock_request_destroy_array(requests, all);
    return produce;
  }
  // The values in shard 1, in order.
  std::vector<std::string> Stored(size_t count) {
    std::unique_ptr<Fetcher> fetcher = Fetcher::Open(settings_, absl::ZeroDuration()).value();
    EXPECT_TRUE(fetcher->Start({{kTopic, Shard(1)}, TopicKind::kEvent}, "id", KafkaOffset(0)).ok());
    std::vector<std::string> values;
    absl::Duration give_up = clock_.Uptime() + absl::Seconds(20);
    while (values.size() < count && clock_.Uptime() < give_up) {
      rd_kafka_message_t* messages[100];
      size_t taken = fetcher->Take(messages);
      for (size_t i = 0; i < taken; ++i) {
        if (messages[i]->err == RD_KAFKA_RESP_ERR_NO_ERROR)
          values.emplace_back(static_cast<const char*>(messages[i]->payload), messages[i]->len);
        rd_kafka_message_destroy(messages[i]);
      }
    }
    return values;
  }

  SystemClock clock_;
  absl::Status check_;
  MockCluster mock_{kTopic, 2};
  KafkaSettings settings_;
  std::unique_ptr<KafkaPublisher> publisher_;
};

TEST_F(PublisherTest, AnErrorThatMayPassIsTriedAgain) {
  ASSERT_TRUE(Put("first").ok());
  ASSERT_TRUE(publisher_->Flush().ok());
  Fail(RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, 3);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(Put(absl::StrCat(i)).ok());
  absl::StatusOr<FlushedThrough> through = publisher_->Flush();
  ASSERT_TRUE(through.ok()) << through.status();
  EXPECT_EQ(through->at(Shard(1)), FirstOffsetOf(11));
  EXPECT_EQ(Stored(11)[10], "9");
}

// Publishes two records, each in a batch of its own, while the broker has not answered the first,
// which it will refuse as one that is not the leader yet.
TEST_F(PublisherTest, AFirstRecordThatIsRefusedIsNotTakenForStoredWithTheSecond) {
  settings_.linger_ms = 0;
  Open(absl::Seconds(20));
  rd_kafka_mock_broker_set_rtt(mock_.get(), 1, 200);
  rd_kafka_mock_start_request_tracking(mock_.get());
  Fail(RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, 1);
  ASSERT_TRUE(Put("first").ok());
  while (ProduceRequests() == 0) clock_.SleepFor(absl::Milliseconds(1));
  ASSERT_TRUE(Put("second").ok());
  absl::StatusOr<FlushedThrough> through = publisher_->Flush();
  ASSERT_TRUE(through.ok()) << through.status();
  rd_kafka_mock_broker_set_rtt(mock_.get(), 1, 0);
  EXPECT_EQ(Stored(2), (std::vector<std::string>{"first", "second"}));
}

TEST_F(PublisherTest, ARefusedRecordFailsTheFlushAndThePublisherGoesOn) {
  Fail(RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, 1);
  absl::Status status = Put("refused");
  if (status.ok()) status = publisher_->Flush().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  EXPECT_TRUE(publisher_->Flush().ok()) << "nothing is left of it";
  ASSERT_TRUE(Put("again").ok());
  ASSERT_TRUE(publisher_->Flush().ok());
  EXPECT_EQ(Stored(1), std::vector<std::string>{"again"});
}

TEST_F(PublisherTest, ARefusalAmidOthersIsNotLeftOutSilently) {
  ASSERT_TRUE(Put("before").ok());
  ASSERT_TRUE(publisher_->Flush().ok());
  Fail(RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, 1);
  absl::Status status;
  for (int i = 0; i < 1'000 && status.ok(); ++i) status = Put(absl::StrCat(i));
  if (status.ok()) status = publisher_->Flush().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  ASSERT_TRUE(Put("after").ok());
  ASSERT_TRUE(publisher_->Flush().ok());
  std::vector<std::string> stored = Stored(2);
  ASSERT_GE(stored.size(), 2u);
  EXPECT_EQ(stored.front(), "before");
}

TEST_F(PublisherTest, AFatalErrorOfTheProducerIsToldAndANewOneGoesOn) {
  ASSERT_TRUE(Put("before").ok());
  ASSERT_TRUE(publisher_->Flush().ok());
  ASSERT_EQ(rd_kafka_test_fatal_error(publisher_->handle(),
                                      RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, "for a test"),
            RD_KAFKA_RESP_ERR_NO_ERROR);
  absl::Status status = Put("lost");
  if (status.ok()) status = publisher_->Flush().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  ASSERT_TRUE(Put("after").ok());
  absl::StatusOr<FlushedThrough> through = publisher_->Flush();
  ASSERT_TRUE(through.ok()) << through.status();
  EXPECT_EQ(Stored(2), (std::vector<std::string>{"before", "after"}));
}

TEST_F(PublisherTest, WhatWasGivenUpAtTheDeadlineIsNotSentLater) {
  Open(absl::Milliseconds(300));
  ASSERT_TRUE(Put("before").ok());
  ASSERT_TRUE(publisher_->Flush().ok());
  rd_kafka_mock_broker_set_down(mock_.get(), 1);
  absl::Status status = Put("given up");
  if (status.ok()) status = publisher_->Flush().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
  rd_kafka_mock_broker_set_up(mock_.get(), 1);
  Open(absl::Seconds(20));
  ASSERT_TRUE(Put("after").ok());
  ASSERT_TRUE(publisher_->Flush().ok());
  EXPECT_EQ(Stored(2), (std::vector<std::string>{"before", "after"}));
}

TEST_F(PublisherTest, ATopicThatIsAnotherByNowGetsNothing) {
  ASSERT_TRUE(Put("before").ok());
  ASSERT_TRUE(publisher_->Flush().ok());
  check_ = absl::FailedPreconditionError("another");
  clock_.SleepFor(absl::Milliseconds(150));  // its identity is looked at again after 100 ms
  EXPECT_EQ(Put("after").code(), absl::StatusCode::kFailedPrecondition);
  check_ = absl::OkStatus();
  ASSERT_TRUE(publisher_->Flush().ok());
  EXPECT_EQ(Stored(1), std::vector<std::string>{"before"});
}

}  // namespace
}  // namespace marquee::messaging::kafka
