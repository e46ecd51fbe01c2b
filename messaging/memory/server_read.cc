// Reading: cursors, batches and what a member learns of its group.
#include <algorithm>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "messaging/memory/server.h"

namespace marquee::messaging::memory {
namespace {

// How far a repeated batch may go back.
constexpr uint64_t kRepeatedRecordsMax = 8;
// A waiter looks again this long after something was due, so that it is surely due by then.
constexpr absl::Duration kDueSlack = absl::Milliseconds(1);

std::string Name(const TopicShard& shard) {
  return absl::StrCat(shard.topic, "/", shard.shard.value());
}

absl::StatusOr<Offset> Resolve(const Topic& topic, const ShardLog& log,
                               const StartPosition& position) {
  if (std::holds_alternative<StartPosition::Earliest>(position.at)) return log.extent().begin;
  if (std::holds_alternative<StartPosition::Latest>(position.at)) return log.extent().end;
  if (const auto* since = std::get_if<StartPosition::Since>(&position.at)) {
    return log.FirstSince(since->time);
  }
  const Position& at = std::get<Position>(position.at);
  if (at.topic_identity != topic.identity) {
    return absl::FailedPreconditionError(absl::StrCat(
        "topic ", topic.spec.name, " is another: the position was taken from ", at.topic_identity,
        ", found ", topic.identity, "; the topic was deleted and declared again"));
  }
  MARQUEE_RETURN_IF_ERROR(log.CheckReadable(at.offset));
  return at.offset;
}

}  // namespace

Group& Server::GroupOf(const std::string& name) {
  return groups_.try_emplace(name, name, &random_).first->second;
}

absl::StatusOr<SubscriptionId> Server::OpenReader(ClientId id, const SubscriptionOptions& options) {
  MutexLock lock(mutex_);
  return Call<absl::StatusOr<SubscriptionId>>(
      id, CallKind::kOrdinary,
      [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) -> absl::StatusOr<SubscriptionId> {
        SubscriptionState& subscription = subscriptions_[++last_id_];
        subscription.client = id;
        subscription.group = options.group;
        return last_id_;
      });
}

absl::StatusOr<SubscriptionId> Server::JoinGroup(ClientId id, std::span<const std::string> topics,
                                                 const SubscriptionOptions& options) {
  MutexLock lock(mutex_);
  SubscriptionId subscription = ++last_id_;
  absl::Status status = Call<absl::Status>(
      id, CallKind::kOrdinary, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) -> absl::Status {
        return Join(id, subscription, topics, options);
      });
  if (status.ok()) return subscription;
  subscriptions_.erase(subscription);
  // Dead clients leave when their sessions end.
  if (!clients_.at(id).crashed) GroupOf(options.group).Leave(subscription);
  return status;
}

absl::Status Server::Join(ClientId id, SubscriptionId subscription_id,
                          std::span<const std::string> topics, const SubscriptionOptions& options) {
  if (options.group.empty() || topics.empty() || options.session_timeout <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError(
        "to join a group takes its name, at least one topic and a session timeout above 0");
  }
  SubscriptionState subscription;
  Group::Topics shared;
  for (const std::string& name : topics) {
    MARQUEE_ASSIGN_OR_RETURN(Topic * topic, FindTopic(name));
    shared[name] = {topic->identity, topic->spec.shards};
    subscription.topics[name] = topic->identity;
  }
  std::string member =
      options.member.empty() ? absl::StrCat("member-", subscription_id) : options.member;
  MARQUEE_RETURN_IF_ERROR(
      GroupOf(options.group)
          .Join(subscription_id, member, options.session_timeout, shared, clock_.Uptime()));
  subscription.client = id;
  subscription.group = options.group;
  subscription.member = subscription_id;
  subscriptions_[subscription_id] = std::move(subscription);
  return absl::OkStatus();
}

void Server::CloseSubscription(SubscriptionId id) {
  MutexLock lock(mutex_);
  SubscriptionState& subscription = subscriptions_.at(id);
  const Client& client = clients_.at(subscription.client);
  if (subscription.member != 0 && !client.crashed) {
    Group& group = GroupOf(subscription.group);
    CanReach(client) ? group.Leave(subscription.member) : group.Abandon(subscription.member);
  }
  subscriptions_.erase(id);
  news_.SignalAll();
}

