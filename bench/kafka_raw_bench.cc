// What librdkafka alone does with the messages of a topic, beside which script/bench --broker kafka
// sets ours:
//
//   kafka_raw_bench produce SERVERS TOPIC COUNT TO    the first COUNT messages of TOPIC into the
//   empty
//                                                     topic TO: each to its partition, idempotent,
//                                                     acks=all
//   kafka_raw_bench consume SERVERS TOPIC COUNT       reads so many of them, in batches
//   kafka_raw_bench latency SERVERS TOPIC SECONDS RATE
//                                                     publishes RATE messages a second and reads
//                                                     them in another thread: from when each was
//                                                     due until it is read; the first second is not
//                                                     counted
//
// The same compression, checksums and buffers as messaging/kafka has.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "bench/latency.h"
#include "bench/measure.h"
#include "librdkafka/rdkafka.h"

namespace marquee::bench {
namespace {

constexpr int kTimeoutMs = 60'000;
constexpr size_t kBatchMax = 10'000;

using Config = std::map<std::string, std::string>;

struct Destroy {
  void operator()(rd_kafka_t* handle) const { rd_kafka_destroy(handle); }
  void operator()(rd_kafka_topic_t* topic) const { rd_kafka_topic_destroy(topic); }
  void operator()(rd_kafka_queue_t* queue) const { rd_kafka_queue_destroy(queue); }
};
using Handle = std::unique_ptr<rd_kafka_t, Destroy>;
using Topic = std::unique_ptr<rd_kafka_topic_t, Destroy>;
using Queue = std::unique_ptr<rd_kafka_queue_t, Destroy>;

void Check(rd_kafka_resp_err_t error, const char* what) {
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
    Fail(fmt::format("{}: {}", what, rd_kafka_err2str(error)));
  }
}

// Messages that could not be delivered.
std::atomic<int64_t> undelivered{0};

void OnDelivered(rd_kafka_t*, const rd_kafka_message_t* message, void*) {
  if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) ++undelivered;
}

Handle Open(rd_kafka_type_t type, const Config& config) {
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  char text[512];
  for (const auto& [name, value] : config) {
    if (rd_kafka_conf_set(conf, name.c_str(), value.c_str(), text, sizeof(text)) !=
        RD_KAFKA_CONF_OK) {
      Fail(text);
    }
  }
  if (type == RD_KAFKA_PRODUCER) rd_kafka_conf_set_dr_msg_cb(conf, OnDelivered);
  rd_kafka_t* handle = rd_kafka_new(type, conf, text, sizeof(text));
  if (handle == nullptr) Fail(text);
  return Handle(handle);
}

Handle OpenProducer(const std::string& servers, const char* linger_ms) {
  return Open(RD_KAFKA_PRODUCER, {{"bootstrap.servers", servers},
                                  {"enable.idempotence", "true"},
                                  {"acks", "all"},
                                  {"compression.codec", "lz4"},
                                  {"linger.ms", linger_ms},
                                  {"queue.buffering.max.messages", "1000000"},
                                  {"queue.buffering.max.kbytes", "65536"},
                                  {"delivery.report.only.error", "true"}});
}

Handle OpenConsumer(const std::string& servers) {
  return Open(RD_KAFKA_CONSUMER, {{"bootstrap.servers", servers},
                                  {"group.id", "kafka_raw_bench"},
                                  {"enable.auto.commit", "false"},
                                  {"auto.offset.reset", "error"},
                                  {"check.crcs", "true"},
                                  {"fetch.queue.backoff.ms", "10"},
                                  {"queued.min.messages", "1000000"}});
}

int Partitions(rd_kafka_t* handle, const std::string& name) {
  Topic topic(rd_kafka_topic_new(handle, name.c_str(), nullptr));
  const rd_kafka_metadata_t* metadata = nullptr;
  Check(rd_kafka_metadata(handle, 0, topic.get(), &metadata, kTimeoutMs), "metadata");
  int count = metadata->topic_cnt == 1 ? metadata->topics[0].partition_cnt : 0;
  rd_kafka_metadata_destroy(metadata);
  if (count == 0) Fail(fmt::format("no topic {}", name));
  return count;
}

