#include "messaging/kafka/topics.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "messaging/checks.h"
#include "messaging/kafka/errors.h"
#include "messaging/kafka/identity_watch.h"
#include "messaging/kafka/topic_config.h"

namespace marquee::messaging::kafka {
namespace {

constexpr absl::Duration kRumourPause = absl::Milliseconds(20);
// A broker that does not answer for this long is not waited for: clients do not ask it either.
constexpr absl::Duration kSilenceMax = absl::Seconds(2);
constexpr absl::Duration kKnownFor = absl::Seconds(1);
// A leader that does not answer where a shard begins and ends for this long may not be it any more.
constexpr absl::Duration kOffsetsMax = absl::Seconds(1);
// Topics in one request.
constexpr size_t kDescribedAtOnce = 500;

bool IsOurs(const std::string& name) { return CheckSpec({.name = name}).ok(); }

std::vector<const char*> Pointers(const std::vector<std::string>& names) {
  std::vector<const char*> pointers;
  pointers.reserve(names.size());
  for (const std::string& name : names) pointers.push_back(name.c_str());
  return pointers;
}

struct TopicCollection {
  explicit TopicCollection(const std::vector<std::string>& names) {
    std::vector<const char*> pointers = Pointers(names);
    topics = rd_kafka_TopicCollection_of_topic_names(pointers.data(), pointers.size());
  }
  ~TopicCollection() { rd_kafka_TopicCollection_destroy(topics); }
  TopicCollection(const TopicCollection&) = delete;
  TopicCollection& operator=(const TopicCollection&) = delete;
  rd_kafka_TopicCollection_t* topics;
};

// The first topic's outcome of CreateTopics or DeleteTopics.
absl::Status OutcomeOf(const rd_kafka_topic_result_t** results, size_t count,
                       const std::string& what, rd_kafka_resp_err_t* error) {
  *error = count == 0 ? RD_KAFKA_RESP_ERR_UNKNOWN : rd_kafka_topic_result_error(results[0]);
  if (*error == RD_KAFKA_RESP_ERR_NO_ERROR) return absl::OkStatus();
  const char* text = count == 0 ? nullptr : rd_kafka_topic_result_error_string(results[0]);
  return StatusOf(*error, what, text != nullptr ? text : "");
}

}  // namespace

absl::Status NoSuchTopic(std::string_view topic) {
  return absl::NotFoundError(fmt::format("no topic {}; declare it first", topic));
}

absl::StatusOr<std::map<std::string, Topics::Seen>> Topics::See(
    const std::vector<std::string>& names, std::optional<int32_t> broker,
    std::optional<absl::Duration> timeout) {
  TopicCollection collection(names);
  std::string what = names.size() == 1 ? absl::StrCat("topic ", names[0]) : "the topics";
  MARQUEE_ASSIGN_OR_RETURN(
      EventPtr event,
      admin_.Call(
          RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, what,
          [&](rd_kafka_t* handle, rd_kafka_AdminOptions_t* options, rd_kafka_queue_t* queue) {
            char text[256];
            if (broker) rd_kafka_AdminOptions_set_broker(options, *broker, text, sizeof text);
            rd_kafka_DescribeTopics(handle, collection.topics, options, queue);
          },
          timeout));
  size_t count = 0;
  const rd_kafka_TopicDescription_t** topics = rd_kafka_DescribeTopics_result_topics(
      rd_kafka_event_DescribeTopics_result(event.get()), &count);
  std::map<std::string, Seen> found;
  for (size_t i = 0; i < count; ++i) {
    std::string name = rd_kafka_TopicDescription_name(topics[i]);
    rd_kafka_resp_err_t error = rd_kafka_error_code(rd_kafka_TopicDescription_error(topics[i]));
    if (error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
        error == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC) {
      continue;
    }
    Seen seen;
    seen.identity = IdentityOf(rd_kafka_TopicDescription_topic_id(topics[i]));
    size_t shards = 0;
    const rd_kafka_TopicPartitionInfo_t** partitions =
        rd_kafka_TopicDescription_partitions(topics[i], &shards);
    seen.shards = static_cast<uint32_t>(shards);
    // No leader yet is no error of the topic.
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR && !IsTransient(error))
      return StatusOf(error, absl::StrCat("topic ", name));
    seen.has_leaders = error == RD_KAFKA_RESP_ERR_NO_ERROR;
    for (size_t p = 0; p < shards; ++p) {
      size_t replicas = 0;
      (void)rd_kafka_TopicPartitionInfo_replicas(partitions[p], &replicas);
      seen.replicas_min = p == 0 ? replicas : std::min(seen.replicas_min, replicas);
      const rd_kafka_Node_t* leader = rd_kafka_TopicPartitionInfo_leader(partitions[p]);
      if (leader == nullptr || rd_kafka_Node_id(leader) < 0) seen.has_leaders = false;
    }
    found.emplace(std::move(name), std::move(seen));
  }
  return found;
}

