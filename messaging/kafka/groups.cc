#include "messaging/kafka/groups.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <set>
#include <utility>

#include "base/status.h"
#include "messaging/kafka/errors.h"
#include "messaging/kafka/group_membership.h"

namespace marquee::messaging::kafka {
namespace {

constexpr std::string_view kShardsEnding = "-shards";
constexpr int kCommitTimeoutMs = 2'000;
// Groups whose offsets are asked for at once.
constexpr size_t kAskedAtOnce = 50;

using AlterPtr = std::unique_ptr<rd_kafka_AlterConsumerGroupOffsets_t,
                                 Freed<rd_kafka_AlterConsumerGroupOffsets_destroy>>;
using AskPtr = std::unique_ptr<rd_kafka_ListConsumerGroupOffsets_t,
                               Freed<rd_kafka_ListConsumerGroupOffsets_destroy>>;

absl::StatusOr<std::vector<std::string>> KafkaGroups(Admin& admin) {
  MARQUEE_ASSIGN_OR_RETURN(
      EventPtr event,
      admin.Call(RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPS, "which groups there are",
                 [](rd_kafka_t* handle, rd_kafka_AdminOptions_t* options, rd_kafka_queue_t* queue) {
                   rd_kafka_ListConsumerGroups(handle, options, queue);
                 }));
  size_t count = 0;
  const rd_kafka_ConsumerGroupListing_t** listed = rd_kafka_ListConsumerGroups_result_valid(
      rd_kafka_event_ListConsumerGroups_result(event.get()), &count);
  std::vector<std::string> names;
  names.reserve(count);
  for (size_t i = 0; i < count; ++i)
    names.emplace_back(rd_kafka_ConsumerGroupListing_group_id(listed[i]));
  return names;
}

// The shard of a member's partition, and of every topic that follows the lead.
struct Described {
  std::set<std::string> members;
  std::map<TopicShard, std::string> owners;  // of the leads alone
};

absl::StatusOr<std::map<std::string, Described>> DescribeMembers(
    Admin& admin, const std::vector<std::string>& names) {
  std::vector<const char*> pointers;
  pointers.reserve(names.size());
  for (const std::string& name : names) pointers.push_back(name.c_str());
  MARQUEE_ASSIGN_OR_RETURN(
      EventPtr event, admin.Call(RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS, "the members of groups",
                                 [&](rd_kafka_t* handle, rd_kafka_AdminOptions_t* options,
                                     rd_kafka_queue_t* queue) {
                                   rd_kafka_DescribeConsumerGroups(handle, pointers.data(),
                                                                   pointers.size(), options, queue);
                                 }));
  size_t count = 0;
  const rd_kafka_ConsumerGroupDescription_t** groups =
      rd_kafka_DescribeConsumerGroups_result_groups(
          rd_kafka_event_DescribeConsumerGroups_result(event.get()), &count);
  std::map<std::string, Described> described;
  for (size_t i = 0; i < count; ++i) {
    Described& group = described[rd_kafka_ConsumerGroupDescription_group_id(groups[i])];
    for (size_t m = 0; m < rd_kafka_ConsumerGroupDescription_member_count(groups[i]); ++m) {
      const rd_kafka_MemberDescription_t* member =
          rd_kafka_ConsumerGroupDescription_member(groups[i], m);
      std::string name = rd_kafka_MemberDescription_client_id(member);
      group.members.insert(name);
      const rd_kafka_topic_partition_list_t* owned =
          rd_kafka_MemberAssignment_partitions(rd_kafka_MemberDescription_assignment(member));
      for (int p = 0; owned != nullptr && p < owned->cnt; ++p) {
        group.owners[{owned->elems[p].topic,
                      Shard(static_cast<uint32_t>(owned->elems[p].partition))}] = name;
      }
    }
  }
  return described;
}

struct Committed {
  KafkaOffset offset;
  CommitNote note;
};
using CommittedByShard = std::map<TopicShard, Committed>;

absl::StatusOr<CommittedByShard> CommittedOf(rd_kafka_event_t* event) {
  CommittedByShard committed;
  size_t count = 0;
  const rd_kafka_group_result_t** results = rd_kafka_ListConsumerGroupOffsets_result_groups(
      rd_kafka_event_ListConsumerGroupOffsets_result(event), &count);
  for (size_t i = 0; i < count; ++i) {
    const rd_kafka_topic_partition_list_t* list = rd_kafka_group_result_partitions(results[i]);
    for (int p = 0; list != nullptr && p < list->cnt; ++p) {
      const rd_kafka_topic_partition_t& at = list->elems[p];
      if (at.err != RD_KAFKA_RESP_ERR_NO_ERROR || at.offset < 0) continue;
      TopicShard shard{at.topic, Shard(static_cast<uint32_t>(at.partition))};
      std::string_view text;
      if (at.metadata != nullptr) text = {static_cast<const char*>(at.metadata), at.metadata_size};
      committed[shard] = {KafkaOffset(at.offset), ParseCommitText(text)};
    }
  }
  return committed;
}

absl::StatusOr<std::vector<CommittedByShard>> AskCommitted(Admin& admin,
                                                           std::span<const std::string> names) {
  std::vector<Admin::Order> orders;
  for (const std::string& name : names) {
    orders.push_back(
        {RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS,
         [&name](rd_kafka_t* handle, rd_kafka_AdminOptions_t* options, rd_kafka_queue_t* queue) {
           AskPtr ask(rd_kafka_ListConsumerGroupOffsets_new(name.c_str(), nullptr));
           rd_kafka_ListConsumerGroupOffsets_t* asks[] = {ask.get()};
           rd_kafka_ListConsumerGroupOffsets(handle, asks, 1, options, queue);
         }});
  }
  MARQUEE_ASSIGN_OR_RETURN(std::vector<EventPtr> events,
                           admin.CallAll("offsets of groups", orders));
  std::vector<CommittedByShard> all;
  for (const EventPtr& event : events) {
    MARQUEE_ASSIGN_OR_RETURN(CommittedByShard committed, CommittedOf(event.get()));
    all.push_back(std::move(committed));
  }
  return all;
}

struct Seen {
  GroupShard shown;  // but for what follows from `reported`
  std::optional<KafkaOffset> reported;
};

// Puts what one Kafka group says into the group of the seam that it is of.
void Merge(const Described& described, const CommittedByShard& committed, GroupInfo* info,
           std::map<TopicShard, Seen>* shards) {
  for (const std::string& member : described.members) {
    if (std::find(info->members.begin(), info->members.end(), member) == info->members.end())
      info->members.push_back(member);
  }
  for (const auto& [shard, owner] : described.owners) {
    GroupShard& at = (*shards)[shard].shown;
    at.shard = shard;
    at.owner = owner;
  }
  for (const auto& [shard, commit] : committed) {
    Seen& seen = (*shards)[shard];
    GroupShard& at = seen.shown;
    at.shard = shard;
    at.generation = commit.note.generation;
    if (commit.note.reported) seen.reported = commit.offset;
    // A topic that follows the lead is with the lead's owner.
    if (!at.owner.empty() || commit.note.generation == 0) continue;
    for (const auto& [lead, owner] : described.owners) {
      if (lead.shard == shard.shard) at.owner = owner;
    }
  }
}

// The lag as Kafka's tools count it, in messages.
absl::Status AddLag(Topics& topics, std::map<TopicShard, Seen>* shards) {
  std::vector<TopicShard> present;
  std::map<std::string, TopicKind> kinds;
  for (auto at = shards->begin(); at != shards->end();) {
    absl::StatusOr<TopicInfo> info = topics.DescribeRecent(at->first.topic, absl::Seconds(1));
    if (absl::IsNotFound(info.status()) ||
        (info.ok() && at->first.shard.value() >= info->spec.shards)) {
      at = shards->erase(at);  // of a topic that was deleted
      continue;
    }
    MARQUEE_RETURN_IF_ERROR(info.status());
    present.push_back(at->first);
    kinds[at->first.topic] = info->spec.kind;
    ++at;
  }
  MARQUEE_ASSIGN_OR_RETURN(auto extents, topics.ExtentsOf(present));
  for (auto& [shard, seen] : *shards) {
    TopicKind kind = kinds[shard.topic];
    KafkaOffset begin = ToKafka(kind, extents[shard].begin);
    KafkaOffset from = std::max(begin, seen.reported.value_or(begin));
    seen.shown.lag = std::max<int64_t>(0, ToKafka(kind, extents[shard].end).value() - from.value());
    if (seen.reported) seen.shown.reported = FromKafka(kind, *seen.reported);
  }
  return absl::OkStatus();
}

}  // namespace

std::string KafkaGroupOf(std::string_view group, uint32_t shards, uint32_t most) {
  if (shards == most) return std::string(group);
  return fmt::format("{}.{}{}", group, shards, kShardsEnding);
}

std::string GroupOf(std::string_view kafka_group) {
  std::string_view name = kafka_group;
  if (!name.ends_with(kShardsEnding)) return std::string(kafka_group);
  name.remove_suffix(kShardsEnding.size());
  size_t dot = name.rfind('.');
  if (dot == std::string_view::npos || dot == 0) return std::string(kafka_group);
  std::string_view digits = name.substr(dot + 1);
  uint32_t shards = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), shards);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::string(kafka_group);
  return std::string(name.substr(0, dot));
}