// Every partition from `offset` on.
void Assign(rd_kafka_t* handle, const std::string& topic, int64_t offset) {
  int count = Partitions(handle, topic);
  rd_kafka_topic_partition_list_t* list = rd_kafka_topic_partition_list_new(count);
  for (int i = 0; i < count; ++i)
    rd_kafka_topic_partition_list_add(list, topic.c_str(), i)->offset = offset;
  Check(rd_kafka_assign(handle, list), "assign");
  rd_kafka_topic_partition_list_destroy(list);
}

// Hands each message to `take` until it returns false. In batches a message waits until the batch
// is full or its time is over: that is for reading much.
template <typename Take>
void ConsumeInBatches(rd_kafka_t* handle, Take take) {
  Queue queue(rd_kafka_queue_get_consumer(handle));
  std::vector<rd_kafka_message_t*> messages(kBatchMax);
  bool more = true;
  int64_t heard_ns = NowNs();
  while (more) {
    ssize_t count = rd_kafka_consume_batch_queue(queue.get(), 100, messages.data(), kBatchMax);
    if (count > 0) heard_ns = NowNs();
    if (NowNs() - heard_ns > int64_t{kTimeoutMs} * 1'000'000) Fail("no message for 60 s");
    for (ssize_t i = 0; i < count; ++i) {
      if (messages[i]->err != RD_KAFKA_RESP_ERR_NO_ERROR)
        Fail(rd_kafka_message_errstr(messages[i]));
      more = more && take(*messages[i]);
      rd_kafka_message_destroy(messages[i]);
    }
  }
}

// The same, each message as soon as it comes.
template <typename Take>
void ConsumeAtOnce(rd_kafka_t* handle, Take take) {
  bool more = true;
  while (more) {
    rd_kafka_message_t* message = rd_kafka_consumer_poll(handle, kTimeoutMs);
    if (message == nullptr) Fail("no message for 60 s");
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) Fail(rd_kafka_message_errstr(message));
    more = take(*message);
    rd_kafka_message_destroy(message);
  }
}

struct Copy {
  int32_t partition;
  uint32_t key_bytes;
  uint32_t value_bytes;
  size_t at;  // of the key, with the value behind it
};

struct Messages {
  std::vector<Copy> copies;
  std::string bytes;
};

Messages Read(const std::string& servers, const std::string& topic, int64_t count) {
  Handle consumer = OpenConsumer(servers);
  Assign(consumer.get(), topic, RD_KAFKA_OFFSET_BEGINNING);
  Messages read;
  ConsumeInBatches(consumer.get(), [&](const rd_kafka_message_t& message) {
    read.copies.push_back({message.partition, static_cast<uint32_t>(message.key_len),
                           static_cast<uint32_t>(message.len), read.bytes.size()});
    read.bytes.append(static_cast<const char*>(message.key), message.key_len);
    read.bytes.append(static_cast<const char*>(message.payload), message.len);
    return static_cast<int64_t>(read.copies.size()) < count;
  });
  return read;
}

// Waits where the queue is full.
void Produce(rd_kafka_t* handle, rd_kafka_topic_t* topic, int32_t partition, std::string_view key,
             std::string_view value) {
  while (rd_kafka_produce(topic, partition, RD_KAFKA_MSG_F_COPY, const_cast<char*>(value.data()),
                          value.size(), key.data(), key.size(), nullptr) != 0) {
    if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL)
      Check(rd_kafka_last_error(), "produce");
    rd_kafka_poll(handle, 10);
  }
}

