#include "messaging/memory/memory_broker.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "messaging/memory/server.h"

namespace marquee::messaging {
namespace {

class MemoryPublisher final : public Publisher {
 public:
  MemoryPublisher(memory::Server& server, memory::PublisherId id) : server_(server), id_(id) {}
  ~MemoryPublisher() override { server_.ClosePublisher(id_); }

  absl::Status Publish(std::span<const NewRecord> records) override {
    return server_.Publish(id_, records);
  }
  absl::StatusOr<FlushedThrough> Flush() override { return server_.Flush(id_); }
  size_t together_bytes_max() const override { return server_.TogetherBytesMax(id_); }

 private:
  memory::Server& server_;
  const memory::PublisherId id_;
};

class MemorySubscription final : public Subscription {
 public:
  MemorySubscription(memory::Server& server, memory::SubscriptionId id)
      : server_(server), id_(id) {}
  ~MemorySubscription() override { server_.CloseSubscription(id_); }

  absl::StatusOr<Delivery> Poll(absl::Duration wait) override {
    views_.clear();
    MARQUEE_ASSIGN_OR_RETURN(fetched_, server_.Poll(id_, wait));
    Delivery delivery{.events = fetched_.events, .batch = std::nullopt};
    if (fetched_.has_batch) {
      views_.reserve(fetched_.records.size());
      for (const memory::RecordPtr& record : fetched_.records) views_.push_back(record->view);
      delivery.batch = Batch{fetched_.shard, views_, fetched_.next, fetched_.whole};
    }
    return delivery;
  }
  absl::Status Start(const TopicShard& shard, const StartPosition& position) override {
    return server_.Start(id_, shard, position);
  }
  absl::Status Release(const TopicShard& shard) override { return server_.Release(id_, shard); }
  absl::StatusOr<Offset> Next(const TopicShard& shard) const override {
    return server_.Next(id_, shard);
  }
  absl::StatusOr<int64_t> Lag(const TopicShard& shard) override { return server_.Lag(id_, shard); }
  absl::Status ReportPosition(const TopicShard& shard, Offset next) override {
    return server_.ReportPosition(id_, shard, next);
  }

 private:
  memory::Server& server_;
  const memory::SubscriptionId id_;
  memory::Fetched fetched_;  // what the last delivery borrows
  std::vector<Record> views_;
};

}  // namespace

MemoryWorld::MemoryWorld(const MemoryWorldOptions& options, Clock& clock)
    : server_(std::make_unique<memory::Server>(options, clock)) {}
MemoryWorld::~MemoryWorld() = default;

void MemoryWorld::SetReachable(bool reachable) { server_->SetReachable(reachable); }
bool MemoryWorld::HandOver(std::string_view group) { return server_->HandOver(group); }

MemoryBroker::MemoryBroker(std::shared_ptr<MemoryWorld> world, const BrokerOptions& options,
                           Clock& clock)
    : world_(std::move(world)), client_(world_->server().Connect(options, clock)) {}
MemoryBroker::~MemoryBroker() { world_->server().Disconnect(client_); }

void MemoryBroker::Crash(bool leave_at_once) { world_->server().Crash(client_, leave_at_once); }
void MemoryBroker::CrashAtCall(uint64_t n) { world_->server().CrashAtCall(client_, n); }
void MemoryBroker::FailAtCall(uint64_t n, absl::Status status) {
  world_->server().FailAtCall(client_, n, std::move(status));
}
uint64_t MemoryBroker::calls() const { return world_->server().Calls(client_); }
bool MemoryBroker::crashed() const { return world_->server().Crashed(client_); }
void MemoryBroker::SetReachable(bool reachable) {
  world_->server().SetReachable(client_, reachable);
}

absl::StatusOr<TopicInfo> MemoryBroker::DeclareTopic(const TopicSpec& spec) {
  return world_->server().DeclareTopic(client_, spec);
}
absl::StatusOr<TopicInfo> MemoryBroker::DescribeTopic(std::string_view topic) {
  return world_->server().DescribeTopic(client_, topic);
}
absl::StatusOr<std::vector<TopicInfo>> MemoryBroker::ListTopics() {
  return world_->server().ListTopics(client_);
}
absl::Status MemoryBroker::DeleteTopic(std::string_view topic) {
  return world_->server().DeleteTopic(client_, topic);
}
absl::StatusOr<Extent> MemoryBroker::DescribeShard(const TopicShard& shard) {
  return world_->server().DescribeShard(client_, shard);
}
absl::StatusOr<std::vector<GroupInfo>> MemoryBroker::ListGroups() {
  return world_->server().ListGroups(client_);
}

absl::StatusOr<std::unique_ptr<Publisher>> MemoryBroker::OpenPublisher(std::string_view topic) {
  MARQUEE_ASSIGN_OR_RETURN(auto id, world_->server().OpenPublisher(client_, topic));
  return std::make_unique<MemoryPublisher>(world_->server(), id);
}

absl::StatusOr<std::unique_ptr<Subscription>> MemoryBroker::OpenReader(
    SubscriptionOptions options) {
  MARQUEE_ASSIGN_OR_RETURN(auto id, world_->server().OpenReader(client_, options));
  return std::make_unique<MemorySubscription>(world_->server(), id);
}

absl::StatusOr<std::unique_ptr<Subscription>> MemoryBroker::JoinGroup(
    std::span<const std::string> topics, SubscriptionOptions options) {
  MARQUEE_ASSIGN_OR_RETURN(auto id, world_->server().JoinGroup(client_, topics, options));
  return std::make_unique<MemorySubscription>(world_->server(), id);
}

absl::StatusOr<std::unique_ptr<MemoryBroker>> OpenMemoryBroker(std::shared_ptr<MemoryWorld> world,
                                                               const BrokerOptions& options,
                                                               Clock& clock) {
  if (!options.settings.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("setting ", options.settings.begin()->first,
                                                   ": memory: has no settings; remove it"));
  }
  return std::make_unique<MemoryBroker>(std::move(world), options, clock);
}

absl::StatusOr<std::unique_ptr<MemoryBroker>> OpenMemoryBroker(std::string_view url,
                                                               const BrokerOptions& options,
                                                               Clock& clock) {
  if (url != "memory:") {
    return absl::InvalidArgumentError(absl::StrCat("expected memory:, found ", std::string(url)));
  }
  return OpenMemoryBroker(std::make_shared<MemoryWorld>(MemoryWorldOptions(), clock), options,
                          clock);
}

}  // namespace marquee::messaging
