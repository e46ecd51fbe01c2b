#include "messaging/sqlite/sqlite_broker.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "base/mutex.h"
#include "base/status.h"
#include "messaging/sqlite/group_store.h"
#include "messaging/sqlite/sqlite_publisher.h"
#include "messaging/sqlite/sqlite_subscription.h"
#include "messaging/sqlite/store.h"
#include "messaging/sqlite/topic_directory.h"

namespace marquee::messaging {
namespace {

std::vector<std::string> SplitLines(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = std::min(text.find('\n', begin), text.size());
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

class SqliteBroker final : public Broker {
 public:
  SqliteBroker(std::unique_ptr<Store> store, std::unique_ptr<TopicDirectory> directory)
      : store_(std::move(store)), directory_(std::move(directory)) {}

  absl::StatusOr<TopicInfo> DeclareTopic(const TopicSpec& spec) override {
    MARQUEE_ASSIGN_OR_RETURN(std::shared_ptr<TopicFile> file, directory_->Declare(spec));
    return file->Info();
  }

  absl::StatusOr<TopicInfo> DescribeTopic(std::string_view topic) override {
    MARQUEE_ASSIGN_OR_RETURN(std::shared_ptr<TopicFile> file, directory_->Find(topic));
    return file->Info();
  }

  absl::StatusOr<std::vector<TopicInfo>> ListTopics() override {
    MARQUEE_ASSIGN_OR_RETURN(auto files, directory_->All());
    std::vector<TopicInfo> topics;
    topics.reserve(files.size());
    for (const std::shared_ptr<TopicFile>& file : files) topics.push_back(file->Info());
    return topics;
  }

  absl::Status DeleteTopic(std::string_view topic) override {
    MARQUEE_RETURN_IF_ERROR(directory_->Delete(topic));
    store_->notifier.Notify();
    return absl::OkStatus();
  }

  absl::StatusOr<Extent> DescribeShard(const TopicShard& shard) override {
    MARQUEE_ASSIGN_OR_RETURN(std::shared_ptr<TopicFile> file, directory_->Find(shard.topic));
    return file->DescribeShard(shard.shard);
  }

  absl::StatusOr<std::unique_ptr<Publisher>> OpenPublisher(std::string_view topic) override {
    MARQUEE_ASSIGN_OR_RETURN(std::shared_ptr<TopicFile> file, directory_->Find(topic));
    return std::unique_ptr<Publisher>(std::make_unique<SqlitePublisher>(*store_, std::move(file)));
  }

  absl::StatusOr<std::unique_ptr<Subscription>> OpenReader(SubscriptionOptions options) override {
    return std::unique_ptr<Subscription>(
        std::make_unique<SqliteSubscription>(*store_, *directory_, std::move(options)));
  }

  absl::StatusOr<std::unique_ptr<Subscription>> JoinGroup(std::span<const std::string> topics,
                                                          SubscriptionOptions options) override {
    auto subscription =
        std::make_unique<SqliteSubscription>(*store_, *directory_, std::move(options));
    MARQUEE_RETURN_IF_ERROR(subscription->Join(topics));
    return std::unique_ptr<Subscription>(std::move(subscription));
  }

  absl::StatusOr<std::vector<GroupInfo>> ListGroups() override {
    // Asked by people, rarely: a store of its own, so that nothing is shared.
    MARQUEE_ASSIGN_OR_RETURN(std::unique_ptr<GroupStore> groups, GroupStore::Open(*store_));
    MARQUEE_ASSIGN_OR_RETURN(std::vector<std::string> names, groups->Groups());
    std::vector<GroupInfo> infos;
    for (const std::string& name : names) {
      MARQUEE_ASSIGN_OR_RETURN(GroupInfo info, DescribeGroup(*groups, name));
      infos.push_back(std::move(info));
    }
    return infos;
  }

 private:
  absl::StatusOr<GroupInfo> DescribeGroup(GroupStore& groups, const std::string& name) {
    GroupInfo info;
    info.group = name;
    MARQUEE_ASSIGN_OR_RETURN(std::vector<MemberRow> members, groups.Members(name));
    MARQUEE_ASSIGN_OR_RETURN(std::vector<Slot> slots, groups.Slots(name));
    MARQUEE_ASSIGN_OR_RETURN(std::string topics, groups.Topics(name));
    MARQUEE_ASSIGN_OR_RETURN(GroupStore::Reported reported, groups.ReportedPositions(name));
    int64_t now_ns = absl::ToInt64Nanoseconds(store_->clock.Uptime());
    std::map<std::string, std::string> names;
    for (const MemberRow& member : members) {
      if (!groups.IsAlive(member, now_ns)) continue;
      names[member.id] = member.name;
      info.members.push_back(member.name);
    }
    std::set<TopicShard> shards;
    for (const auto& [shard, next] : reported) shards.insert(shard);
    for (const std::string& topic : SplitLines(topics)) {
      absl::StatusOr<std::shared_ptr<TopicFile>> file = directory_->Find(topic);
      for (uint32_t i = 0; file.ok() && i < (*file)->spec().shards; ++i)
        shards.insert({topic, Shard(i)});
    }
    for (const TopicShard& shard : shards) {
      absl::StatusOr<std::shared_ptr<TopicFile>> file = directory_->Find(shard.topic);
      if (!file.ok() || !(*file)->CheckShard(shard.shard).ok())
        continue;  // of a topic that was deleted
      GroupShard described{.shard = shard, .owner = {}, .generation = 0, .reported = {}, .lag = 0};
      for (const Slot& slot : slots) {
        if (slot.id != SlotId{(*file)->spec().shards, shard.shard.value()}) continue;
        auto owner = names.find(slot.owner);
        if (owner != names.end()) described.owner = owner->second;
        described.generation = slot.generation;
      }
      auto position = reported.find(shard);
      if (position != reported.end()) described.reported = position->second;
      MARQUEE_ASSIGN_OR_RETURN(
          described.lag,
          (*file)->CountRecords(shard.shard, described.reported.value_or(Offset(0))));
      info.shards.push_back(std::move(described));
    }
    return info;
  }

  const std::unique_ptr<Store> store_;
  const std::unique_ptr<TopicDirectory> directory_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Broker>> OpenSqliteBroker(const std::string& directory,
                                                         const BrokerOptions& options, Clock& clock,
                                                         std::string vfs) {
  MARQUEE_ASSIGN_OR_RETURN(SqliteSettings settings, SqliteSettings::Parse(options.settings));
  if (vfs.empty()) MARQUEE_RETURN_IF_ERROR(PrepareDirectory(directory));
  std::unique_ptr<Store> store(new Store{.directory = directory,
                                         .vfs = std::move(vfs),
                                         .settings = settings,
                                         .deadline = options.deadline,
                                         .clock = clock,
                                         .notifier = {},
                                         .recovered_mutex = {},
                                         .recovered = {}});
  MARQUEE_ASSIGN_OR_RETURN(std::unique_ptr<TopicDirectory> topics, TopicDirectory::Open(*store));
  return std::unique_ptr<Broker>(
      std::make_unique<SqliteBroker>(std::move(store), std::move(topics)));
}

}  // namespace marquee::messaging