absl::StatusOr<Fetched> Server::Poll(SubscriptionId id, absl::Duration wait) {
  MutexLock lock(mutex_);
  SubscriptionState& subscription = subscriptions_.at(id);
  return Call<absl::StatusOr<Fetched>>(
      subscription.client, CallKind::kPoll,
      [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) -> absl::StatusOr<Fetched> {
        const Client& client = clients_.at(subscription.client);
        MARQUEE_RETURN_IF_ERROR(AwaitServer(client, std::min(wait, client.deadline)));
        return subscription.member == 0 ? AwaitNews(subscription, wait)
                                        : PollMember(subscription, wait);
      });
}

absl::StatusOr<Fetched> Server::PollMember(SubscriptionState& subscription, absl::Duration wait) {
  const Client& client = clients_.at(subscription.client);
  Group& group = GroupOf(subscription.group);
  group.BeginPoll(subscription.member, clock_.Uptime());
  if (Drawn(options_.handover_one_in)) group.HandOver();
  news_.SignalAll();
  absl::StatusOr<Fetched> fetched = AwaitNews(subscription, wait);
  if (!client.crashed && CanReach(client)) group.EndPoll(subscription.member, clock_.Uptime());
  return fetched;
}

absl::StatusOr<Fetched> Server::AwaitNews(SubscriptionState& subscription, absl::Duration wait) {
  const Client& client = clients_.at(subscription.client);
  absl::Duration deadline = client.clock->Uptime() + wait;
  while (true) {
    Fetched fetched;
    if (client.crashed) return absl::CancelledError("crashed: this client is dead");
    if (CanReach(client)) {
      MARQUEE_ASSIGN_OR_RETURN(fetched, Fetch(subscription));
      if (fetched.has_batch || fetched.held_back || !fetched.events.empty()) return fetched;
    }
    absl::Duration left = deadline - client.clock->Uptime();
    if (client.clock->IsManual() || left <= absl::ZeroDuration()) return fetched;
    absl::Duration due = std::max(NextDeadline() - clock_.Uptime(), absl::ZeroDuration());
    news_.WaitFor(mutex_, std::min(left, due + kDueSlack));
  }
}

absl::StatusOr<Fetched> Server::Fetch(SubscriptionState& subscription) {
  Tick();
  Fetched fetched;
  if (subscription.member != 0) {
    Group& group = GroupOf(subscription.group);
    fetched.events = group.TakeEvents(subscription.member, clock_.Uptime());
    for (const OwnershipEvent& event : fetched.events) {
      if (event.kind != OwnershipEvent::Kind::kRevoked) subscription.cursors.erase(event.shard);
    }
  }
  absl::StatusOr<std::vector<TopicShard>> readable = FindReadable(subscription);
  if (!readable.ok()) {
    // Events come first; the error stays and is told at the next poll.
    if (!fetched.events.empty()) return fetched;
    return readable.status();
  }
  // Who answers a revocation at once has released the shard before it comes to the batch.
  for (const OwnershipEvent& event : fetched.events) std::erase(*readable, event.shard);
  if (readable->empty()) return fetched;
  fetched.held_back = Drawn(options_.empty_poll_one_in);
  if (!fetched.held_back) {
    const TopicShard& shard = (*readable)[random_.Below(readable->size())];
    ReadBatch(shard, subscription.cursors.at(shard), &fetched);
  }
  return fetched;
}

absl::StatusOr<std::vector<TopicShard>> Server::FindReadable(
    const SubscriptionState& subscription) {
  for (const auto& [name, identity] : subscription.topics) {
    MARQUEE_RETURN_IF_ERROR(FindSameTopic(name, identity).status());
  }
  std::vector<TopicShard> readable;
  for (const auto& [shard, cursor] : subscription.cursors) {
    MARQUEE_ASSIGN_OR_RETURN(Topic * topic, FindSameTopic(shard.topic, cursor.identity));
    const ShardLog& log = topic->shards[shard.shard.value()];
    if (absl::Status status = log.CheckReadable(cursor.next); !status.ok()) {
      return Annotate(status, Name(shard));
    }
    if (cursor.next < log.extent().end) readable.push_back(shard);
  }
  return readable;
}