absl::StatusOr<std::map<std::string, TopicConfig>> Topics::AskConfigs(
    const std::vector<std::string>& names) {
  MARQUEE_ASSIGN_OR_RETURN(
      EventPtr event,
      admin_.Call(
          RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, "the topics' configuration",
          [&](rd_kafka_t* handle, rd_kafka_AdminOptions_t* options, rd_kafka_queue_t* queue) {
            std::vector<rd_kafka_ConfigResource_t*> resources;
            resources.reserve(names.size());
            for (const std::string& name : names) {
              resources.push_back(
                  rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, name.c_str()));
            }
            rd_kafka_DescribeConfigs(handle, resources.data(), resources.size(), options, queue);
            rd_kafka_ConfigResource_destroy_array(resources.data(), resources.size());
          }));
  size_t count = 0;
  const rd_kafka_ConfigResource_t** resources = rd_kafka_DescribeConfigs_result_resources(
      rd_kafka_event_DescribeConfigs_result(event.get()), &count);
  std::map<std::string, TopicConfig> configs;
  for (size_t i = 0; i < count; ++i) {
    std::string name = rd_kafka_ConfigResource_name(resources[i]);
    rd_kafka_resp_err_t error = rd_kafka_ConfigResource_error(resources[i]);
    if (error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) continue;
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
      const char* text = rd_kafka_ConfigResource_error_string(resources[i]);
      return StatusOf(error, absl::StrCat("configuration of topic ", name),
                      text != nullptr ? text : "");
    }
    configs.emplace(std::move(name), TopicConfig::Of(resources[i]));
  }
  return configs;
}

absl::StatusOr<std::vector<TopicInfo>> Topics::DescribeAll(const std::vector<std::string>& names) {
  MARQUEE_ASSIGN_OR_RETURN(auto seen, See(names, std::nullopt));
  std::vector<std::string> unknown;
  {
    MutexLock lock(mutex_);
    for (const auto& [name, topic] : seen) {
      if (!configs_.contains(topic.identity)) unknown.push_back(name);
    }
  }
  std::map<std::string, TopicConfig> asked;
  if (!unknown.empty()) {
    MARQUEE_ASSIGN_OR_RETURN(asked, AskConfigs(unknown));
  }
  std::vector<TopicInfo> infos;
  absl::Duration now = admin_.clock().Uptime();
  MutexLock lock(mutex_);
  for (const auto& [name, topic] : seen) {
    if (auto config = asked.find(name); config != asked.end())
      configs_[topic.identity] = config->second;
    auto config = configs_.find(topic.identity);
    if (config == configs_.end()) continue;  // deleted between the two questions
    infos.push_back(
        {.spec = config->second.SpecOf(name, topic.shards), .identity = topic.identity});
    known_[name] = {infos.back(), now};
  }
  return infos;
}