void BenchProduce(const std::string& servers, const std::string& from, int64_t count,
                  const std::string& to) {
  Messages messages = Read(servers, from, count);
  Handle producer = OpenProducer(servers, "20");
  Topic topic(rd_kafka_topic_new(producer.get(), to.c_str(), nullptr));
  if (Partitions(producer.get(), to) != Partitions(producer.get(), from))
    Fail("the topics have different numbers of partitions");
  int64_t begin_ns = NowNs();
  for (const Copy& copy : messages.copies) {
    const char* at = messages.bytes.data() + copy.at;
    Produce(producer.get(), topic.get(), copy.partition, {at, copy.key_bytes},
            {at + copy.key_bytes, copy.value_bytes});
    rd_kafka_poll(producer.get(), 0);
  }
  Check(rd_kafka_flush(producer.get(), kTimeoutMs), "flush");
  double seconds = static_cast<double>(NowNs() - begin_ns) / 1e9;
  if (undelivered > 0) Fail(fmt::format("{} messages were not delivered", undelivered.load()));
  fmt::print("{{\"seconds\":{:.6f},\"messages\":{},\"bytes\":{}}}\n", seconds,
             messages.copies.size(), messages.bytes.size());
}

void BenchConsume(const std::string& servers, const std::string& topic, int64_t count) {
  int64_t begin_ns = NowNs();
  Handle consumer = OpenConsumer(servers);
  Assign(consumer.get(), topic, RD_KAFKA_OFFSET_BEGINNING);
  int64_t read = 0;
  int64_t bytes = 0;
  ConsumeInBatches(consumer.get(), [&](const rd_kafka_message_t& message) {
    bytes += static_cast<int64_t>(message.key_len + message.len);
    return ++read < count;
  });
  double seconds = static_cast<double>(NowNs() - begin_ns) / 1e9;
  fmt::print("{{\"seconds\":{:.6f},\"messages\":{},\"bytes\":{}}}\n", seconds, read, bytes);
}

void BenchLatency(const std::string& servers, const std::string& to, int64_t seconds,
                  int64_t rate) {
  LatencyTrial trial(seconds, rate);
  Handle producer = OpenProducer(servers, "0");
  Topic topic(rd_kafka_topic_new(producer.get(), to.c_str(), nullptr));
  const int partitions = Partitions(producer.get(), to);
  Handle consumer = OpenConsumer(servers);
  Assign(consumer.get(), to, RD_KAFKA_OFFSET_END);
  std::thread reading([&] {
    ConsumeAtOnce(consumer.get(), [&](const rd_kafka_message_t& message) {
      return trial.Take({static_cast<const char*>(message.payload), message.len});
    });
  });
  trial.Publish(
      [&](int64_t number, std::string_view value) {
        auto partition = static_cast<int32_t>(std::abs(number) % partitions);
        Produce(producer.get(), topic.get(), partition, kLatencyKey, value);
        rd_kafka_poll(producer.get(), 0);
      },
      [](int64_t ns) { SleepUntilNs(NowNs() + ns); });
  Check(rd_kafka_flush(producer.get(), kTimeoutMs), "flush");
  reading.join();
  trial.Print();
}

}  // namespace
}  // namespace marquee::bench

int main(int argc, char** argv) {
  using namespace marquee::bench;  // NOLINT: a program, not a header
  std::string_view what = argc > 1 ? argv[1] : "";
  constexpr int64_t kCountMax = 100'000'000;
  if (what == "produce" && argc == 6) {
    BenchProduce(argv[2], argv[3], NumberArgument("COUNT", argv[4], 1, kCountMax), argv[5]);
  } else if (what == "consume" && argc == 5) {
    BenchConsume(argv[2], argv[3], NumberArgument("COUNT", argv[4], 1, kCountMax));
  } else if (what == "latency" && argc == 6) {
    BenchLatency(argv[2], argv[3], NumberArgument("SECONDS", argv[4], 1, 3600),
                 NumberArgument("RATE", argv[5], 1, 1'000'000));
  } else {
    Fail("usage: kafka_raw_bench produce|consume|latency SERVERS TOPIC …, as its first lines say");
  }
}
