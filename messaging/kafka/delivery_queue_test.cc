// What a reader makes of messages, on librdkafka's mock cluster: records and packs, whole and
// damaged, in one topic.
#include "messaging/kafka/delivery_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "messaging/kafka/mock_cluster.h"
#include "messaging/kafka/pack_message.h"
#include "messaging/kafka/publisher.h"

namespace marquee::messaging::kafka {
namespace {

using testing::HasSubstr;

constexpr const char* kTopic = "topic";
constexpr int64_t kNowMs = 1'700'000'000'000;

class SameTopic final : public TopicCheck {
 public:
  absl::Status Check(absl::Duration) override { return absl::OkStatus(); }
  absl::StatusOr<Offset> EndOf(Shard) override { return Offset(0); }
};

std::string PackOf(const std::vector<std::string>& values, size_t filler = 0) {
  PackEncoder encoder;
  for (const std::string& value : values)
    encoder.Add("key", value + std::string(filler, 'x'), {}, kNowMs);
  PackCompressor compressor;
  std::string pack;
  encoder.Finish(compressor, &pack);
  return pack;
}

// As a subscription has it: of each portion its records, and where it ends.
struct Got {
  std::vector<std::string> records;  // "offset key value"
  int64_t next = -1;
  int64_t messages = 0;
  absl::Status damage;
};

class DeliveryQueueTest : public testing::Test {
 protected:
  DeliveryQueueTest() {
    settings_.servers = mock_.servers();
    PublisherOptions options{.topic = {.name = kTopic}, .packs = true};
    publisher_ = std::make_unique<KafkaPublisher>(settings_, std::move(options),
                                                  std::make_unique<SameTopic>(), clock_);
  }

  void Put(std::string_view key, std::string_view value, std::vector<Header> headers = {}) {
    NewRecord record{.key = key, .value = value, .headers = headers};
    ASSERT_TRUE(publisher_->Publish({&record, 1}).ok());
    ++published_;
  }
  void PutPack(std::string_view pack) {
    ASSERT_TRUE(publisher_->PublishPack(Shard(0), absl::FromUnixMillis(kNowMs), pack).ok());
    ++published_;
  }
  // As another program does, which has keys and headers as it likes.
  void PutWithoutKey(std::string_view value, std::string_view header_value = "") {
    rd_kafka_headers_t* headers = rd_kafka_headers_new(1);
    if (!header_value.empty()) {
      rd_kafka_header_add(headers, kPackHeader.name.data(), -1, header_value.data(),
                          static_cast<ssize_t>(header_value.size()));
    }
    ASSERT_EQ(rd_kafka_producev(publisher_->handle(), RD_KAFKA_V_TOPIC(kTopic),
                                RD_KAFKA_V_PARTITION(0), RD_KAFKA_V_HEADERS(headers),
                                RD_KAFKA_V_VALUE(const_cast<char*>(value.data()), value.size()),
                                RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END),
              RD_KAFKA_RESP_ERR_NO_ERROR);
    ++published_;
  }

  // The portions up to the end, or to damage. Of a topic of this kind.
  std::vector<Got> Read(TopicKind kind = TopicKind::kEvent) {
    absl::StatusOr<FlushedThrough> flushed = publisher_->Flush();
    EXPECT_TRUE(flushed.ok()) << flushed.status();
    std::unique_ptr<Fetcher> fetcher = Fetcher::Open(settings_, absl::ZeroDuration()).value();
    EXPECT_TRUE(fetcher->Start({{kTopic, Shard(0)}, kind}, "id", KafkaOffset(0)).ok());
    DeliveryQueue queue(/*headers=*/true);
    std::vector<Got> all;
    int64_t messages = 0;
    absl::Duration give_up = clock_.Uptime() + absl::Seconds(20);
    while (messages < published_ && clock_.Uptime() < give_up) {
      if (queue.empty()) queue.Fill(*fetcher);
      if (queue.empty()) continue;
      const Portion& portion = queue.Pop();
      Unpacked unpacked = queue.Unpack(portion);
      if (portion.messages == 0) continue;
      Got& got = all.emplace_back();
      for (const Record& record : unpacked.records) {
        got.records.push_back(absl::StrCat(record.offset.value(), " ", std::string(record.key), " ",
                                           std::string(record.value.value_or("none"))));
      }
      got.next = unpacked.next->value();
      got.messages = unpacked.messages;
      got.damage = unpacked.damage;
      messages += unpacked.messages;
      if (!unpacked.damage.ok()) break;
    }
    queue.Clear();
    return all;
  }
  // All records of all portions.
  std::vector<std::string> ReadRecords(TopicKind kind = TopicKind::kEvent) {
    std::vector<std::string> records;
    for (const Got& got : Read(kind)) {
      EXPECT_TRUE(got.damage.ok()) << got.damage;
      records.insert(records.end(), got.records.begin(), got.records.end());
    }
    return records;
  }

