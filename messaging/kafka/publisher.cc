#include "messaging/kafka/publisher.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/status.h"
#include "messaging/checks.h"
#include "messaging/kafka/errors.h"
#include "messaging/kafka/kafka_offset.h"
#include "messaging/kafka/pack_message.h"

namespace marquee::messaging::kafka {
namespace {

// A topic that was looked at this long ago is looked at again before more is published.
constexpr absl::Duration kVerifiedFor = absl::Milliseconds(100);
// And this often while an answer is waited for.
constexpr absl::Duration kVerifyWhileWaiting = absl::Seconds(1);
// What is in flight when all is given up may arrive for this long.
constexpr absl::Duration kInFlightGrace = absl::Milliseconds(500);
// A clock that is this near is the one that librdkafka looks at, too.
constexpr absl::Duration kSameTime = absl::Seconds(1);
// A broker forgets a producer that is silent for a day (producer.id.expiration.ms), or for less.
constexpr absl::Duration kAcquaintedFor = absl::Minutes(10);
constexpr int kQueueMessagesMax = 200'000;
constexpr int kBatchMessagesMax = 10'000;
// How long librdkafka is waited for before anything else is looked at.
constexpr int kFlushWaitMs = 10;
constexpr int kRoomWaitMs = 1;  // nothing wakes the waiting thread when there is room again

// An empty text, which is not none.
constexpr char kEmpty[] = "";
const char* DataOf(std::string_view text) { return text.data() == nullptr ? kEmpty : text.data(); }

ConfigLines ConfigFor(const KafkaSettings& settings, bool packs) {
  ConfigLines config = CommonConfig(settings, "marquee-publisher");
  config["enable.idempotence"] = "true";
  config["enable.gapless.guarantee"] = "true";
  config["acks"] = "all";
  config["max.in.flight"] = "5";
  // The deadline is ours: a record that librdkafka gave up alone would be a gap.
  config["message.timeout.ms"] = "0";
  config["compression.codec"] = packs ? "none" : settings.compression;
  // A report for each record would cost as much as the record: what was stored is told by
  // Acknowledged.
  config["delivery.report.only.error"] = "true";
  // Packs have lingered.
  config["linger.ms"] = packs ? "0" : fmt::format("{}", settings.linger_ms);
  config["batch.num.messages"] = fmt::format("{}", kBatchMessagesMax);
  config["queue.buffering.max.kbytes"] = fmt::format("{}", settings.queue_bytes / 1024);
  // Of packs as large as before they were compressed.
  config["queue.buffering.max.messages"] =
      fmt::format("{}", packs ? settings.queue_bytes / settings.pack_bytes : kQueueMessagesMax);
  return config;
}

rd_kafka_headers_t* HeadersOf(std::span<const Header> headers) {
  if (headers.empty()) return nullptr;
  rd_kafka_headers_t* list = rd_kafka_headers_new(headers.size());
  for (const Header& header : headers) {
    (void)rd_kafka_header_add(list, DataOf(header.name), static_cast<ssize_t>(header.name.size()),
                              DataOf(header.value), static_cast<ssize_t>(header.value.size()));
  }
  return list;
}

// (rd_kafka_message_errstr takes a published message's own value for the text.)
std::string_view ReasonOf(const rd_kafka_message_t& message) {
  const char* text = rd_kafka_message_produce_errstr(&message);
  return text == nullptr ? "" : text;
}

}  // namespace

KafkaPublisher::KafkaPublisher(const KafkaSettings& settings, PublisherOptions options,
                               std::unique_ptr<TopicCheck> check, Clock& clock)
    : settings_(settings),
      options_(std::move(options)),
      check_(std::move(check)),
      clock_(clock),
      verified_at_(clock.Uptime()),
      told_(options_.topic.shards),
      acquainted_(options_.topic.shards),
      sorted_(options_.topic.shards) {}

KafkaPublisher::~KafkaPublisher() {
  if (client_ != nullptr) (void)GiveUp(absl::OkStatus());
}

absl::Status KafkaPublisher::Open() {
  Client::Callbacks callbacks;
  callbacks.undelivered = [](const rd_kafka_message_t& message, void* self) {
    static_cast<KafkaPublisher*>(self)->Undelivered(message);
  };
  callbacks.acknowledged = [](const rd_kafka_message_t& message, void* self) {
    static_cast<KafkaPublisher*>(self)->Acknowledged(message);
  };
  callbacks.opaque = this;
  callbacks.reset_connections = true;
  MARQUEE_ASSIGN_OR_RETURN(
      client_, Client::Open(RD_KAFKA_PRODUCER, ConfigFor(settings_, options_.packs), callbacks));
  topic_.reset(rd_kafka_topic_new(client_->handle(), options_.topic.name.c_str(), nullptr));
  MARQUEE_CHECK(topic_ != nullptr);
  return absl::OkStatus();
}

void KafkaPublisher::Undelivered(const rd_kafka_message_t& message) {
  if (!failure_.ok()) return;
  failure_ =
      StatusOf(message.err, fmt::format("publish to {}/{}", options_.topic.name, message.partition),
               ReasonOf(message));
}

// A shard's records come in order, from one thread at a time.
void KafkaPublisher::Acknowledged(const rd_kafka_message_t& message) {
  auto shard = static_cast<size_t>(message.partition);
  if (message.err != RD_KAFKA_RESP_ERR_NO_ERROR || shard >= told_.size()) return;
  if (message.offset >= 0) {
    told_[shard].through.store(message.offset + 1, std::memory_order_relaxed);
  } else {
    told_[shard].without_offset.store(true, std::memory_order_relaxed);
  }
}

absl::Status KafkaPublisher::Verify(absl::Duration age) {
  if (clock_.Uptime() - verified_at_ < age) return absl::OkStatus();
  MARQUEE_RETURN_IF_ERROR(check_->Check(age));
  verified_at_ = clock_.Uptime();
  return absl::OkStatus();
}

absl::Status KafkaPublisher::Failure() {
  if (client_ == nullptr) return absl::OkStatus();
  client_->Serve();
  MARQUEE_RETURN_IF_ERROR(failure_);
  MARQUEE_RETURN_IF_ERROR(client_->Refusal());
  char text[256];
  rd_kafka_resp_err_t fatal = rd_kafka_fatal_error(client_->handle(), text, sizeof text);
  if (fatal == RD_KAFKA_RESP_ERR_NO_ERROR) return absl::OkStatus();
  return absl::UnavailableError(fmt::format(
      "publish to {}: the producer cannot go on: {}; publish again what was not flushed",
      options_.topic.name, text));
}

absl::Status KafkaPublisher::GiveUp(absl::Status status) {
  if (client_ == nullptr) return status;
  rd_kafka_t* handle = client_->handle();
  (void)rd_kafka_purge(handle, RD_KAFKA_PURGE_F_QUEUE);
  absl::Duration give_up = clock_.Uptime() + kInFlightGrace;
  while (rd_kafka_outq_len(handle) > 0 && clock_.Uptime() < give_up) client_->Serve(10);
  topic_.reset();
  client_.reset();
  failure_ = absl::OkStatus();
  for (Told& told : told_) {
    told.through = 0;
    told.without_offset = false;
  }
  acquainted_.assign(acquainted_.size(), {});
  return status;
}

absl::Status KafkaPublisher::Prepare() {
  if (absl::Status failure = Failure(); !failure.ok()) return GiveUp(failure);
  if (absl::Status verified = Verify(kVerifiedFor); !verified.ok()) return GiveUp(verified);
  return client_ == nullptr ? Open() : absl::OkStatus();
}

absl::Status KafkaPublisher::PublishPack(Shard shard, absl::Time newest, std::string_view pack) {
  MARQUEE_RETURN_IF_ERROR(Prepare());
  NewRecord record{.key = "", .value = pack, .headers = {&kPackHeader, 1}};
  absl::Status status = ProduceAlone(std::nullopt, record, shard, newest);
  return status.ok() ? status : GiveUp(status);
}

absl::Status KafkaPublisher::Publish(std::span<const NewRecord> records) {
  for (const NewRecord& record : records)
    MARQUEE_RETURN_IF_ERROR(CheckRecord(options_.topic, record));
  MARQUEE_RETURN_IF_ERROR(Prepare());
  absl::Status status = Sort(records);
  // All the shards' first ones at once, so that they are waited for together.
  for (uint32_t i = 0; i < sorted_.size() && status.ok(); ++i) {
    if (!acquainted_[i].first_sent) status = ProduceSorted(Shard(i), 1);
  }
  for (uint32_t i = 0; i < sorted_.size() && status.ok(); ++i)
    status = ProduceSorted(Shard(i), sorted_[i].size());
  for (auto& messages : sorted_) messages.clear();
  return status.ok() ? status : GiveUp(status);
}

// librdkafka has a queue for each shard, and walks along it several times: where the records of one
// lie together in memory that is twice as fast. It takes a batch of one shard with fewer locks and
// looks at the clock, but without headers, and with its own clock's time.
absl::Status KafkaPublisher::Sort(std::span<const NewRecord> records) {
  absl::Time now = clock_.Now();
  bool other_time = absl::AbsDuration(now - absl::Now()) > kSameTime;
  for (const NewRecord& record : records) {
    Shard shard = record.shard ? *record.shard : ShardOfKey(record.key, options_.topic.shards);
    if (other_time || !record.headers.empty()) {
      MARQUEE_RETURN_IF_ERROR(ProduceSorted(shard, sorted_[shard.value()].size()));
      MARQUEE_RETURN_IF_ERROR(ProduceAlone(record.key, record, shard, now));
      continue;
    }
    rd_kafka_message_t& message = sorted_[shard.value()].emplace_back();
    message.key = const_cast<char*>(DataOf(record.key));
    message.key_len = record.key.size();
    if (!record.value) continue;
    message.payload = const_cast<char*>(DataOf(*record.value));
    message.len = record.value->size();
  }
  return absl::OkStatus();
}

absl::StatusOr<size_t> KafkaPublisher::AwaitFirst(Shard shard, size_t wanted) {
  Acquaintance& acquainted = acquainted_[shard.value()];
  if (acquainted.first_stored || wanted == 0) return wanted;
  if (!std::exchange(acquainted.first_sent, true)) return 1;
  MARQUEE_RETURN_IF_ERROR(AwaitDelivery());
  return wanted;
}

absl::Status KafkaPublisher::ProduceSorted(Shard shard, size_t most) {
  std::vector<rd_kafka_message_t>& messages = sorted_[shard.value()];
  most = std::min(most, messages.size());
  size_t taken = 0;
  while (taken < most) {
    MARQUEE_ASSIGN_OR_RETURN(size_t count, AwaitFirst(shard, most - taken));
    auto first = messages.begin() + static_cast<ptrdiff_t>(taken);
    auto last = first + static_cast<ptrdiff_t>(count);
    while (first != last) {
      (void)rd_kafka_produce_batch(topic_.get(), static_cast<int32_t>(shard.value()),
                                   RD_KAFKA_MSG_F_COPY, &*first, static_cast<int>(last - first));
      // Behind one that finds the queue full none is taken.
      first = std::find_if(first, last, [](const rd_kafka_message_t& message) {
        return message.err != RD_KAFKA_RESP_ERR_NO_ERROR;
      });
      if (first != last) MARQUEE_RETURN_IF_ERROR(AfterRefusal(first->err, nullptr));
    }
    taken += count;
  }
  messages.erase(messages.begin(), messages.begin() + static_cast<ptrdiff_t>(most));
  return absl::OkStatus();
}

absl::Status KafkaPublisher::ProduceAlone(std::optional<std::string_view> key,
                                          const NewRecord& record, Shard shard, absl::Time time) {
  MARQUEE_RETURN_IF_ERROR(AwaitFirst(shard, 1).status());
  rd_kafka_headers_t* headers = HeadersOf(record.headers);
  rd_kafka_vu_t parts[7];
  parts[0].vtype = RD_KAFKA_VTYPE_RKT;
  parts[0].u.rkt = topic_.get();
  parts[1].vtype = RD_KAFKA_VTYPE_PARTITION;
  parts[1].u.i32 = static_cast<int32_t>(shard.value());
  parts[2].vtype = RD_KAFKA_VTYPE_MSGFLAGS;
  parts[2].u.i = RD_KAFKA_MSG_F_COPY;
  parts[3].vtype = RD_KAFKA_VTYPE_KEY;
  parts[3].u.mem.ptr = key ? const_cast<char*>(DataOf(*key)) : nullptr;
  parts[3].u.mem.size = key ? key->size() : 0;
  parts[4].vtype = RD_KAFKA_VTYPE_VALUE;
  parts[4].u.mem.ptr = record.value ? const_cast<char*>(DataOf(*record.value)) : nullptr;
  parts[4].u.mem.size = record.value ? record.value->size() : 0;
  parts[5].vtype = RD_KAFKA_VTYPE_TIMESTAMP;
  parts[5].u.i64 = absl::ToUnixMillis(time);
  parts[6].vtype = RD_KAFKA_VTYPE_HEADERS;
  parts[6].u.headers = headers;
  const size_t count = headers == nullptr ? 6 : 7;
  while (true) {
    ErrorPtr error(rd_kafka_produceva(client_->handle(), parts, count));
    if (error == nullptr) return absl::OkStatus();
    absl::Status status =
        AfterRefusal(rd_kafka_error_code(error.get()), rd_kafka_error_string(error.get()));
    if (status.ok()) continue;
    if (headers != nullptr) rd_kafka_headers_destroy(headers);
    return status;
  }
}

absl::Status KafkaPublisher::AfterRefusal(rd_kafka_resp_err_t error, const char* text) {
  if (error == RD_KAFKA_RESP_ERR__QUEUE_FULL) return AwaitRoom();
  return StatusOf(error, fmt::format("publish to {}", options_.topic.name),
                  text == nullptr ? "" : text);
}

absl::Status KafkaPublisher::AwaitRoom() {
  rd_kafka_t* handle = client_->handle();
  absl::Duration give_up = clock_.Uptime() + options_.deadline;
  int before = rd_kafka_outq_len(handle);
  while (rd_kafka_outq_len(handle) >= before) {
    client_->Serve(kRoomWaitMs);
    if (interrupted_) return absl::CancelledError("the publisher is to be destroyed");
    MARQUEE_RETURN_IF_ERROR(Failure());
    if (clock_.Uptime() >= give_up) {
      return absl::DeadlineExceededError(fmt::format(
          "topic {}: the queue was full for {} with {} records that Kafka has not acknowledged{}; "
          "see whether the brokers run and have enough replicas in sync",
          options_.topic.name, absl::FormatDuration(options_.deadline), before,
          client_->LastHeard()));
    }
  }
  return absl::OkStatus();
}

absl::Status KafkaPublisher::AwaitDelivery() {
  rd_kafka_t* handle = client_->handle();
  absl::Duration give_up = clock_.Uptime() + options_.deadline;
  while (true) {
    rd_kafka_resp_err_t flushed = rd_kafka_flush(handle, kFlushWaitMs);
    if (interrupted_) return absl::CancelledError("the publisher is to be destroyed");
    MARQUEE_RETURN_IF_ERROR(Failure());
    if (flushed == RD_KAFKA_RESP_ERR_NO_ERROR) break;
    if (clock_.Uptime() >= give_up) {
      return absl::DeadlineExceededError(fmt::format(
          "topic {}: waited {} for Kafka to acknowledge {} records{}; see whether the brokers run "
          "and have enough replicas in sync",
          options_.topic.name, absl::FormatDuration(options_.deadline), rd_kafka_outq_len(handle),
          client_->LastHeard()));
    }
    // One that was deleted is never acknowledged. That it cannot be asked for now says nothing.
    absl::Status verified = Verify(kVerifyWhileWaiting);
    if (!verified.ok() && !absl::IsDeadlineExceeded(verified)) return verified;
  }
  for (Acquaintance& acquainted : acquainted_) acquainted.first_stored = acquainted.first_sent;
  return absl::OkStatus();
}

absl::Status KafkaPublisher::LearnOffsets() {
  absl::Duration now = clock_.Uptime();
  for (uint32_t i = 0; i < told_.size(); ++i) {
    int64_t next = told_[i].through.exchange(0);
    bool ask = told_[i].without_offset.exchange(false);
    if (next == 0 && !ask) {
      if (now - acquainted_[i].stored_at > kAcquaintedFor) acquainted_[i] = {};
      continue;
    }
    acquainted_[i].stored_at = now;
    Offset& through = through_[Shard(i)];
    through = std::max(through, FromKafka(options_.topic.kind, KafkaOffset(next)));
    if (!ask) continue;
    MARQUEE_ASSIGN_OR_RETURN(Offset end, check_->EndOf(Shard(i)));
    through = std::max(through, end);
  }
  return absl::OkStatus();
}

absl::StatusOr<FlushedThrough> KafkaPublisher::Flush() {
  if (client_ == nullptr) return through_;
  absl::Status status = AwaitDelivery();
  if (status.ok()) status = LearnOffsets();
  if (!status.ok()) return GiveUp(status);
  return through_;
}

}  // namespace marquee::messaging::kafka
