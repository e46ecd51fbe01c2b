#include "messaging/kafka/subscription.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/random.h"
#include "base/status.h"
#include "messaging/checks.h"
#include "messaging/kafka/errors.h"
#include "messaging/kafka/groups.h"

namespace marquee::messaging::kafka {
namespace {

// A waiting Poll looks up this often, for leases and identities.
constexpr absl::Duration kLookInterval = absl::Milliseconds(50);
constexpr absl::Duration kReportInterval = absl::Seconds(1);
constexpr absl::Duration kKnownFor = absl::Seconds(1);
// What could not be fetched is fetched again after this long.
constexpr absl::Duration kRestartPause = absl::Milliseconds(100);

std::string Show(const TopicShard& shard) {
  return fmt::format("{}/{}", shard.topic, shard.shard.value());
}

// What operators see in Kafka's tools.
std::string KafkasOwn(TopicKind kind, Offset offset) {
  return kind == TopicKind::kEvent ? fmt::format(" (Kafka's {})", ToKafka(kind, offset).value())
                                   : "";
}

absl::Status GapError(const TopicShard& shard, TopicKind kind, Offset asked, const Extent& extent) {
  if (asked < extent.begin) {
    return absl::OutOfRangeError(fmt::format(
        "{}: offset {} is gone: offsets {} to {} were dropped (retention, or deleted by hand); "
        "what is kept begins at {}{}",
        Show(shard), asked.value(), asked.value(), extent.begin.value() - 1, extent.begin.value(),
        KafkasOwn(kind, extent.begin)));
  }
  return absl::OutOfRangeError(fmt::format(
      "{}: offset {} is beyond the end, {}{}: the log was cut, or is another than the position is "
      "of",
      Show(shard), asked.value(), extent.end.value(), KafkasOwn(kind, extent.end)));
}

std::string MadeUpName() {
  return fmt::format("marquee-{:08x}", Random::FromSystem().Next() & 0xffffffff);
}

}  // namespace

KafkaSubscription::KafkaSubscription(World& world, SubscriptionOptions options)
    : world_(world), options_(std::move(options)), ready_(options_.headers), watch_(*world.admin) {
  MARQUEE_CHECK(options_.linger <= kReadLingerMax);
  if (options_.member.empty()) options_.member = MadeUpName();
}

KafkaSubscription::~KafkaSubscription() {
  WriteReports(/*at_once=*/true);
  ready_.Clear();
  memberships_.clear();
  if (fetcher_ != nullptr && options_.linger <= absl::ZeroDuration())
    world_.fetchers.Return(std::move(fetcher_));
}

absl::Status KafkaSubscription::Join(std::span<const std::string> topics) {
  if (options_.group.empty() || topics.empty()) {
    return absl::InvalidArgumentError("to join a group, name it and the topics that it shares");
  }
  if (options_.session_timeout < absl::Milliseconds(1)) {
    return absl::InvalidArgumentError(
        fmt::format("group {}: expected a session timeout above 0, found {}", options_.group,
                    absl::FormatDuration(options_.session_timeout)));
  }
  std::map<uint32_t, std::set<std::string>> by_shards;
  for (const std::string& topic : topics) {
    MARQUEE_ASSIGN_OR_RETURN(TopicInfo info, world_.topics.DescribeRecent(topic, kKnownFor));
    by_shards[info.spec.shards].insert(topic);
    watched_[topic] = {info.identity, info.spec.shards, info.spec.kind};
  }
  uint32_t most = by_shards.rbegin()->first;
  for (const auto& [shards, names] : by_shards) {
    MembershipOptions membership{.group = KafkaGroupOf(options_.group, shards, most),
                                 .member = options_.member,
                                 .session_timeout = options_.session_timeout,
                                 .topics = {names.begin(), names.end()},
                                 .shards = shards};
    MARQUEE_ASSIGN_OR_RETURN(
        std::unique_ptr<GroupMembership> joined,
        GroupMembership::Join(world_.settings, std::move(membership), world_.clock, &bell_));
    for (const std::string& name : names) membership_of_[name] = joined.get();
    memberships_.push_back(std::move(joined));
  }
  return absl::OkStatus();
}

GroupMembership* KafkaSubscription::MembershipOf(const std::string& topic) const {
  auto found = membership_of_.find(topic);
  return found == membership_of_.end() ? nullptr : found->second;
}

void KafkaSubscription::ForgetLost(size_t first_event) {
  for (size_t i = first_event; i < events_.size(); ++i) {
    if (events_[i].kind == OwnershipEvent::Kind::kLost) Forget(events_[i].shard);
  }
}

absl::Status KafkaSubscription::Refresh() {
  size_t before = events_.size();
  absl::Status status;
  for (const auto& membership : memberships_) status.Update(membership->Refresh(&events_));
  ForgetLost(before);
  return status;
}

bool KafkaSubscription::IsExpired() const {
  return std::any_of(memberships_.begin(), memberships_.end(),
                     [](const auto& membership) { return membership->IsExpired(); });
}

absl::StatusOr<Delivery> KafkaSubscription::Poll(absl::Duration wait) {
  absl::Duration give_up = world_.clock.Uptime() + wait;
  while (true) {
    bell_.Reset();
    WeighTroubles();  // may take its time, so before the look at what is owned
    MARQUEE_RETURN_IF_ERROR(Refresh());
    MARQUEE_RETURN_IF_ERROR(Fetch());
    // This process may have stood still since the last line.
    if (IsExpired()) continue;
    watch_error_.Update(watch_.Look(watched_, &suspects_));
    Delivery delivery;
    if (watch_error_.ok()) delivery.batch = NextBatch();
    if (events_.empty() && !delivery.batch) MARQUEE_RETURN_IF_ERROR(FirstError());
    delivery.events = std::exchange(events_, {});
    WriteReports(/*at_once=*/false);
    absl::Duration left = give_up - world_.clock.Uptime();
    if (!delivery.events.empty() || delivery.batch || world_.clock.IsManual() ||
        left <= absl::ZeroDuration()) {
      return delivery;
    }
    bell_.Wait(std::min(left, kLookInterval));
  }
}

absl::Status KafkaSubscription::FirstError() const {
  for (const auto& [shard, started] : started_) MARQUEE_RETURN_IF_ERROR(started.error);
  return watch_error_;
}

// Begins to fetch what was started, and takes what was fetched when all before was handed out.
absl::Status KafkaSubscription::Fetch() {
  if (fetcher_is_old_) RenewFetcher();
  absl::Duration now = world_.clock.Uptime();
  for (auto& [shard, started] : started_) {
    if (started.fetching || !started.error.ok() || now < started.fetch_at) continue;
    if (fetcher_ == nullptr) {
      MARQUEE_ASSIGN_OR_RETURN(fetcher_, Fetcher::Open(world_.settings, options_.linger));
      fetcher_->WakeBy(&bell_);
    }
    MARQUEE_RETURN_IF_ERROR(fetcher_->Start({shard, started.kind},
                                            watched_.at(shard.topic).identity,
                                            ToKafka(started.kind, started.next)));
    started.fetching = true;
  }
  if (fetcher_ == nullptr) return absl::OkStatus();
  if (ready_.empty()) ready_.Fill(*fetcher_);
  return fetcher_->client().Refusal();
}

void KafkaSubscription::RenewFetcher() {
  fetcher_is_old_ = false;
  fetcher_->StopAll();
  ready_.Clear();
  fetcher_.reset();
  for (auto& [shard, started] : started_) started.fetching = started.heard = false;
}

std::optional<Batch> KafkaSubscription::NextBatch() {
  while (!ready_.empty()) {
    const Portion& portion = ready_.Pop();
    auto started = started_.find(portion.source.shard);
    if (started == started_.end()) continue;
    // Whoever releases it on being told would not expect records of it afterwards. Until then it is
    // started: whoever goes on with it reads again from where it is.
    if (IsBeingRevoked(started->first)) {
      StopFetching(started->first, started->second);
      continue;
    }
    std::optional<Batch> batch = BatchOf(portion, started->second);
    if (!batch) continue;
    batch->shard = started->first;
    return batch;
  }
  return std::nullopt;
}

void KafkaSubscription::StopFetching(const TopicShard& shard, Started& started) {
  fetcher_->Stop(shard);
  ready_.Drop(shard);
  started.fetching = false;
}

std::optional<Batch> KafkaSubscription::BatchOf(const Portion& portion, Started& at) {
  Unpacked read = ready_.Unpack(portion);
  const Offset before = at.next;
  const KafkaOffset position = ToKafka(at.kind, before);
  at.heard = true;
  if (read.next) at.next = std::max(before, FromKafka(at.kind, *read.next));
  if (read.messages > 0) {
    at.failing_since = absl::InfiniteDuration();
    at.records_a_message =
        std::max<int64_t>(1, static_cast<int64_t>(read.records.size()) / read.messages);
  }
  at.error = read.damage;
  if (portion.error != RD_KAFKA_RESP_ERR_NO_ERROR) {
    at.fetch_at = absl::InfiniteDuration();
    at.trouble = portion.error;
    at.trouble_text = portion.error_text;
  }
  // What librdkafka reads on beyond it may lie behind a hole.
  if (!at.error.ok() || portion.error != RD_KAFKA_RESP_ERR_NO_ERROR)
    StopFetching(portion.source.shard, at);
  // Offsets have no holes but where compaction took something away.
  bool whole = !at.since && read.messages > 0 && *portion.first >= position &&
               read.messages == ToKafka(at.kind, at.next).value() - position.value();
  std::span<const Record> records = WantedOf(read.records, before, at.since);
  if (!records.empty()) at.since.reset();
  if (at.next <= before && records.empty()) return std::nullopt;
  return Batch{.shard = {}, .records = records, .next = at.next, .whole = whole};
}

void KafkaSubscription::WeighTroubles() {
  for (const std::string& topic : std::exchange(suspects_, {})) {
    auto watched = watched_.find(topic);
    if (watched == watched_.end()) continue;
    absl::Status same =
        world_.topics.CheckIdentity(topic, watched->second.identity, absl::ZeroDuration());
    if (absl::IsNotFound(same) || absl::IsFailedPrecondition(same)) watch_error_.Update(same);
  }
  for (auto& [shard, started] : started_) {
    if (started.trouble == RD_KAFKA_RESP_ERR_NO_ERROR) continue;
    started.error = ErrorOf(shard, started);
    started.trouble = RD_KAFKA_RESP_ERR_NO_ERROR;
    started.fetch_at = world_.clock.Uptime() + kRestartPause;
  }
}

absl::Status KafkaSubscription::ErrorOf(const TopicShard& shard, Started& started) {
  const Offset next = started.next;
  absl::Status same = world_.topics.CheckIdentity(shard.topic, watched_.at(shard.topic).identity,
                                                  absl::ZeroDuration());
  if (!same.ok() && !absl::IsDeadlineExceeded(same)) return same;
  absl::Status status =
      StatusOf(started.trouble, fmt::format("read {}", Show(shard)), started.trouble_text);
  if (IsRefusal(started.trouble, started.trouble_text)) return status;
  if (started.trouble == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET ||
      started.trouble == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE) {
    absl::StatusOr<Extent> extent = world_.topics.ExtentOf(shard);
    if (absl::IsDeadlineExceeded(extent.status())) return absl::OkStatus();
    if (!extent.ok()) return extent.status();
    if (next < extent->begin || next > extent->end)
      return GapError(shard, started.kind, next, *extent);
    return absl::OutOfRangeError(fmt::format(
        "{}: the log was cut below offset {} and filled anew, and what was read there is not what "
        "it holds now ({}); it holds {} to {}",
        Show(shard), next.value(), started.trouble_text, extent->begin.value(),
        extent->end.value()));
  }
  absl::Duration now = world_.clock.Uptime();
  started.failing_since = std::min(started.failing_since, now);
  if (now - started.failing_since < world_.admin->deadline()) return absl::OkStatus();
  if (!absl::IsUnavailable(status)) return status;
  return absl::DeadlineExceededError(fmt::format("waited {} to read on at offset {}: {}",
                                                 absl::FormatDuration(world_.admin->deadline()),
                                                 next.value(), std::string(status.message())));
}

bool KafkaSubscription::IsBeingRevoked(const TopicShard& shard) const {
  return std::any_of(events_.begin(), events_.end(), [&](const OwnershipEvent& event) {
    return event.kind == OwnershipEvent::Kind::kRevoked && event.shard == shard;
  });
}

absl::StatusOr<Offset> KafkaSubscription::Resolve(const TopicShard& shard, const TopicInfo& info,
                                                  const StartPosition& position) {
  if (const auto* since = std::get_if<StartPosition::Since>(&position.at))
    return world_.topics.OffsetAt(shard, since->time);
  MARQUEE_ASSIGN_OR_RETURN(Extent extent, world_.topics.ExtentOf(shard));
  if (std::holds_alternative<StartPosition::Earliest>(position.at)) return extent.begin;
  if (std::holds_alternative<StartPosition::Latest>(position.at)) return extent.end;
  const auto& kept = std::get<Position>(position.at);
  if (kept.topic_identity != info.identity) {
    return absl::FailedPreconditionError(
        fmt::format("{}: the position is of a topic with identity {}, and this one has {}; it was "
                    "deleted and made again, and the position is of no use here",
                    Show(shard), kept.topic_identity, info.identity));
  }
  if (kept.offset < extent.begin || kept.offset > extent.end)
    return GapError(shard, info.spec.kind, kept.offset, extent);
  return kept.offset;
}

absl::Status KafkaSubscription::Start(const TopicShard& shard, const StartPosition& position) {
  if (!memberships_.empty()) {
    GroupMembership* membership = MembershipOf(shard.topic);
    if (membership == nullptr) {
      return absl::AbortedError(
          fmt::format("group {} does not share topic {}", options_.group, shard.topic));
    }
    MARQUEE_RETURN_IF_ERROR(membership->CheckOwns(shard));
  }
  MARQUEE_ASSIGN_OR_RETURN(TopicInfo info, world_.topics.DescribeRecent(shard.topic, kKnownFor));
  MARQUEE_RETURN_IF_ERROR(CheckShard(info.spec, shard.shard));
  MARQUEE_ASSIGN_OR_RETURN(Offset offset, Resolve(shard, info, position));
  if (fetcher_ == nullptr) {
    MARQUEE_ASSIGN_OR_RETURN(fetcher_, options_.linger > absl::ZeroDuration()
                                           ? Fetcher::Open(world_.settings, options_.linger)
                                           : world_.fetchers.Take());
    fetcher_->WakeBy(&bell_);
  }
  fetcher_is_old_ |= fetcher_->KnowsAnother(shard.topic, info.identity);
  fetcher_->Stop(shard);
  ready_.Drop(shard);
  auto watched = watched_.find(shard.topic);
  if (watched == watched_.end() || watched->second.identity != info.identity) {
    // What was started of a former topic of this name has nothing more to read.
    for (auto& [other, started] : started_) {
      if (watched != watched_.end() && other.topic == shard.topic && started.fetching)
        fetcher_->Stop(other);
    }
    if (watched != watched_.end())
      std::erase_if(started_, [&](const auto& entry) { return entry.first.topic == shard.topic; });
    watched_[shard.topic] = {info.identity, info.spec.shards, info.spec.kind};
    watch_error_ = absl::OkStatus();
    watch_.Forget();
  }
  Started started{.kind = info.spec.kind, .next = offset};
  if (const auto* since = std::get_if<StartPosition::Since>(&position.at))
    started.since = since->time;
  started_.insert_or_assign(shard, std::move(started));
  return absl::OkStatus();
}

void KafkaSubscription::Forget(const TopicShard& shard) {
  if (started_.erase(shard) == 0) return;
  fetcher_->Stop(shard);
  ready_.Drop(shard);
  auto same_topic = [&](const auto& entry) { return entry.first.topic == shard.topic; };
  if (MembershipOf(shard.topic) == nullptr &&
      std::none_of(started_.begin(), started_.end(), same_topic)) {
    watched_.erase(shard.topic);
    watch_error_ = absl::OkStatus();
    watch_.Forget();
  }
}

absl::Status KafkaSubscription::Release(const TopicShard& shard) {
  Forget(shard);
  if (GroupMembership* membership = MembershipOf(shard.topic); membership != nullptr)
    membership->Release(shard);
  return absl::OkStatus();
}

absl::StatusOr<Offset> KafkaSubscription::Next(const TopicShard& shard) const {
  auto found = started_.find(shard);
  MARQUEE_CHECK(found != started_.end());
  return found->second.next;
}

absl::StatusOr<int64_t> KafkaSubscription::Lag(const TopicShard& shard) {
  auto found = started_.find(shard);
  MARQUEE_CHECK(found != started_.end());
  const Started& started = found->second;
  std::optional<KafkaOffset> end;
  if (started.heard) end = fetcher_->KnownEnd(shard);
  if (!end) {
    MARQUEE_ASSIGN_OR_RETURN(Extent extent, world_.topics.ExtentOf(shard));
    end = ToKafka(started.kind, extent.end);
  }
  int64_t messages = end->value() - ToKafka(started.kind, started.next).value();
  return std::max<int64_t>(0, messages) * started.records_a_message;
}

absl::Status KafkaSubscription::ReportPosition(const TopicShard& shard, Offset next) {
  if (options_.group.empty()) {
    return absl::FailedPreconditionError(
        "a subscription without a group has nobody to report a position for");
  }
  MARQUEE_ASSIGN_OR_RETURN(TopicKind kind, KindOf(shard.topic));
  // Inside a pack: not all of it is read.
  KafkaOffset offset = ToKafka(kind, next);
  if (memberships_.empty()) {
    reports_[shard] = offset;
    WriteReports(/*at_once=*/false);
  } else if (GroupMembership* membership = MembershipOf(shard.topic);
             membership != nullptr && membership->Has(shard)) {
    membership->Report(shard, offset);
  }
  return absl::OkStatus();
}

absl::StatusOr<TopicKind> KafkaSubscription::KindOf(const std::string& topic) {
  auto watched = watched_.find(topic);
  if (watched != watched_.end()) return watched->second.kind;
  MARQUEE_ASSIGN_OR_RETURN(TopicInfo info, world_.topics.DescribeRecent(topic, kKnownFor));
  return info.spec.kind;
}

void KafkaSubscription::WriteReports(bool at_once) {
  if (reports_.empty()) return;
  absl::Duration now = world_.clock.Uptime();
  if (!at_once && now - reported_at_ < kReportInterval) return;
  reported_at_ = now;
  CommitForGroup(*world_.admin, options_.group, reports_, /*wait=*/at_once);
  reports_.clear();
}

}  // namespace marquee::messaging::kafka