absl::StatusOr<TopicInfo> Topics::Describe(std::string_view topic) {
  std::string name(topic);
  if (!IsOurs(name)) return NoSuchTopic(topic);
  absl::Duration begin = admin_.clock().Uptime();
  while (true) {
    MARQUEE_ASSIGN_OR_RETURN(std::vector<TopicInfo> infos, DescribeAll({name}));
    if (!infos.empty()) return infos[0];
    {
      MutexLock lock(mutex_);
      known_.erase(name);
    }
    // A broker that has just been started may lag behind the others.
    MARQUEE_ASSIGN_OR_RETURN(std::vector<Seen> known, SeeOnEachBroker(name));
    if (known.empty()) return NoSuchTopic(topic);
    if (admin_.clock().Uptime() - begin > admin_.deadline()) {
      return absl::DeadlineExceededError(
          fmt::format("topic {}: waited {} until all brokers know it", name,
                      absl::FormatDuration(admin_.deadline())));
    }
    admin_.clock().SleepFor(kRumourPause);
  }
}

// What each broker that answers knows of the topic; nothing of those that know none.
absl::StatusOr<std::vector<Topics::Seen>> Topics::SeeOnEachBroker(const std::string& name) {
  MARQUEE_ASSIGN_OR_RETURN(std::vector<int32_t> brokers, admin_.Brokers());
  std::vector<Seen> all;
  for (int32_t broker : brokers) {
    absl::StatusOr<std::map<std::string, Seen>> seen = See({name}, broker, kSilenceMax);
    if (absl::IsUnavailable(seen.status())) continue;
    MARQUEE_RETURN_IF_ERROR(seen.status());
    if (!seen->empty()) all.push_back(seen->begin()->second);
  }
  return all;
}

absl::StatusOr<TopicInfo> Topics::DescribeRecent(std::string_view topic, absl::Duration age) {
  {
    MutexLock lock(mutex_);
    auto known = known_.find(topic);
    if (known != known_.end() && admin_.clock().Uptime() - known->second.at <= age)
      return known->second.info;
  }
  return Describe(topic);
}

absl::Status Topics::CheckIdentity(std::string_view topic, const TopicIdentity& identity,
                                   absl::Duration age) {
  absl::StatusOr<TopicInfo> info = DescribeRecent(topic, age);
  if (!info.ok() && !absl::IsNotFound(info.status())) return info.status();
  if (info.ok() && info->identity == identity) return absl::OkStatus();
  // A broker that lags may know none, or a former one: it is another only where nobody knows it.
  MARQUEE_ASSIGN_OR_RETURN(std::vector<Seen> known, SeeOnEachBroker(std::string(topic)));
  for (const Seen& seen : known) {
    if (seen.identity == identity) return absl::OkStatus();
  }
  if (known.empty()) return NoSuchTopic(topic);
  return absl::FailedPreconditionError(
      fmt::format("topic {}: expected the one with identity {}, found {}; it was deleted and made "
                  "again, and what is kept of the former is of no use here",
                  topic, identity, known[0].identity));
}

absl::StatusOr<std::vector<TopicInfo>> Topics::List() {
  MARQUEE_ASSIGN_OR_RETURN(std::vector<std::string> all, admin_.TopicNames());
  std::erase_if(all, [](const std::string& name) { return !IsOurs(name); });
  std::sort(all.begin(), all.end());
  std::vector<TopicInfo> infos;
  for (size_t first = 0; first < all.size(); first += kDescribedAtOnce) {
    size_t last = std::min(all.size(), first + kDescribedAtOnce);
    MARQUEE_ASSIGN_OR_RETURN(std::vector<TopicInfo> some,
                             DescribeAll({all.begin() + static_cast<ptrdiff_t>(first),
                                          all.begin() + static_cast<ptrdiff_t>(last)}));
    infos.insert(infos.end(), some.begin(), some.end());
  }
  return infos;
}

