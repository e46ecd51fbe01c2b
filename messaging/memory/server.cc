// The server's clients and their faults, time, and topics. Publishing is in server_publish.cc,
// reading in server_read.cc.
#include "messaging/memory/server.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status.h"
#include "messaging/checks.h"

namespace marquee::messaging::memory {
namespace {

absl::Status Crashed() { return absl::CancelledError("crashed: this client is dead"); }

int64_t BytesOf(const Topic& topic) {
  int64_t bytes = 0;
  for (const ShardLog& shard : topic.shards) bytes += shard.bytes();
  return bytes;
}

TopicInfo InfoOf(const Topic& topic) {
  return {.spec = topic.spec, .identity = topic.identity, .bytes_on_disk = BytesOf(topic)};
}

}  // namespace

Server::Server(const MemoryWorldOptions& options, Clock& clock)
    : options_(options), clock_(clock), random_(options.seed) {}

void Server::SetReachable(bool reachable) {
  MutexLock lock(mutex_);
  reachable_ = reachable;
  news_.SignalAll();
}

void Server::SetReachable(ClientId id, bool reachable) {
  MutexLock lock(mutex_);
  clients_.at(id).reachable = reachable;
  for (auto& [unused, subscription] : subscriptions_) {
    if (subscription.client != id || subscription.member == 0) continue;
    GroupOf(subscription.group).EndPoll(subscription.member, clock_.Uptime());
  }
  news_.SignalAll();
}

bool Server::HandOver(std::string_view group) {
  MutexLock lock(mutex_);
  auto at = groups_.find(group);
  news_.SignalAll();
  return at != groups_.end() && at->second.HandOver();
}

ClientId Server::Connect(const BrokerOptions& options, Clock& clock) {
  MutexLock lock(mutex_);
  Client& client = clients_[++last_id_];
  client.clock = &clock;
  client.deadline = options.deadline;
  return last_id_;
}

void Server::Disconnect(ClientId id) {
  MutexLock lock(mutex_);
  // What was opened by a call that failed after its effect is still here.
  std::erase_if(publishers_, [id](const auto& entry) { return entry.second.client == id; });
  std::erase_if(subscriptions_, [id](const auto& entry) { return entry.second.client == id; });
  clients_.erase(id);
}

void Server::Crash(ClientId id, bool leave_at_once) {
  MutexLock lock(mutex_);
  CrashLocked(id, leave_at_once);
}

void Server::CrashLocked(ClientId id, bool leave_at_once) {
  if (std::exchange(clients_.at(id).crashed, true)) return;
  for (auto& [unused, publisher] : publishers_) {
    if (publisher.client == id) StoreAny(publisher);
  }
  for (auto& [unused, subscription] : subscriptions_) {
    if (subscription.client != id || subscription.member == 0) continue;
    Group& group = GroupOf(subscription.group);
    leave_at_once ? group.Leave(subscription.member) : group.Abandon(subscription.member);
  }
  news_.SignalAll();
}

void Server::CrashAtCall(ClientId id, uint64_t n) {
  MutexLock lock(mutex_);
  Client& client = clients_.at(id);
  client.faults[client.calls + n] = {.crash = true, .status = {}, .after = random_.OneIn(2)};
}

void Server::FailAtCall(ClientId id, uint64_t n, absl::Status status) {
  MutexLock lock(mutex_);
  Client& client = clients_.at(id);
  client.faults[client.calls + n] = {
      .crash = false, .status = std::move(status), .after = random_.OneIn(2)};
}

uint64_t Server::Calls(ClientId id) {
  MutexLock lock(mutex_);
  return clients_.at(id).calls;
}

bool Server::Crashed(ClientId id) {
  MutexLock lock(mutex_);
  return clients_.at(id).crashed;
}

absl::StatusOr<Server::Fault> Server::Begin(ClientId id, CallKind kind) {
  Client& client = clients_.at(id);
  if (client.crashed) return memory::Crashed();
  Fault fault;
  if (auto at = client.faults.find(++client.calls); at != client.faults.end()) {
    fault = std::move(at->second);
    client.faults.erase(at);
    if (kind == CallKind::kPoll && !fault.crash) fault.after = false;
  }
  if (!fault.after) MARQUEE_RETURN_IF_ERROR(Hit(id, fault));
  if (kind == CallKind::kOrdinary) MARQUEE_RETURN_IF_ERROR(AwaitServer(client, client.deadline));
  Tick();
  if (Drawn(options_.early_store_one_in)) StoreSomethingEarly();
  return fault;
}

absl::Status Server::End(ClientId id, const Fault& fault) {
  news_.SignalAll();
  return fault.after ? Hit(id, fault) : absl::OkStatus();
}

absl::Status Server::Hit(ClientId id, const Fault& fault) {
  if (!fault.crash) return fault.status;
  CrashLocked(id, /*leave_at_once=*/false);
  return memory::Crashed();
}

absl::Status Server::AwaitServer(const Client& client, absl::Duration wait) {
  absl::Duration deadline = client.clock->Uptime() + wait;
  while (!CanReach(client)) {
    absl::Duration left = deadline - client.clock->Uptime();
    if (client.clock->IsManual() || left <= absl::ZeroDuration()) {
      return absl::UnavailableError(
          absl::StrCat("the memory server was cut off; waited ",
                       client.clock->IsManual() ? "not at all" : absl::FormatDuration(wait),
                       " for it to come back; try again later"));
    }
    news_.WaitFor(mutex_, left);
    if (client.crashed) return memory::Crashed();
  }
  return absl::OkStatus();
}

void Server::Tick() {
  absl::Duration now = clock_.Uptime();
  for (auto& [unused, group] : groups_) group.Tick(now);
  for (auto& [unused, publisher] : publishers_) {
    if (!CanReach(clients_.at(publisher.client))) continue;
    auto topic = FindSameTopic(publisher.topic, publisher.identity);
    while (topic.ok() && !publisher.pending.empty() &&
           publisher.pending.front().since + kLinger <= now) {
      Store(publisher, **topic);
    }
  }
  for (auto& [unused, topic] : topics_) {
    if (topic.spec.retention == absl::InfiniteDuration()) continue;
    for (ShardLog& shard : topic.shards) shard.DropBefore(clock_.Now() - topic.spec.retention);
  }
}

absl::Duration Server::NextDeadline() const {
  absl::Duration next = absl::InfiniteDuration();
  for (const auto& [unused, group] : groups_) next = std::min(next, group.NextDeadline());
  for (const auto& [unused, publisher] : publishers_) {
    if (publisher.pending.empty()) continue;
    next = std::min(next, publisher.pending.front().since + kLinger);
  }
  return next;
}

absl::StatusOr<Topic*> Server::FindTopic(std::string_view name) {
  auto at = topics_.find(name);
  if (at == topics_.end()) {
    return absl::NotFoundError(absl::StrCat(
        "topic ", std::string(name), " is not there; declare it, or look for it in the list"));
  }
  return &at->second;
}

absl::StatusOr<Topic*> Server::FindSameTopic(std::string_view name, const TopicIdentity& identity) {
  MARQUEE_ASSIGN_OR_RETURN(Topic * topic, FindTopic(name));
  if (topic->identity != identity) {
    return absl::FailedPreconditionError(
        absl::StrCat("topic ", std::string(name), " is another by now: expected identity ",
                     identity, ", found ", topic->identity, "; it was deleted and declared again"));
  }
  return topic;
}

absl::StatusOr<ShardLog*> Server::FindShard(const TopicShard& shard) {
  MARQUEE_ASSIGN_OR_RETURN(Topic * topic, FindTopic(shard.topic));
  if (shard.shard.value() >= topic->shards.size()) {
    return absl::NotFoundError(absl::StrCat("topic ", shard.topic, " has no shard ",
                                            shard.shard.value(), ", only ", topic->shards.size()));
  }
  return &topic->shards[shard.shard.value()];
}

absl::StatusOr<TopicInfo> Server::DeclareTopic(ClientId id, const TopicSpec& spec) {
  MutexLock lock(mutex_);
  return Call<absl::StatusOr<TopicInfo>>(
      id, CallKind::kOrdinary,
      [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) -> absl::StatusOr<TopicInfo> {
        MARQUEE_RETURN_IF_ERROR(CheckSpec(spec));
        auto [at, is_new] = topics_.try_emplace(spec.name);
        Topic& topic = at->second;
        if (is_new) {
          uint64_t high = random_.Next();
          topic.spec = spec;
          topic.identity = absl::StrFormat("%016x%016x", high, random_.Next());
          for (uint32_t i = 0; i < spec.shards; ++i) topic.shards.emplace_back(spec.kind, options_);
        }
        MARQUEE_RETURN_IF_ERROR(CheckSame(topic.spec, spec));
        TopicInfo info = InfoOf(topic);
        return info;
      });
}

absl::StatusOr<TopicInfo> Server::DescribeTopic(ClientId id, std::string_view name) {
  MutexLock lock(mutex_);
  return Call<absl::StatusOr<TopicInfo>>(
      id, CallKind::kOrdinary,
      [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) -> absl::StatusOr<TopicInfo> {
        MARQUEE_ASSIGN_OR_RETURN(Topic * topic, FindTopic(name));
        return InfoOf(*topic);
      });
}

absl::StatusOr<std::vector<TopicInfo>> Server::ListTopics(ClientId id) {
  MutexLock lock(mutex_);
  return Call<absl::StatusOr<std::vector<TopicInfo>>>(
      id, CallKind::kOrdinary,
      [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) -> absl::StatusOr<std::vector<TopicInfo>> {
        std::vector<TopicInfo> infos;
        for (const auto& [unused, topic] : topics_) infos.push_back(InfoOf(topic));
        return infos;
      });
}

absl::Status Server::DeleteTopic(ClientId id, std::string_view name) {
  MutexLock lock(mutex_);
  return Call<absl::Status>(id, CallKind::kOrdinary,
                            [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) -> absl::Status {
                              MARQUEE_RETURN_IF_ERROR(FindTopic(name).status());
                              topics_.erase(topics_.find(name));
                              return absl::OkStatus();
                            });
}

absl::StatusOr<Extent> Server::DescribeShard(ClientId id, const TopicShard& shard) {
  MutexLock lock(mutex_);
  return Call<absl::StatusOr<Extent>>(
      id, CallKind::kOrdinary,
      [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) -> absl::StatusOr<Extent> {
        MARQUEE_ASSIGN_OR_RETURN(ShardLog * log, FindShard(shard));
        return log->extent();
      });
}

absl::StatusOr<std::vector<GroupInfo>> Server::ListGroups(ClientId id) {
  MutexLock lock(mutex_);
  return Call<absl::StatusOr<std::vector<GroupInfo>>>(
      id, CallKind::kOrdinary,
      [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) -> absl::StatusOr<std::vector<GroupInfo>> {
        std::vector<GroupInfo> infos;
        for (const auto& [unused, group] : groups_) {
          GroupInfo info = group.Describe();
          for (GroupShard& entry : info.shards) {
            auto log = FindShard(entry.shard);
            if (log.ok()) entry.lag = (*log)->CountFrom(entry.reported.value_or(Offset(0)));
          }
          infos.push_back(std::move(info));
        }
        return infos;
      });
}

}  // namespace marquee::messaging::memory
