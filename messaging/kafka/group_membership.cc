#include "messaging/kafka/group_membership.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/status.h"
#include "messaging/kafka/errors.h"
#include "spdlog/spdlog.h"

namespace marquee::messaging::kafka {
namespace {

constexpr absl::Duration kReportInterval = absl::Seconds(1);
// What was given back without need comes again after this long.
constexpr absl::Duration kRegainAfter = absl::Milliseconds(300);
constexpr absl::Duration kMemberIdInterval = absl::Milliseconds(200);
constexpr absl::Duration kLeaveMax = absl::Seconds(3);
constexpr absl::Duration kHeartbeatMin = absl::Milliseconds(50);
constexpr absl::Duration kHeartbeatMax = absl::Seconds(3);
constexpr int kHeartbeatsPerSession = 10;
constexpr int kCommittedTimeoutMs = 500;
constexpr int kCommitTimeoutMs = 2'000;

std::string Ms(absl::Duration duration) {
  return fmt::format("{}", absl::ToInt64Milliseconds(duration));
}

ConfigLines ConfigFor(const KafkaSettings& settings, const MembershipOptions& options) {
  ConfigLines config = CommonConfig(settings, options.member);
  config["group.id"] = options.group;
  config["partition.assignment.strategy"] = "cooperative-sticky";
  config["session.timeout.ms"] = Ms(options.session_timeout);
  config["heartbeat.interval.ms"] =
      Ms(std::clamp(options.session_timeout / kHeartbeatsPerSession, kHeartbeatMin, kHeartbeatMax));
  // The seam's rule: who does not poll in a session timeout is taken for dead.
  config["max.poll.interval.ms"] = Ms(options.session_timeout);
  config["enable.auto.commit"] = "false";
  config["enable.auto.offset.store"] = "false";
  config["auto.offset.reset"] = "error";
  config["queued.min.messages"] = "1";
  return config;
}

}  // namespace

std::string CommitText(uint64_t generation, bool reported) {
  return fmt::format("marquee generation={} reported={}", generation, reported ? 1 : 0);
}

CommitNote ParseCommitText(std::string_view text) {
  CommitNote note;
  unsigned long long generation = 0;
  int reported = 0;
  std::string copy(text);
  if (std::sscanf(copy.c_str(), "marquee generation=%llu reported=%d", &generation, &reported) == 2)
    note = {generation, reported != 0};
  return note;
}

absl::StatusOr<std::unique_ptr<GroupMembership>> GroupMembership::Join(
    const KafkaSettings& settings, MembershipOptions options, Clock& clock, Bell* bell) {
  std::unique_ptr<GroupMembership> membership(
      new GroupMembership(settings, std::move(options), clock, bell));
  MARQUEE_RETURN_IF_ERROR(membership->Open());
  return membership;
}

absl::Status GroupMembership::Open() {
  Client::Callbacks callbacks;
  callbacks.events = RD_KAFKA_EVENT_REBALANCE;
  MARQUEE_ASSIGN_OR_RETURN(
      client_, Client::Open(RD_KAFKA_CONSUMER, ConfigFor(settings_, options_), callbacks));
  rd_kafka_poll_set_consumer(client_->handle());
  queue_.reset(rd_kafka_queue_get_consumer(client_->handle()));
  rd_kafka_queue_cb_event_enable(
      queue_.get(), [](rd_kafka_t*, void* bell) { static_cast<Bell*>(bell)->Ring(); }, bell_);
  PartitionsPtr topics(rd_kafka_topic_partition_list_new(1));
  rd_kafka_topic_partition_list_add(topics.get(), options_.topics[0].c_str(),
                                    RD_KAFKA_PARTITION_UA);
  rd_kafka_resp_err_t error = rd_kafka_subscribe(client_->handle(), topics.get());
  refreshed_at_ = clock_.Uptime();
  if (error == RD_KAFKA_RESP_ERR_NO_ERROR) return absl::OkStatus();
  return StatusOf(error, fmt::format("join group {}", options_.group));
}

GroupMembership::~GroupMembership() {
  if (client_ == nullptr) return;
  if (!IsExpired()) WriteReports(/*at_once=*/true);
  Close();
}

void GroupMembership::Close() {
  rd_kafka_t* handle = client_->handle();
  rd_kafka_queue_cb_event_enable(queue_.get(), nullptr, nullptr);
  if (revocation_ != nullptr) {
    ErrorPtr ignored(rd_kafka_incremental_unassign(
        handle, rd_kafka_event_topic_partition_list(revocation_.get())));
    revocation_.reset();
  }
  QueuePtr closing(rd_kafka_queue_new(handle));
  ErrorPtr error(rd_kafka_consumer_close_queue(handle, closing.get()));
  absl::Duration give_up = clock_.Uptime() + kLeaveMax;
  while (error == nullptr && rd_kafka_consumer_closed(handle) == 0 && clock_.Uptime() < give_up) {
    EventPtr event(rd_kafka_queue_poll(closing.get(), 20));
    if (event == nullptr || rd_kafka_event_type(event.get()) != RD_KAFKA_EVENT_REBALANCE) continue;
    rd_kafka_assign(handle, nullptr);
  }
  closing.reset();
  queue_.reset();
  client_.reset();
  held_.clear();
}

bool GroupMembership::IsExpired() const {
  return clock_.Uptime() - refreshed_at_ > options_.session_timeout;
}

absl::Status GroupMembership::Refresh(std::vector<OwnershipEvent>* events) {
  if (client_ == nullptr) MARQUEE_RETURN_IF_ERROR(Open());
  if (IsExpired()) {
    // The group has given everything to others by now, or is about to: come back as a new member.
    spdlog::warn("group {}: {} has not polled for more than its session timeout of {}; joins anew",
                 options_.group, options_.member, absl::FormatDuration(options_.session_timeout));
    LoseAll(events);
    Close();
    MARQUEE_RETURN_IF_ERROR(Open());
  }
  refreshed_at_ = clock_.Uptime();
  MARQUEE_RETURN_IF_ERROR(Serve(events));
  MARQUEE_RETURN_IF_ERROR(client_->Refusal());
  Regain(events);
  WriteReports(/*at_once=*/false);
  return absl::OkStatus();
}

absl::Status GroupMembership::Serve(std::vector<OwnershipEvent>* events) {
  while (true) {
    if (revocation_ != nullptr) MARQUEE_RETURN_IF_ERROR(EndRevocation(events));
    // While a revocation waits, nothing that follows it may overtake; but the client is polled.
    EventPtr event(rd_kafka_queue_poll(queue_.get(), 0));
    if (event == nullptr) break;
    if (rd_kafka_event_type(event.get()) == RD_KAFKA_EVENT_REBALANCE)
      MARQUEE_RETURN_IF_ERROR(TakeRebalance(std::move(event), events));
  }
  // A loss is not always told as a rebalance of its own.
  if (!held_.empty() && rd_kafka_assignment_lost(client_->handle()) != 0) LoseAll(events);
  // Nor is it told at all that the group has thrown this member out, while a rebalance is under
  // way.
  absl::Duration now = clock_.Uptime();
  if (held_.empty() || now - member_id_seen_at_ < kMemberIdInterval) return absl::OkStatus();
  member_id_seen_at_ = now;
  if (MemberId() == member_id_) return absl::OkStatus();
  spdlog::warn("group {}: {} is no member any more; joins anew", options_.group, options_.member);
  LoseAll(events);
  Close();
  return Open();
}

std::string GroupMembership::MemberId() const {
  char* text = rd_kafka_memberid(client_->handle());
  std::string id = text == nullptr ? "" : text;
  if (text != nullptr) rd_kafka_mem_free(client_->handle(), text);
  return id;
}

std::vector<TopicShard> GroupMembership::ShardsOf(
    const rd_kafka_topic_partition_list_t& partitions) const {
  std::vector<TopicShard> shards;
  for (int i = 0; i < partitions.cnt; ++i) {
    auto index = static_cast<uint32_t>(partitions.elems[i].partition);
    // Somebody has added partitions: the watch of identities says so.
    if (index >= options_.shards) continue;
    for (const std::string& topic : options_.topics) shards.push_back({topic, Shard(index)});
  }
  return shards;
}

absl::Status GroupMembership::TakeRebalance(EventPtr event, std::vector<OwnershipEvent>* events) {
  rd_kafka_topic_partition_list_t* partitions = rd_kafka_event_topic_partition_list(event.get());
  if (rd_kafka_event_error(event.get()) == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS)
    return TakeAssigned(partitions, events);
  if (rd_kafka_assignment_lost(client_->handle()) != 0) {
    for (const TopicShard& shard : ShardsOf(*partitions)) Lose(shard, events);
  } else {
    for (const TopicShard& shard : ShardsOf(*partitions)) {
      auto held = held_.find(shard);
      if (held == held_.end() || held->second.released) continue;
      held->second.revoked = true;
      events->push_back({OwnershipEvent::Kind::kRevoked, shard, held->second.generation});
    }
  }
  revocation_ = std::move(event);
  revoked_at_ = clock_.Uptime();
  return EndRevocation(events);
}

// Answers the revocation once all it asks for was released, lost, or kept for too long.
absl::Status GroupMembership::EndRevocation(std::vector<OwnershipEvent>* events) {
  rd_kafka_topic_partition_list_t* partitions =
      rd_kafka_event_topic_partition_list(revocation_.get());
  std::vector<TopicShard> shards = ShardsOf(*partitions);
  bool waits = std::any_of(shards.begin(), shards.end(), [&](const TopicShard& shard) {
    auto held = held_.find(shard);
    return held != held_.end() && held->second.revoked;
  });
  bool lost = rd_kafka_assignment_lost(client_->handle()) != 0;
  bool late = clock_.Uptime() - revoked_at_ > options_.session_timeout;
  if (waits && !lost && !late) return absl::OkStatus();
  WriteReports(/*at_once=*/true);
  for (const TopicShard& shard : shards) Lose(shard, events);
  if (lost) LoseAll(events);
  ErrorPtr error(rd_kafka_incremental_unassign(client_->handle(), partitions));
  revocation_.reset();
  if (error == nullptr) return absl::OkStatus();
  spdlog::warn("group {}: giving shards up: {}; joins anew", options_.group,
               rd_kafka_error_string(error.get()));
  LoseAll(events);
  Close();
  return Open();
}

void GroupMembership::Lose(const TopicShard& shard, std::vector<OwnershipEvent>* events) {
  auto held = held_.find(shard);
  if (held == held_.end()) return;
  if (!held->second.released)
    events->push_back({OwnershipEvent::Kind::kLost, shard, held->second.generation});
  held_.erase(held);
  reports_.erase(shard);
}

void GroupMembership::LoseAll(std::vector<OwnershipEvent>* events) {
  while (!held_.empty()) {
    TopicShard shard = held_.begin()->first;
    Lose(shard, events);
  }
}

uint64_t GroupMembership::KafkaGeneration() const {
  std::unique_ptr<rd_kafka_consumer_group_metadata_t,
                  Freed<rd_kafka_consumer_group_metadata_destroy>>
      metadata(rd_kafka_consumer_group_metadata(client_->handle()));
  int32_t generation =
      metadata == nullptr ? -1 : rd_kafka_consumer_group_metadata_generation_id(metadata.get());
  return generation < 0 ? 0 : static_cast<uint64_t>(generation);
}

absl::Status GroupMembership::TakeAssigned(rd_kafka_topic_partition_list_t* partitions,
                                           std::vector<OwnershipEvent>* events) {
  // Nothing is read here: from the end, and paused.
  for (int i = 0; i < partitions->cnt; ++i) partitions->elems[i].offset = RD_KAFKA_OFFSET_END;
  ErrorPtr error(rd_kafka_incremental_assign(client_->handle(), partitions));
  if (error != nullptr) {
    spdlog::warn("group {}: taking shards: {}; joins anew", options_.group,
                 rd_kafka_error_string(error.get()));
    LoseAll(events);
    Close();
    return Open();
  }
  (void)rd_kafka_pause_partitions(client_->handle(), partitions);
  std::vector<TopicShard> shards = ShardsOf(*partitions);
  if (shards.empty()) return absl::OkStatus();
  if (held_.empty()) member_id_ = MemberId();
  for (const TopicShard& shard : shards) held_[shard] = Holding{};
  ReadCommitted(shards);
  uint64_t generation = KafkaGeneration() * kGenerationStep;
  for (const TopicShard& shard : shards) {
    uint64_t& last = last_generation_[shard];
    last = std::max(generation, last + 1);
    held_[shard].generation = last;
    events->push_back({OwnershipEvent::Kind::kGained, shard, last});
  }
  Commit(Commits(/*all=*/true), /*wait=*/false);
  return absl::OkStatus();
}

// What earlier owners have committed: positions, which stay as they are, and generations, which a
// group that Kafka has forgotten goes on from.
void GroupMembership::ReadCommitted(const std::vector<TopicShard>& shards) {
  PartitionsPtr list(rd_kafka_topic_partition_list_new(static_cast<int>(shards.size())));
  for (const TopicShard& shard : shards) {
    rd_kafka_topic_partition_list_add(list.get(), shard.topic.c_str(),
                                      static_cast<int32_t>(shard.shard.value()));
  }
  if (rd_kafka_committed(client_->handle(), list.get(), kCommittedTimeoutMs) !=
      RD_KAFKA_RESP_ERR_NO_ERROR) {
    return;
  }
  for (int i = 0; i < list->cnt; ++i) {
    const rd_kafka_topic_partition_t& at = list->elems[i];
    if (at.err != RD_KAFKA_RESP_ERR_NO_ERROR || at.offset < 0) continue;
    TopicShard shard{at.topic, Shard(static_cast<uint32_t>(at.partition))};
    CommitNote note = ParseCommitText({static_cast<const char*>(at.metadata), at.metadata_size});
    uint64_t& last = last_generation_[shard];
    last = std::max(last, note.generation);
    if (note.reported) held_[shard].reported = KafkaOffset(at.offset);
  }
}

// The shards that are held: all, or those with a report that is due.
PartitionsPtr GroupMembership::Commits(bool all) const {
  PartitionsPtr list(rd_kafka_topic_partition_list_new(1));
  for (const auto& [shard, holding] : held_) {
    auto report = reports_.find(shard);
    if (report == reports_.end() && !all) continue;
    std::optional<KafkaOffset> reported = holding.reported;
    if (report != reports_.end()) reported = report->second;
    rd_kafka_topic_partition_t* at = rd_kafka_topic_partition_list_add(
        list.get(), shard.topic.c_str(), static_cast<int32_t>(shard.shard.value()));
    at->offset = reported.value_or(KafkaOffset(0)).value();
    std::string text = CommitText(holding.generation, reported.has_value());
    at->metadata = std::malloc(text.size());
    std::memcpy(at->metadata, text.data(), text.size());
    at->metadata_size = text.size();
  }
  return list;
}

void GroupMembership::Commit(PartitionsPtr commits, bool wait) {
  if (commits->cnt == 0) return;
  // For monitoring alone: what cannot be written is written with the next.
  if (!wait) {
    (void)rd_kafka_commit(client_->handle(), commits.get(), /*async=*/1);
    return;
  }
  QueuePtr answer(rd_kafka_queue_new(client_->handle()));
  if (rd_kafka_commit_queue(client_->handle(), commits.get(), answer.get(), nullptr, nullptr) ==
      RD_KAFKA_RESP_ERR_NO_ERROR) {
    EventPtr event(rd_kafka_queue_poll(answer.get(), kCommitTimeoutMs));
  }
}

void GroupMembership::WriteReports(bool at_once) {
  if (reports_.empty()) return;
  absl::Duration now = clock_.Uptime();
  if (!at_once && now - reported_at_ < kReportInterval) return;
  reported_at_ = now;
  Commit(Commits(/*all=*/false), at_once);
  for (const auto& [shard, offset] : reports_) {
    if (auto held = held_.find(shard); held != held_.end()) held->second.reported = offset;
  }
  reports_.clear();
}

void GroupMembership::Regain(std::vector<OwnershipEvent>* events) {
  if (revocation_ != nullptr) return;
  absl::Duration now = clock_.Uptime();
  bool any = false;
  for (auto& [shard, holding] : held_) {
    if (!holding.released || now - holding.released_at < kRegainAfter) continue;
    holding.released = false;
    holding.revoked = false;
    holding.generation = ++last_generation_[shard];
    events->push_back({OwnershipEvent::Kind::kGained, shard, holding.generation});
    any = true;
  }
  if (any) Commit(Commits(/*all=*/true), /*wait=*/false);
}

bool GroupMembership::Has(const TopicShard& shard) const { return held_.contains(shard); }

absl::Status GroupMembership::CheckOwns(const TopicShard& shard) const {
  auto held = held_.find(shard);
  bool owns = held != held_.end() && !held->second.released && !IsExpired() && client_ != nullptr &&
              rd_kafka_assignment_lost(client_->handle()) == 0;
  if (owns) return absl::OkStatus();
  return absl::AbortedError(fmt::format("{}/{} is not {}'s in group {}; drop its work and poll",
                                        shard.topic, shard.shard.value(), options_.member,
                                        options_.group));
}

void GroupMembership::Release(const TopicShard& shard) {
  auto held = held_.find(shard);
  if (held == held_.end() || held->second.released) return;
  held->second.released = true;
  held->second.revoked = false;
  held->second.released_at = clock_.Uptime();
  bell_->Ring();
}

void GroupMembership::Report(const TopicShard& shard, KafkaOffset next) { reports_[shard] = next; }

}  // namespace marquee::messaging::kafka