absl::StatusOr<TopicInfo> Topics::Declare(const TopicSpec& spec) {
  MARQUEE_RETURN_IF_ERROR(CheckSpec(spec));
  TopicInfo info;
  absl::Status retried = admin_.Retry([&]() -> absl::Status {
    MARQUEE_ASSIGN_OR_RETURN(auto seen, See({spec.name}, std::nullopt));
    if (seen.empty()) {
      MARQUEE_RETURN_IF_ERROR(Create(spec));
      MARQUEE_RETURN_IF_ERROR(AwaitLeaders(spec.name, spec.shards));
      MARQUEE_ASSIGN_OR_RETURN(seen, See({spec.name}, std::nullopt));
    } else if (!seen.begin()->second.has_leaders) {
      MARQUEE_RETURN_IF_ERROR(AwaitLeaders(spec.name, seen.begin()->second.shards));
    }
    MARQUEE_ASSIGN_OR_RETURN(auto configs, AskConfigs({spec.name}));
    if (seen.empty() || configs.empty())
      return absl::UnavailableError(fmt::format("topic {} is being made", spec.name));
    const Seen& topic = seen.begin()->second;
    const TopicConfig& config = configs.begin()->second;
    MARQUEE_RETURN_IF_ERROR(
        config.CheckAsDeclared(spec, topic.shards, topic.replicas_min, settings_));
    info = {.spec = config.SpecOf(spec.name, topic.shards), .identity = topic.identity};
    MutexLock lock(mutex_);
    configs_[info.identity] = config;
    known_[spec.name] = {info, admin_.clock().Uptime()};
    return absl::OkStatus();
  });
  if (!retried.ok()) return retried;
  return info;
}

absl::Status Topics::Create(const TopicSpec& spec) {
  MARQUEE_ASSIGN_OR_RETURN(std::vector<int32_t> brokers, admin_.Brokers());
  ReplicaCounts counts = ReplicaCountsFor(settings_, brokers.size());
  char text[256];
  std::unique_ptr<rd_kafka_NewTopic_t, Freed<rd_kafka_NewTopic_destroy>> topic(
      rd_kafka_NewTopic_new(spec.name.c_str(), static_cast<int>(spec.shards), counts.replicas, text,
                            sizeof text));
  if (topic == nullptr) return absl::InvalidArgumentError(text);
  for (const auto& [name, value] : ConfigOfNewTopic(spec, settings_, counts))
    rd_kafka_NewTopic_set_config(topic.get(), name.c_str(), value.c_str());
  std::string what = absl::StrCat("declare topic ", spec.name);
  MARQUEE_ASSIGN_OR_RETURN(EventPtr event,
                           admin_.Call(RD_KAFKA_ADMIN_OP_CREATETOPICS, what,
                                       [&](rd_kafka_t* handle, rd_kafka_AdminOptions_t* options,
                                           rd_kafka_queue_t* queue) {
                                         rd_kafka_NewTopic_t* topics[] = {topic.get()};
                                         rd_kafka_CreateTopics(handle, topics, 1, options, queue);
                                       }));
  size_t count = 0;
  rd_kafka_resp_err_t error;
  const rd_kafka_topic_result_t** results =
      rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event.get()), &count);
  absl::Status outcome = OutcomeOf(results, count, what, &error);
  return error == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS ? absl::OkStatus() : outcome;
}

absl::Status Topics::OnEveryBroker(const std::string& name,
                                   const std::function<bool(const Seen* seen)>& done) {
  MARQUEE_ASSIGN_OR_RETURN(std::vector<int32_t> brokers, admin_.Brokers());
  absl::Duration begin = admin_.clock().Uptime();
  for (int32_t broker : brokers) {
    while (true) {
      absl::StatusOr<std::map<std::string, Seen>> seen = See({name}, broker, kSilenceMax);
      if (absl::IsUnavailable(seen.status())) break;  // not there; nobody asks it
      MARQUEE_RETURN_IF_ERROR(seen.status());
      if (done(seen->empty() ? nullptr : &seen->begin()->second)) break;
      if (admin_.clock().Uptime() - begin > admin_.deadline()) {
        return absl::DeadlineExceededError(
            fmt::format("waited {} until broker {} knows of what became of topic {}; see its log",
                        absl::FormatDuration(admin_.deadline()), broker, name));
      }
      admin_.clock().SleepFor(kRumourPause);
    }
  }
  return absl::OkStatus();
}