void Server::ReadBatch(const TopicShard& shard, Cursor& cursor, Fetched* fetched) {
  const ShardLog& log = topics_.find(shard.topic)->second.shards[shard.shard.value()];
  Offset from = cursor.next;
  if (Drawn(options_.repeat_one_in)) {
    from = log.Back(cursor.next, 1 + random_.Below(kRepeatedRecordsMax), cursor.floor);
  }
  fetched->has_batch = true;
  fetched->shard = shard;
  fetched->whole = log.IsWholeFrom(cursor.next);
  log.Read(from, cursor.next, 1 + random_.Below(options_.batch_records_max), &fetched->records);
  bool fresh = !fetched->records.empty() && fetched->records.back()->view.offset >= cursor.next;
  // Where nothing retained is ahead, compaction took what was there.
  cursor.next = fresh ? fetched->records.back()->view.offset.next() : log.extent().end;
  fetched->next = cursor.next;
}

absl::Status Server::Start(SubscriptionId id, const TopicShard& shard,
                           const StartPosition& position) {
  MutexLock lock(mutex_);
  SubscriptionState& subscription = subscriptions_.at(id);
  return Call<absl::Status>(
      subscription.client, CallKind::kOrdinary,
      [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) -> absl::Status {
        MARQUEE_ASSIGN_OR_RETURN(ShardLog * log, FindShard(shard));
        if (subscription.member != 0 &&
            !GroupOf(subscription.group).Owns(subscription.member, shard)) {
          return absl::AbortedError(absl::StrCat(Name(shard), " is not this member's of group ",
                                                 subscription.group, "; poll and see whose it is"));
        }
        const Topic& topic = topics_.find(shard.topic)->second;
        absl::StatusOr<Offset> offset = Resolve(topic, *log, position);
        if (!offset.ok()) return Annotate(offset.status(), Name(shard));
        subscription.cursors[shard] = {topic.identity, *offset, *offset};
        return absl::OkStatus();
      });
}

absl::Status Server::Release(SubscriptionId id, const TopicShard& shard) {
  MutexLock lock(mutex_);
  SubscriptionState& subscription = subscriptions_.at(id);
  return Call<absl::Status>(subscription.client, CallKind::kOrdinary,
                            [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) -> absl::Status {
                              subscription.cursors.erase(shard);
                              if (subscription.member != 0)
                                GroupOf(subscription.group).Release(subscription.member, shard);
                              return absl::OkStatus();
                            });
}

absl::StatusOr<Offset> Server::Next(SubscriptionId id, const TopicShard& shard) {
  MutexLock lock(mutex_);
  const SubscriptionState& subscription = subscriptions_.at(id);
  if (clients_.at(subscription.client).crashed) {
    return absl::CancelledError("crashed: this client is dead");
  }
  auto at = subscription.cursors.find(shard);
  MARQUEE_CHECK(at != subscription.cursors.end());
  return at->second.next;
}

absl::StatusOr<int64_t> Server::Lag(SubscriptionId id, const TopicShard& shard) {
  MutexLock lock(mutex_);
  const SubscriptionState& subscription = subscriptions_.at(id);
  return Call<absl::StatusOr<int64_t>>(
      subscription.client, CallKind::kOrdinary,
      [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) -> absl::StatusOr<int64_t> {
        auto at = subscription.cursors.find(shard);
        MARQUEE_CHECK(at != subscription.cursors.end());
        MARQUEE_ASSIGN_OR_RETURN(Topic * topic, FindSameTopic(shard.topic, at->second.identity));
        int64_t lag = topic->shards[shard.shard.value()].CountFrom(at->second.next);
        return lag;
      });
}

absl::Status Server::ReportPosition(SubscriptionId id, const TopicShard& shard, Offset next) {
  MutexLock lock(mutex_);
  const SubscriptionState& subscription = subscriptions_.at(id);
  return Call<absl::Status>(subscription.client, CallKind::kOrdinary,
                            [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) -> absl::Status {
                              MARQUEE_RETURN_IF_ERROR(FindShard(shard).status());
                              if (subscription.group.empty()) {
                                return absl::InvalidArgumentError(
                                    "to report a position takes a group; name one when opening");
                              }
                              GroupOf(subscription.group).Report(shard, next);
                              return absl::OkStatus();
                            });
}

}  // namespace marquee::messaging::memory
