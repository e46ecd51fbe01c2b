// `marquee topics` and `marquee groups`: what the broker holds and who reads it.
#include <filesystem>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "boost/json.hpp"
#include "cli/commands.h"
#include "cli/host.h"

namespace marquee::cli {
namespace {

struct InspectSettings {
  CommonSettings common;
  Format format = Format::kTable;
  bool shards = false;
};

const char* NameOf(messaging::TopicKind kind) {
  return kind == messaging::TopicKind::kEvent ? "event" : "entity";
}

// Only looks: a folder that is not there is an error, not a new log.
absl::StatusOr<std::unique_ptr<messaging::Broker>> OpenToLook(const CommonSettings& common,
                                                              Clock& clock) {
  if (common.broker.empty() && !std::filesystem::exists(common.data + "/log")) {
    return absl::NotFoundError(
        absl::StrCat("no log in ", common.data, "/log; give --data DIR or --broker URL"));
  }
  return OpenBroker(common, clock);
}

bool WithPrefix(const std::string& name, const std::string& prefix) {
  return name.starts_with(prefix);
}

absl::StatusOr<int> ShowTopics(const InspectSettings& settings) {
  SystemClock clock;
  MARQUEE_ASSIGN_OR_RETURN(auto broker, OpenToLook(settings.common, clock));
  MARQUEE_ASSIGN_OR_RETURN(std::vector<messaging::TopicInfo> topics, broker->ListTopics());
  Table table(settings.shards ? std::vector<std::string>{"topic", "shard>", "begin>", "end>"}
                              : std::vector<std::string>{"topic", "kind", "shards>", "retention",
                                                         "bytes>", "identity"});
  boost::json::array json;
  absl::Status damaged;  // the first that cannot be described; the others are shown
  for (const messaging::TopicInfo& topic : topics) {
    if (!WithPrefix(topic.spec.name, settings.common.topic_prefix)) continue;
    boost::json::array shards;
    absl::StatusOr<std::vector<messaging::Extent>> extents =
        broker->DescribeShards(messaging::ShardsOf(topic.spec.name, topic.spec.shards));
    if (absl::IsDeadlineExceeded(extents.status())) return extents.status();
    if (!extents.ok()) {
      if (damaged.ok()) damaged = Annotate(extents.status(), "topic " + topic.spec.name);
      continue;
    }
    for (uint32_t i = 0; i < topic.spec.shards; ++i) {
      const messaging::Extent& extent = (*extents)[i];
      shards.push_back(boost::json::object{
          {"shard", i}, {"begin", extent.begin.value()}, {"end", extent.end.value()}});
      if (settings.shards) {
        table.Add({topic.spec.name, absl::StrCat(i), absl::StrCat(extent.begin.value()),
                   absl::StrCat(extent.end.value())});
      }
    }
    std::string retention = topic.spec.retention == absl::InfiniteDuration()
                                ? "for ever"
                                : absl::FormatDuration(topic.spec.retention);
    if (!settings.shards) {
      table.Add({topic.spec.name, NameOf(topic.spec.kind), absl::StrCat(topic.spec.shards),
                 topic.spec.kind == messaging::TopicKind::kEvent ? retention : "newest of each key",
                 HumanBytes(topic.bytes_on_disk), topic.identity});
    }
    json.push_back(boost::json::object{{"topic", topic.spec.name},
                                       {"kind", NameOf(topic.spec.kind)},
                                       {"identity", topic.identity},
                                       {"bytes_on_disk", topic.bytes_on_disk},
                                       {"shards", shards}});
  }
  if (settings.format == Format::kJson) {
    PrintJson(json);
  } else {
    Print(table.ToString());
  }
  MARQUEE_RETURN_IF_ERROR(damaged);
  return kExitOk;
}

absl::StatusOr<int> ShowGroups(const InspectSettings& settings) {
  SystemClock clock;
  MARQUEE_ASSIGN_OR_RETURN(auto broker, OpenToLook(settings.common, clock));
  MARQUEE_ASSIGN_OR_RETURN(std::vector<messaging::GroupInfo> groups, broker->ListGroups());
  Table table({"group", "topic", "shard>", "position>", "lag>", "generation>", "member"});
  boost::json::array json;
  absl::Status damaged;  // the first of which nothing is known; the others are shown
  for (const messaging::GroupInfo& group : groups) {
    if (!WithPrefix(group.group, settings.common.topic_prefix)) continue;
    if (!group.status.ok()) {
      if (damaged.ok()) damaged = Annotate(group.status, "group " + group.group);
      continue;
    }
    boost::json::array shards;
    for (const messaging::GroupShard& shard : group.shards) {
      std::string position = shard.reported ? absl::StrCat(shard.reported->value()) : "-";
      table.Add({group.group, shard.shard.topic, absl::StrCat(shard.shard.shard.value()), position,
                 absl::StrCat(shard.lag), absl::StrCat(shard.generation),
                 shard.owner.empty() ? "-" : shard.owner});
      boost::json::value reported;
      if (shard.reported) reported = shard.reported->value();
      shards.push_back(boost::json::object{{"topic", shard.shard.topic},
                                           {"shard", shard.shard.shard.value()},
                                           {"position", reported},
                                           {"lag", shard.lag},
                                           {"generation", shard.generation},
                                           {"member", shard.owner}});
    }
    boost::json::array members;
    for (const std::string& member : group.members) members.emplace_back(member);
    json.push_back(
        boost::json::object{{"group", group.group}, {"members", members}, {"shards", shards}});
  }
  if (settings.format == Format::kJson) {
    PrintJson(json);
  } else {
    Print(table.ToString());
  }
  MARQUEE_RETURN_IF_ERROR(damaged);
  return kExitOk;
}

void AddInspect(CLI::App& app, Action& action, const char* name, const char* description,
                const char* example, bool with_shards,
                absl::StatusOr<int> (*show)(const InspectSettings&)) {
  CLI::App* command = app.add_subcommand(name, description);
  command->footer(std::string("Example:\n  ") + example);
  auto inspect = std::make_shared<InspectSettings>();
  auto settings = std::make_shared<Settings>(*command);
  AddCommonSettings(*settings, inspect->common, *command);
  if (with_shards)
    command->add_flag("--shards", inspect->shards,
                      "a line for each shard, with its first and next offset");
  AddOutput(*command, inspect->format);
  command->callback([=, &action] {
    action = [=]() -> absl::StatusOr<int> {
      MARQUEE_RETURN_IF_ERROR(settings->Complete(inspect->common.config));
      return show(*inspect);
    };
  });
}

}  // namespace

void AddTopics(CLI::App& app, Action& action) {
  AddInspect(app, action, "topics", "Show topics, shards, offsets and bytes on disk",
             "marquee topics --data data/ml --shards", true, ShowTopics);
}

void AddGroups(CLI::App& app, Action& action) {
  AddInspect(app, action, "groups", "Show groups, members, positions and lag",
             "marquee groups --data data/ml -o json", false, ShowGroups);
}

}  // namespace marquee::cli