absl::Status Topics::AwaitLeaders(const std::string& name, uint32_t shards) {
  return OnEveryBroker(name, [&](const Seen* seen) {
    return seen != nullptr && seen->shards >= shards && seen->has_leaders;
  });
}

absl::Status Topics::Delete(std::string_view topic) {
  std::string name(topic);
  MARQUEE_ASSIGN_OR_RETURN(TopicInfo info, Describe(topic));
  std::string what = absl::StrCat("delete topic ", name);
  std::unique_ptr<rd_kafka_DeleteTopic_t, Freed<rd_kafka_DeleteTopic_destroy>> doomed(
      rd_kafka_DeleteTopic_new(name.c_str()));
  MARQUEE_ASSIGN_OR_RETURN(EventPtr event,
                           admin_.Call(RD_KAFKA_ADMIN_OP_DELETETOPICS, what,
                                       [&](rd_kafka_t* handle, rd_kafka_AdminOptions_t* options,
                                           rd_kafka_queue_t* queue) {
                                         rd_kafka_DeleteTopic_t* topics[] = {doomed.get()};
                                         rd_kafka_DeleteTopics(handle, topics, 1, options, queue);
                                       }));
  size_t count = 0;
  rd_kafka_resp_err_t error;
  const rd_kafka_topic_result_t** results =
      rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event.get()), &count);
  MARQUEE_RETURN_IF_ERROR(OutcomeOf(results, count, what, &error));
  {
    MutexLock lock(mutex_);
    known_.erase(name);
    configs_.erase(info.identity);
  }
  return OnEveryBroker(
      name, [&](const Seen* seen) { return seen == nullptr || seen->identity != info.identity; });
}

absl::StatusOr<std::map<TopicShard, KafkaOffset>> Topics::OffsetsOf(EventPtr event) {
  size_t count = 0;
  const rd_kafka_ListOffsetsResultInfo_t** infos =
      rd_kafka_ListOffsets_result_infos(rd_kafka_event_ListOffsets_result(event.get()), &count);
  std::map<TopicShard, KafkaOffset> offsets;
  for (size_t i = 0; i < count; ++i) {
    const rd_kafka_topic_partition_t* at = rd_kafka_ListOffsetsResultInfo_topic_partition(infos[i]);
    TopicShard shard{at->topic, Shard(static_cast<uint32_t>(at->partition))};
    if (at->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
        at->err == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION ||
        at->err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC) {
      // It was there a moment ago: deleted, or not known everywhere yet.
      MARQUEE_RETURN_IF_ERROR(Describe(shard.topic).status());
      return absl::UnavailableError(
          fmt::format("{}/{} is not known to its broker yet", shard.topic, shard.shard.value()));
    }
    if (at->err != RD_KAFKA_RESP_ERR_NO_ERROR)
      return StatusOf(at->err, fmt::format("offsets of {}/{}", shard.topic, shard.shard.value()));
    // librdkafka tells a part of the question that failed (its broker is away) as no error at all.
    if (at->offset == RD_KAFKA_OFFSET_INVALID) {
      return absl::UnavailableError(fmt::format("offsets of {}/{}: its broker does not answer",
                                                shard.topic, shard.shard.value()));
    }
    offsets[shard] = KafkaOffset(at->offset);
  }
  return offsets;
}

