#include "services/system.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "services/topic_reading.h"

namespace marquee::services {
namespace {

using messaging::Broker;
using messaging::TopicKind;
using messaging::TopicShard;

constexpr std::string_view kRulesKeyPrefix = "rules/";

// The record with the lowest offset among those under keys of their own, which nothing overwrites.
absl::StatusOr<std::optional<domain::Rules>> ReadRules(Broker& broker, const Topics& topics) {
  std::optional<std::pair<messaging::Offset, std::string>> first;
  MARQUEE_RETURN_IF_ERROR(ReadShard(broker, TopicShard{topics.settings(), messaging::Shard(0)},
                                    [&](const messaging::Record& record) {
                                      if (record.value && record.key.starts_with(kRulesKeyPrefix) &&
                                          (!first || record.offset < first->first)) {
                                        first.emplace(record.offset, std::string(*record.value));
                                      }
                                      return absl::OkStatus();
                                    }));
  if (!first) return std::nullopt;
  absl::StatusOr<domain::Rules> rules = domain::DecodeRules(first->second);
  if (!rules.ok()) return Annotate(rules.status(), topics.settings());
  return *rules;
}

domain::Rules Fulfil(const RulesWish& wish, domain::Rules rules) {
  if (wish.shards) rules.shards = *wish.shards;
  if (wish.scale) rules.scale = *wish.scale;
  if (wish.idempotency_window_messages)
    rules.idempotency_window_messages = *wish.idempotency_window_messages;
  return rules;
}

absl::Status Compare(const domain::Rules& recorded, const RulesWish& wish, const Topics& topics) {
  domain::Rules here = Fulfil(wish, recorded);
  here.version = domain::Rules().version;
  std::vector<std::string> differences = domain::Differences(recorded, here);
  if (differences.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("settings differ from those recorded in the topic ", topics.settings(), ": ",
                   absl::StrJoin(differences, "; "),
                   ". Leave the option out to follow what is recorded, or use another "
                   "--topic-prefix or broker"));
}

absl::Status Record(Broker& broker, const Topics& topics, const domain::Rules& rules,
                    Random& random) {
  MARQUEE_ASSIGN_OR_RETURN(auto publisher, broker.OpenPublisher(topics.settings()));
  std::string key = absl::StrFormat("%s%016x", kRulesKeyPrefix, random.Next());
  std::string value = domain::EncodeRules(rules);
  messaging::NewRecord record{.key = key, .value = value};
  MARQUEE_RETURN_IF_ERROR(publisher->Publish({&record, 1}));
  return publisher->Flush().status();
}

absl::Status DeclareTopics(Broker& broker, const Topics& topics, uint32_t shards) {
  const messaging::TopicSpec specs[] = {
      {.name = topics.ratings(), .kind = TopicKind::kEvent, .shards = shards},
      {.name = topics.movies(), .kind = TopicKind::kEntity, .shards = shards},
      {.name = topics.mean_ratings(), .kind = TopicKind::kEntity, .shards = shards},
      {.name = topics.checkpoints(), .kind = TopicKind::kEntity, .shards = shards},
      {.name = topics.sources(), .kind = TopicKind::kEntity, .shards = 1},
      {.name = topics.service_reports(), .kind = TopicKind::kEntity, .shards = 1},
      {.name = Topics::DeadLettersOf(topics.ratings()), .kind = TopicKind::kEntity, .shards = 1},
      {.name = Topics::DeadLettersOf(topics.movies()), .kind = TopicKind::kEntity, .shards = 1},
      {.name = Topics::DeadLettersOf(topics.mean_ratings()),
       .kind = TopicKind::kEntity,
       .shards = 1},
  };
  for (const messaging::TopicSpec& spec : specs) {
    MARQUEE_RETURN_IF_ERROR(broker.DeclareTopic(spec).status());
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<System> OpenSystem(Broker& broker, const Topics& topics, const RulesWish& wish,
                                  Random& random) {
  MARQUEE_RETURN_IF_ERROR(
      broker.DeclareTopic({.name = topics.settings(), .kind = TopicKind::kEntity, .shards = 1})
          .status());
  MARQUEE_ASSIGN_OR_RETURN(std::optional<domain::Rules> rules, ReadRules(broker, topics));
  bool first = !rules;
  if (!rules) {
    domain::Rules mine = Fulfil(wish, domain::Rules());
    MARQUEE_RETURN_IF_ERROR(mine.Validate());
    MARQUEE_RETURN_IF_ERROR(Record(broker, topics, mine, random));
    // Somebody else may have been faster: whoever has the lowest offset is followed.
    MARQUEE_ASSIGN_OR_RETURN(rules, ReadRules(broker, topics));
    if (!rules)
      return absl::DataLossError(
          absl::StrCat(topics.settings(), ": the record just flushed is not there"));
  }
  MARQUEE_RETURN_IF_ERROR(Compare(*rules, wish, topics));
  MARQUEE_RETURN_IF_ERROR(DeclareTopics(broker, topics, rules->shards));
  return System{*rules, first};
}

absl::StatusOr<System> FindSystem(Broker& broker, const Topics& topics) {
  absl::StatusOr<std::optional<domain::Rules>> rules = ReadRules(broker, topics);
  if (rules.ok() && !*rules)
    return absl::NotFoundError(
        absl::StrCat("no system is declared: the topic ", topics.settings(), " is empty"));
  if (!rules.ok()) return rules.status();
  MARQUEE_RETURN_IF_ERROR(Compare(**rules, {}, topics));
  return System{**rules, false};
}

}  // namespace marquee::services