  SystemClock clock_;
  MockCluster mock_{kTopic, 1};
  KafkaSettings settings_;
  std::unique_ptr<KafkaPublisher> publisher_;
  int64_t published_ = 0;
};

std::string At(int64_t message, int64_t index, std::string_view rest) {
  return absl::StrCat(FirstOffsetOf(message).value() + index, " ", std::string(rest));
}

TEST_F(DeliveryQueueTest, RecordsAndPacksAreReadInTheOrderOfTheirMessages) {
  Put("k", "0");
  PutPack(PackOf({"1", "2", "3"}));
  PutPack(PackOf({"4"}));
  Put("k", "5");
  Put("k", "6");
  PutPack(PackOf({"7", "8"}));
  EXPECT_EQ(ReadRecords(),
            (std::vector<std::string>{At(0, 0, "k 0"), At(1, 0, "key 1"), At(1, 1, "key 2"),
                                      At(1, 2, "key 3"), At(2, 0, "key 4"), At(3, 0, "k 5"),
                                      At(4, 0, "k 6"), At(5, 0, "key 7"), At(5, 1, "key 8")}));
}

TEST_F(DeliveryQueueTest, WhatOnlyLooksLikeAPackIsARecord) {
  std::string pack = PackOf({"1", "2"});
  Put("", pack, {{"other", "1"}});
  Put("", pack, {kPackHeader});  // our own records have a key, if an empty one
  PutWithoutKey(pack);
  PutWithoutKey("no pack");
  EXPECT_EQ(ReadRecords(), (std::vector<std::string>{At(0, 0, " " + pack), At(1, 0, " " + pack),
                                                     At(2, 0, " " + pack), At(3, 0, " no pack")}));
}

TEST_F(DeliveryQueueTest, APackOfAnotherProgramIsRead) {
  Put("k", "makes the client");
  PutWithoutKey(PackOf({"theirs", "too"}), "1");
  EXPECT_EQ(ReadRecords(), (std::vector<std::string>{At(0, 0, "k makes the client"),
                                                     At(1, 0, "key theirs"), At(1, 1, "key too")}));
}

TEST_F(DeliveryQueueTest, APackBearsTheTimeOfItsNewestRecord) {
  PutPack(PackOf({"1"}));
  ASSERT_TRUE(publisher_->Flush().ok());
  std::unique_ptr<Fetcher> fetcher = Fetcher::Open(settings_, absl::ZeroDuration()).value();
  ASSERT_TRUE(fetcher->Start({{kTopic, Shard(0)}}, "id", KafkaOffset(0)).ok());
  rd_kafka_message_t* message = nullptr;
  while (fetcher->Take({&message, 1}) == 0) continue;
  rd_kafka_timestamp_type_t type;
  EXPECT_EQ(rd_kafka_message_timestamp(message, &type), kNowMs);
  EXPECT_EQ(message->key, nullptr);
  rd_kafka_message_destroy(message);
}

TEST_F(DeliveryQueueTest, WhatIsBeforeADamagedPackIsDelivered) {
  PutPack(PackOf({"1", "2"}));
  std::string damaged = PackOf({"3"});
  damaged[damaged.size() / 2] ^= 1;
  PutPack(damaged);
  PutPack(PackOf({"4"}));
  std::vector<Got> got = Read();
  ASSERT_FALSE(got.empty());
  EXPECT_EQ(got[0].records, (std::vector<std::string>{At(0, 0, "key 1"), At(0, 1, "key 2")}));
  EXPECT_EQ(got.back().next, 1);
  EXPECT_EQ(got.back().damage.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(got.back().damage.message()),
              HasSubstr("topic/0 at offset 65536, Kafka's 1"));
  for (const Got& portion : got) {
    for (const std::string& record : portion.records)
      EXPECT_THAT(record, testing::Not(HasSubstr("4")));
  }
}

TEST_F(DeliveryQueueTest, APackOfALaterVersionIsAnErrorThatSaysSo) {
  Put("k", "makes the client");
  PutWithoutKey(PackOf({"1"}), "2");
  std::vector<Got> got = Read();
  EXPECT_EQ(got.back().damage.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(got.back().damage.message()), HasSubstr("marquee-pack: expected 1"));
}

TEST_F(DeliveryQueueTest, APackWithMoreRecordsThanOffsetsIsDamage) {
  std::vector<std::string> values(kPackRecordsMax + 2, "v");
  PutPack(PackOf(values));
  std::vector<Got> got = Read();
  ASSERT_EQ(got.size(), 1u);
  EXPECT_TRUE(got[0].records.empty());
  EXPECT_THAT(std::string(got[0].damage.message()), HasSubstr("beyond the offsets"));
}

TEST_F(DeliveryQueueTest, SmallPacksComeTogetherAndLargeOnesApart) {
  for (int i = 0; i < 50; ++i) PutPack(PackOf({absl::StrCat(i)}));
  // Of the same size, unpacked, though they are small as messages.
  for (int i = 0; i < 4; ++i) PutPack(PackOf({"large"}, kUnpackedBytesMax * 3 / 4));
  std::vector<Got> got = Read();
  int64_t most = 0;
  for (const Got& portion : got) {
    most = std::max(most, portion.messages);
    size_t large = 0;
    for (const std::string& record : portion.records) large += record.size() > 1'000 ? 1 : 0;
    EXPECT_LE(large, 1u);
  }
  EXPECT_GT(most, 10);
}

TEST_F(DeliveryQueueTest, AnEntityTopicsOffsetsAreKafkasAndNothingIsUnpacked) {
  Put("k", "0");
  std::string pack = PackOf({"1", "2"});
  PutWithoutKey(pack, "1");
  EXPECT_EQ(ReadRecords(TopicKind::kEntity), (std::vector<std::string>{"0 k 0", "1  " + pack}));
}

}  // namespace
}  // namespace marquee::messaging::kafka