absl::StatusOr<std::vector<std::map<TopicShard, KafkaOffset>>> Topics::ListOffsets(
    std::span<const TopicShard> shards, const std::vector<int64_t>& specs) {
  std::vector<Admin::Order> orders;
  orders.reserve(specs.size());
  for (int64_t spec : specs) {
    orders.push_back(
        {RD_KAFKA_ADMIN_OP_LISTOFFSETS,
         [shards, spec](rd_kafka_t* handle, rd_kafka_AdminOptions_t* options,
                        rd_kafka_queue_t* queue) {
           PartitionsPtr list(rd_kafka_topic_partition_list_new(static_cast<int>(shards.size())));
           // Each once: librdkafka refuses a shard that is named twice.
           for (const TopicShard& shard : std::set(shards.begin(), shards.end())) {
             rd_kafka_topic_partition_list_add(list.get(), shard.topic.c_str(),
                                               static_cast<int32_t>(shard.shard.value()))
                 ->offset = spec;
           }
           // As they are read: what another's open transaction holds back is there.
           ErrorPtr error(rd_kafka_AdminOptions_set_isolation_level(
               options, RD_KAFKA_ISOLATION_LEVEL_READ_UNCOMMITTED));
           rd_kafka_ListOffsets(handle, list.get(), options, queue);
         }});
  }
  std::vector<std::map<TopicShard, KafkaOffset>> results;
  std::set<std::string> topics;
  for (const TopicShard& shard : shards) topics.insert(shard.topic);
  bool again = false;
  absl::Status retried = admin_.Retry([&]() -> absl::Status {
    results.clear();
    // Leaders move, and this client looks for the new ones only when topics are asked for.
    if (std::exchange(again, true))
      (void)See({topics.begin(), topics.end()}, std::nullopt, kSilenceMax);
    MARQUEE_ASSIGN_OR_RETURN(std::vector<EventPtr> events,
                             admin_.TryAll("offsets of shards", orders, kOffsetsMax));
    for (EventPtr& event : events) {
      MARQUEE_ASSIGN_OR_RETURN(auto offsets, OffsetsOf(std::move(event)));
      for (const TopicShard& shard : shards) {
        if (offsets.contains(shard)) continue;
        return absl::UnavailableError(
            fmt::format("offsets of {}/{}: no answer", shard.topic, shard.shard.value()));
      }
      results.push_back(std::move(offsets));
    }
    return absl::OkStatus();
  });
  if (!retried.ok()) return retried;
  return results;
}

absl::StatusOr<std::map<TopicShard, Extent>> Topics::ExtentsOf(std::span<const TopicShard> shards) {
  std::map<TopicShard, Extent> extents;
  if (shards.empty()) return extents;
  std::map<std::string, TopicKind> kinds;
  for (const TopicShard& shard : shards) {
    MARQUEE_ASSIGN_OR_RETURN(TopicInfo info, DescribeRecent(shard.topic, kKnownFor));
    MARQUEE_RETURN_IF_ERROR(CheckShard(info.spec, shard.shard));
    kinds[shard.topic] = info.spec.kind;
  }
  MARQUEE_ASSIGN_OR_RETURN(auto offsets, ListOffsets(shards, {RD_KAFKA_OFFSET_SPEC_EARLIEST,
                                                              RD_KAFKA_OFFSET_SPEC_LATEST}));
  for (const TopicShard& shard : shards) {
    // The begin was asked for at the same time as the end, perhaps a moment later.
    KafkaOffset end = offsets[1][shard], begin = std::min(offsets[0][shard], end);
    TopicKind kind = kinds[shard.topic];
    extents[shard] = {FromKafka(kind, begin), FromKafka(kind, end)};
  }
  return extents;
}

absl::StatusOr<Extent> Topics::ExtentOf(const TopicShard& shard) {
  MARQUEE_ASSIGN_OR_RETURN(auto extents, ExtentsOf({&shard, 1}));
  return extents[shard];
}

absl::StatusOr<Offset> Topics::OffsetAt(const TopicShard& shard, absl::Time time) {
  MARQUEE_ASSIGN_OR_RETURN(TopicInfo info, DescribeRecent(shard.topic, kKnownFor));
  // A record bears whole milliseconds.
  int64_t ms = absl::ToUnixMillis(time + absl::Milliseconds(1) - absl::Nanoseconds(1));
  MARQUEE_ASSIGN_OR_RETURN(auto offsets, ListOffsets({&shard, 1}, {std::max<int64_t>(0, ms),
                                                                   RD_KAFKA_OFFSET_SPEC_LATEST}));
  KafkaOffset found = offsets[0][shard];
  return FromKafka(info.spec.kind, found < KafkaOffset(0) ? offsets[1][shard] : found);
}

}  // namespace marquee::messaging::kafka
