// Publishing: what is pending, and what of it is stored when.
#include <iterator>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "messaging/checks.h"
#include "messaging/memory/server.h"

namespace marquee::messaging::memory {

// As brokers differ in it.
size_t Server::DrawTogetherBytesMax() {
  constexpr size_t kWays[] = {0, 256, kQueueBytesMax};
  return kWays[random_.Below(std::size(kWays))];
}

absl::StatusOr<PublisherId> Server::OpenPublisher(ClientId id, std::string_view topic_name) {
  MutexLock lock(mutex_);
  return Call<absl::StatusOr<PublisherId>>(
      id, CallKind::kOrdinary,
      [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) -> absl::StatusOr<PublisherId> {
        MARQUEE_ASSIGN_OR_RETURN(Topic * topic, FindTopic(topic_name));
        PublisherState& publisher = publishers_[++last_id_];
        publisher.client = id;
        publisher.topic = topic->spec.name;
        publisher.identity = topic->identity;
        publisher.together_bytes_max =
            options_.together_bytes_max ? *options_.together_bytes_max : DrawTogetherBytesMax();
        return last_id_;
      });
}

void Server::ClosePublisher(PublisherId id) {
  MutexLock lock(mutex_);
  StoreAny(publishers_.at(id));
  publishers_.erase(id);
  news_.SignalAll();
}

absl::Status Server::Publish(PublisherId id, std::span<const NewRecord> records) {
  MutexLock lock(mutex_);
  PublisherState& publisher = publishers_.at(id);
  absl::Status invalid;
  absl::Status status =
      Call<absl::Status>(publisher.client, CallKind::kPublish,
                         [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) -> absl::Status {
                           absl::Status queued = Enqueue(publisher, records);
                           if (!absl::IsInvalidArgument(queued)) return queued;
                           invalid = queued;  // nothing was taken, and what was pending stays
                           return absl::OkStatus();
                         });
  if (!status.ok()) StoreAny(publisher);
  return status.ok() ? invalid : status;
}

absl::Status Server::Enqueue(PublisherState& publisher, std::span<const NewRecord> records) {
  MARQUEE_ASSIGN_OR_RETURN(Topic * topic, FindSameTopic(publisher.topic, publisher.identity));
  for (const NewRecord& record : records) {
    MARQUEE_RETURN_IF_ERROR(CheckRecord(topic->spec, record));
  }
  const Client& client = clients_.at(publisher.client);
  bool together = BytesTogether(records) <= publisher.together_bytes_max;
  uint64_t call = together ? ++publisher.calls : 0;
  for (const NewRecord& record : records) {
    if (publisher.pending_bytes >= kQueueBytesMax || publisher.pending.size() >= kQueueRecordsMax) {
      absl::Status reached = AwaitServer(client, client.deadline);
      if (absl::IsUnavailable(reached)) {
        return absl::DeadlineExceededError(
            absl::StrCat("topic ", publisher.topic, ": the queue is full with ",
                         publisher.pending.size(), " records; ", reached.message()));
      }
      MARQUEE_RETURN_IF_ERROR(reached);
      StoreAll(publisher);
      // The topic may have gone while this waited.
      MARQUEE_RETURN_IF_ERROR(FindSameTopic(publisher.topic, publisher.identity).status());
    }
    absl::Time published = absl::FromUnixMillis(absl::ToUnixMillis(client.clock->Now()));
    auto stored = std::make_shared<StoredRecord>(record, published);
    publisher.pending_bytes += stored->bytes();
    Shard shard = record.shard.value_or(ShardOfKey(record.key, topic->spec.shards));
    publisher.pending.push_back({shard, std::move(stored), clock_.Uptime(), call});
  }
  return absl::OkStatus();
}

size_t Server::TogetherBytesMax(PublisherId id) {
  MutexLock lock(mutex_);
  return publishers_.at(id).together_bytes_max;
}

absl::StatusOr<FlushedThrough> Server::Flush(PublisherId id) {
  MutexLock lock(mutex_);
  PublisherState& publisher = publishers_.at(id);
  auto through = Call<absl::StatusOr<FlushedThrough>>(
      publisher.client, CallKind::kOrdinary,
      [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) -> absl::StatusOr<FlushedThrough> {
        MARQUEE_ASSIGN_OR_RETURN(Topic * topic, FindSameTopic(publisher.topic, publisher.identity));
        StoreAll(publisher);
        FlushedThrough covered = publisher.through;
        for (auto& [shard, offset] : covered) {
          if (random_.OneIn(2)) offset = topic->shards[shard.value()].extent().end;
        }
        return covered;
      });
  if (!through.ok()) StoreAny(publisher);
  return through;
}

void Server::Store(PublisherState& publisher, Topic& topic) {
  Pending pending = std::move(publisher.pending.front());
  publisher.pending.pop_front();
  publisher.pending_bytes -= pending.record->bytes();
  Offset offset = topic.shards[pending.shard.value()].Append(std::move(pending.record), random_);
  publisher.through[pending.shard] = offset.next();
}

void Server::StoreAll(PublisherState& publisher) {
  auto topic = FindSameTopic(publisher.topic, publisher.identity);
  while (topic.ok() && !publisher.pending.empty()) Store(publisher, **topic);
}

void Server::StoreAny(PublisherState& publisher) {
  auto topic = FindSameTopic(publisher.topic, publisher.identity);
  bool reached = topic.ok() && CanReach(clients_.at(publisher.client));
  enum { kNone, kAll, kPrefix, kSubset, kWays };
  uint64_t way = random_.Below(kWays);
  uint64_t prefix = random_.Below(publisher.pending.size() + 1);
  std::set<std::pair<uint64_t, Shard>> ended;  // calls of which one was not stored
  while (!publisher.pending.empty()) {
    const Pending& next = publisher.pending.front();
    bool stored =
        way == kAll || (way == kPrefix && prefix-- > 0) || (way == kSubset && random_.OneIn(2));
    if (way == kPrefix && !stored) prefix = 0;
    if (stored && next.together != 0) stored = !ended.contains({next.together, next.shard});
    if (!stored && next.together != 0) ended.insert({next.together, next.shard});
    if (reached && stored) {
      Store(publisher, **topic);
    } else {
      publisher.pending.pop_front();
    }
  }
  publisher.pending_bytes = 0;
}

void Server::StoreSomethingEarly() {
  std::vector<PublisherState*> candidates;
  for (auto& [unused, publisher] : publishers_) {
    if (!publisher.pending.empty() && CanReach(clients_.at(publisher.client))) {
      candidates.push_back(&publisher);
    }
  }
  if (candidates.empty()) return;
  PublisherState& publisher = *candidates[random_.Below(candidates.size())];
  auto topic = FindSameTopic(publisher.topic, publisher.identity);
  uint64_t records = 1 + random_.Below(publisher.pending.size());
  for (uint64_t i = 0; topic.ok() && i < records; ++i) Store(publisher, **topic);
}

}  // namespace marquee::messaging::memory
