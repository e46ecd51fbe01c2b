#include "messaging/sqlite/sqlite_subscription.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/status.h"

namespace marquee::messaging {
namespace {

// How often other processes' commits are looked for. Those of this process wake a poll at once.
constexpr absl::Duration kLookInterval = absl::Milliseconds(5);
constexpr absl::Duration kReportInterval = absl::Seconds(1);

}  // namespace

SqliteSubscription::SqliteSubscription(Store& store, TopicDirectory& directory,
                                       SubscriptionOptions options)
    : store_(store), directory_(directory), options_(std::move(options)) {}

SqliteSubscription::~SqliteSubscription() {
  // For monitoring alone; nobody misses what cannot be written.
  (void)WriteReports(/*at_once=*/true);
}

absl::Status SqliteSubscription::Join(std::span<const std::string> topics) {
  if (options_.group.empty() || topics.empty()) {
    return absl::InvalidArgumentError("to join a group, name it and the topics that it shares");
  }
  if (options_.session_timeout <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError(
        fmt::format("group {}: expected a session timeout above 0, found {}", options_.group,
                    absl::FormatDuration(options_.session_timeout)));
  }
  std::map<std::string, uint32_t> shards;
  for (const std::string& topic : topics) {
    MARQUEE_ASSIGN_OR_RETURN(std::shared_ptr<TopicFile> file, directory_.Find(topic));
    shards[topic] = file->spec().shards;
  }
  MARQUEE_RETURN_IF_ERROR(OpenGroups());
  MARQUEE_ASSIGN_OR_RETURN(member_, GroupMember::Join(store_, *groups_, options_, shards));
  return absl::OkStatus();
}

absl::Status SqliteSubscription::OpenGroups() {
  if (groups_ != nullptr) return absl::OkStatus();
  MARQUEE_ASSIGN_OR_RETURN(groups_, GroupStore::Open(store_));
  return absl::OkStatus();
}

absl::StatusOr<Delivery> SqliteSubscription::Poll(absl::Duration wait) {
  absl::Duration give_up = store_.clock.Uptime() + wait;
  while (true) {
    uint64_t seen = store_.notifier.count();
    if (member_ != nullptr) {
      size_t before = events_.size();
      absl::Status status = member_->Refresh(&events_);
      for (size_t i = before; i < events_.size(); ++i) {
        if (events_[i].kind == OwnershipEvent::Kind::kLost) Forget(events_[i].shard);
      }
      MARQUEE_RETURN_IF_ERROR(status);
    }
    Delivery delivery;
    MARQUEE_ASSIGN_OR_RETURN(delivery.batch, NextBatch());
    delivery.events = std::exchange(events_, {});
    // One that cannot be written is written with the next.
    (void)WriteReports(/*at_once=*/false);
    if (!delivery.events.empty() || delivery.batch.has_value() || store_.clock.IsManual())
      return delivery;
    absl::Duration left = give_up - store_.clock.Uptime();
    if (left <= absl::ZeroDuration()) return delivery;
    store_.notifier.Wait(seen, std::min(left, kLookInterval));
  }
}

absl::Status SqliteSubscription::RefreshReaders() {
  refreshed_at_ = store_.clock.Uptime();
  for (auto& [topic, reader] : readers_) MARQUEE_RETURN_IF_ERROR(reader->Refresh());
  return absl::OkStatus();
}

absl::StatusOr<std::optional<Batch>> SqliteSubscription::NextBatch() {
  // While one shard has much to read, what is new in the others is still seen soon.
  if (store_.clock.Uptime() - refreshed_at_ < kLookInterval) {
    MARQUEE_ASSIGN_OR_RETURN(std::optional<Batch> batch, ReadStarted());
    if (batch.has_value()) return batch;
  }
  MARQUEE_RETURN_IF_ERROR(RefreshReaders());
  return ReadStarted();
}

absl::StatusOr<std::optional<Batch>> SqliteSubscription::ReadStarted() {
  auto next = started_.upper_bound(last_read_);
  for (size_t i = 0; i < started_.size(); ++i, ++next) {
    if (next == started_.end()) next = started_.begin();
    // Whoever releases it on being told would not expect records of it afterwards.
    if (IsBeingRevoked(next->first)) continue;
    MARQUEE_ASSIGN_OR_RETURN(std::optional<Batch> batch, ReadOne(next->first, &next->second));
    if (!batch.has_value()) continue;
    last_read_ = next->first;
    return batch;
  }
  return std::optional<Batch>();
}

bool SqliteSubscription::IsBeingRevoked(const TopicShard& shard) const {
  return std::any_of(events_.begin(), events_.end(), [&](const OwnershipEvent& event) {
    return event.kind == OwnershipEvent::Kind::kRevoked && event.shard == shard;
  });
}

absl::StatusOr<std::optional<Batch>> SqliteSubscription::ReadOne(const TopicShard& shard,
                                                                 Offset* position) {
  TopicReader& reader = *readers_.at(shard.topic);
  MARQUEE_ASSIGN_OR_RETURN(ShardState state, reader.State(shard.shard));
  if (*position >= state.end) return std::optional<Batch>();
  MARQUEE_ASSIGN_OR_RETURN(Offset next, reader.Read(shard.shard, *position, &decoder_));
  if (next == *position) return std::optional<Batch>();
  std::span<const Record> records = decoder_.records();
  auto first =
      std::lower_bound(records.begin(), records.end(), *position,
                       [](const Record& record, Offset offset) { return record.offset < offset; });
  records = records.subspan(static_cast<size_t>(first - records.begin()));
  // Offsets have no holes but where compaction took something away.
  auto count = static_cast<int64_t>(records.size());
  Offset before = std::exchange(*position, next);
  return Batch{.shard = shard,
               .records = records,
               .next = next,
               .whole = count == next.value() - before.value()};
}

absl::StatusOr<TopicReader*> SqliteSubscription::ReaderOf(const std::string& topic) {
  MARQUEE_ASSIGN_OR_RETURN(std::shared_ptr<TopicFile> file, directory_.Find(topic));
  auto known = readers_.find(topic);
  if (known != readers_.end() && known->second->file().identity() == file->identity())
    return known->second.get();
  // What was started of a former topic of this name has nothing more to read.
  std::erase_if(started_, [&](const auto& entry) { return entry.first.topic == topic; });
  MARQUEE_ASSIGN_OR_RETURN(std::unique_ptr<TopicReader> opened, TopicReader::Open(std::move(file)));
  std::unique_ptr<TopicReader>& reader = readers_[topic];
  reader = std::move(opened);
  return reader.get();
}

absl::Status SqliteSubscription::Start(const TopicShard& shard, const StartPosition& position) {
  if (member_ != nullptr) MARQUEE_RETURN_IF_ERROR(member_->CheckOwns(shard));
  MARQUEE_ASSIGN_OR_RETURN(TopicReader * reader, ReaderOf(shard.topic));
  absl::StatusOr<Offset> offset = reader->Resolve(shard.shard, position);
  if (offset.ok()) {
    started_[shard] = *offset;
    return absl::OkStatus();
  }
  // A reader without a started shard would be refreshed for nothing.
  if (!started_.contains(shard)) Forget(shard);
  return offset.status();
}

void SqliteSubscription::Forget(const TopicShard& shard) {
  started_.erase(shard);
  auto same_topic = [&](const auto& entry) { return entry.first.topic == shard.topic; };
  if (std::none_of(started_.begin(), started_.end(), same_topic)) readers_.erase(shard.topic);
}

absl::Status SqliteSubscription::Release(const TopicShard& shard) {
  Forget(shard);
  return member_ != nullptr ? member_->Release(shard) : absl::OkStatus();
}

absl::StatusOr<Offset> SqliteSubscription::Next(const TopicShard& shard) const {
  auto found = started_.find(shard);
  MARQUEE_CHECK(found != started_.end());
  return found->second;
}

absl::StatusOr<int64_t> SqliteSubscription::Lag(const TopicShard& shard) {
  auto found = started_.find(shard);
  MARQUEE_CHECK(found != started_.end());
  return readers_.at(shard.topic)->shared_file()->CountRecords(shard.shard, found->second);
}

absl::Status SqliteSubscription::ReportPosition(const TopicShard& shard, Offset next) {
  if (options_.group.empty()) {
    return absl::FailedPreconditionError(
        "a subscription without a group has nobody to report a position for");
  }
  reports_[shard] = next;
  return WriteReports(/*at_once=*/store_.clock.IsManual());
}

absl::Status SqliteSubscription::WriteReports(bool at_once) {
  if (reports_.empty()) return absl::OkStatus();
  absl::Duration now = store_.clock.Uptime();
  if (!at_once && now - reported_at_ < kReportInterval) return absl::OkStatus();
  reported_at_ = now;
  MARQUEE_RETURN_IF_ERROR(OpenGroups());
  MARQUEE_RETURN_IF_ERROR(groups_->PutReported(options_.group, reports_));
  reports_.clear();
  return absl::OkStatus();
}

}  // namespace marquee::messaging