void CommitForGroup(Admin& admin, const std::string& group,
                    const std::map<TopicShard, KafkaOffset>& positions, bool wait) {
  PartitionsPtr list(rd_kafka_topic_partition_list_new(static_cast<int>(positions.size())));
  for (const auto& [shard, offset] : positions) {
    rd_kafka_topic_partition_list_add(list.get(), shard.topic.c_str(),
                                      static_cast<int32_t>(shard.shard.value()))
        ->offset = offset.value();
  }
  rd_kafka_t* handle = admin.client().handle();
  AlterPtr alter(rd_kafka_AlterConsumerGroupOffsets_new(group.c_str(), list.get()));
  OptionsPtr options(
      rd_kafka_AdminOptions_new(handle, RD_KAFKA_ADMIN_OP_ALTERCONSUMERGROUPOFFSETS));
  char text[256];
  (void)rd_kafka_AdminOptions_set_request_timeout(options.get(), kCommitTimeoutMs, text,
                                                  sizeof text);
  QueuePtr queue(rd_kafka_queue_new(handle));
  rd_kafka_AlterConsumerGroupOffsets_t* alters[] = {alter.get()};
  rd_kafka_AlterConsumerGroupOffsets(handle, alters, 1, options.get(), queue.get());
  if (wait) EventPtr answer(rd_kafka_queue_poll(queue.get(), kCommitTimeoutMs));
}

