#include "messaging/kafka/fetcher.h"

#include <fmt/format.h>

#include <utility>

#include "base/status.h"
#include "messaging/kafka/errors.h"

namespace marquee::messaging::kafka {
namespace {

constexpr size_t kIdleMax = 3;
constexpr const char* kLingerBytes = "1000000";  // nobody lingers for more

ConfigLines ConfigFor(const KafkaSettings& settings, absl::Duration linger) {
  ConfigLines config = CommonConfig(settings, "marquee-reader");
  config["check.crcs"] = "true";
  config["enable.auto.commit"] = "false";
  config["enable.auto.offset.store"] = "false";
  config["enable.partition.eof"] = "true";
  config["auto.offset.reset"] = "error";
  config["isolation.level"] = "read_uncommitted";
  // A shard that is started while a fetch waits at its broker is fetched after that one.
  bool lingers = linger > absl::ZeroDuration();
  config["fetch.wait.max.ms"] =
      lingers ? fmt::format("{}", absl::ToInt64Milliseconds(linger)) : "50";
  config["fetch.min.bytes"] = lingers ? kLingerBytes : "1";
  config["fetch.queue.backoff.ms"] = "2";
  config["fetch.error.backoff.ms"] = "50";
  // For each shard: this client has a queue for each.
  config["queued.max.messages.kbytes"] = fmt::format("{}", kQueuedBytesMax / 1024);
  config["queued.min.messages"] = fmt::format("{}", kQueuedRecordsMin);
  return config;
}

int32_t PartitionOf(const TopicShard& shard) { return static_cast<int32_t>(shard.shard.value()); }

}  // namespace

absl::StatusOr<std::unique_ptr<Fetcher>> Fetcher::Open(const KafkaSettings& settings,
                                                       absl::Duration linger) {
  MARQUEE_ASSIGN_OR_RETURN(std::unique_ptr<Client> client,
                           Client::Open(RD_KAFKA_CONSUMER, ConfigFor(settings, linger), {}));
  return std::unique_ptr<Fetcher>(new Fetcher(std::move(client)));
}

Fetcher::Fetcher(std::unique_ptr<Client> client)
    : client_(std::move(client)), queue_(rd_kafka_queue_new(client_->handle())) {
  rd_kafka_queue_cb_event_enable(
      queue_.get(),
      [](rd_kafka_t*, void* opaque) {
        auto* self = static_cast<Fetcher*>(opaque);
        MutexLock lock(self->mutex_);
        if (self->bell_ != nullptr) self->bell_->Ring();
      },
      this);
}

Fetcher::~Fetcher() {
  StopAll();
  rd_kafka_queue_cb_event_enable(queue_.get(), nullptr, nullptr);
  topics_.clear();
  queue_.reset();
}

void Fetcher::WakeBy(Bell* bell) {
  MutexLock lock(mutex_);
  bell_ = bell;
}

bool Fetcher::KnowsAnother(const std::string& topic, const TopicIdentity& identity) const {
  auto known = identities_.find(topic);
  return known != identities_.end() && known->second != identity;
}

absl::Status Fetcher::Start(const Source& source, const TopicIdentity& identity,
                            KafkaOffset offset) {
  const TopicShard& shard = source.shard;
  identities_[shard.topic] = identity;
  TopicPtr& topic = topics_[shard.topic];
  if (topic == nullptr)
    topic.reset(rd_kafka_topic_new(client_->handle(), shard.topic.c_str(), nullptr));
  if (rd_kafka_consume_start_queue(topic.get(), PartitionOf(shard), offset.value(), queue_.get()) !=
      0) {
    return StatusOf(rd_kafka_last_error(),
                    fmt::format("read {}/{}", shard.topic, shard.shard.value()));
  }
  started_[{topic.get(), PartitionOf(shard)}] = source;
  return absl::OkStatus();
}

void Fetcher::Stop(const TopicShard& shard) {
  auto topic = topics_.find(shard.topic);
  if (topic == topics_.end()) return;
  if (started_.erase({topic->second.get(), PartitionOf(shard)}) == 0) return;
  (void)rd_kafka_consume_stop(topic->second.get(), PartitionOf(shard));
}

void Fetcher::StopAll() {
  while (!started_.empty()) {
    TopicShard shard = started_.begin()->second.shard;
    Stop(shard);
  }
  topics_.clear();
}

size_t Fetcher::Take(std::span<rd_kafka_message_t*> messages) {
  client_->Serve();
  ssize_t count = rd_kafka_consume_batch_queue(queue_.get(), 0, messages.data(), messages.size());
  return count > 0 ? static_cast<size_t>(count) : 0;
}

const Source* Fetcher::SourceOf(const rd_kafka_message_t& message) const {
  auto found = started_.find({message.rkt, message.partition});
  return found == started_.end() ? nullptr : &found->second;
}

std::optional<KafkaOffset> Fetcher::KnownEnd(const TopicShard& shard) const {
  int64_t low = RD_KAFKA_OFFSET_INVALID, high = RD_KAFKA_OFFSET_INVALID;
  rd_kafka_resp_err_t error = rd_kafka_get_watermark_offsets(client_->handle(), shard.topic.c_str(),
                                                             PartitionOf(shard), &low, &high);
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR || high < 0) return std::nullopt;
  return KafkaOffset(high);
}

absl::StatusOr<std::unique_ptr<Fetcher>> FetcherPool::Take() {
  {
    MutexLock lock(mutex_);
    if (!idle_.empty()) {
      std::unique_ptr<Fetcher> fetcher = std::move(idle_.back());
      idle_.pop_back();
      return fetcher;
    }
  }
  return Fetcher::Open(settings_, /*linger=*/absl::ZeroDuration());
}

void FetcherPool::Return(std::unique_ptr<Fetcher> fetcher) {
  fetcher->StopAll();
  fetcher->WakeBy(nullptr);
  if (!fetcher->client().Refusal().ok()) return;
  MutexLock lock(mutex_);
  if (idle_.size() < kIdleMax) idle_.push_back(std::move(fetcher));
}

}  // namespace marquee::messaging::kafka