absl::StatusOr<std::vector<GroupInfo>> ListGroups(Admin& admin, Topics& topics) {
  MARQUEE_ASSIGN_OR_RETURN(std::vector<std::string> names, KafkaGroups(admin));
  std::map<std::string, GroupInfo> infos;
  std::map<std::string, std::map<TopicShard, Seen>> shards;
  for (size_t first = 0; first < names.size(); first += kAskedAtOnce) {
    std::vector<std::string> some(
        names.begin() + static_cast<ptrdiff_t>(first),
        names.begin() + static_cast<ptrdiff_t>(std::min(names.size(), first + kAskedAtOnce)));
    MARQUEE_ASSIGN_OR_RETURN(auto described, DescribeMembers(admin, some));
    MARQUEE_ASSIGN_OR_RETURN(std::vector<CommittedByShard> committed, AskCommitted(admin, some));
    for (size_t i = 0; i < some.size(); ++i) {
      std::string group = GroupOf(some[i]);
      GroupInfo& info = infos[group];
      info.group = group;
      Merge(described[some[i]], committed[i], &info, &shards[group]);
    }
  }
  std::vector<GroupInfo> all;
  for (auto& [group, info] : infos) {
    MARQUEE_RETURN_IF_ERROR(AddLag(topics, &shards[group]));
    for (auto& [shard, seen] : shards[group]) info.shards.push_back(std::move(seen.shown));
    all.push_back(std::move(info));
  }
  return all;
}

}  // namespace marquee::messaging::kafka
