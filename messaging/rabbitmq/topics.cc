#include "messaging/rabbitmq/topics.h"

#include <fmt/format.h>

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "base/random.h"
#include "base/status.h"
#include "messaging/checks.h"
#include "messaging/rabbitmq/message.h"
#include "messaging/rabbitmq/shard_state.h"
#include "messaging/rabbitmq/stream.h"

namespace marquee::messaging::rabbitmq {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(10);
constexpr int64_t kTopicsSegmentBytes = 4 << 20;
// Records may bear a time that is later than that of their writing.
constexpr absl::Duration kRetentionSlack = absl::Hours(1);
constexpr absl::Duration kBetweenLooks = absl::Milliseconds(5);

std::string NewIdentity() { return fmt::format("{:016x}", Random::FromSystem().Next()); }

absl::Status NoTopic(std::string_view name) {
  return absl::NotFoundError(fmt::format("there is no topic {}; declare it first", name));
}

}  // namespace

absl::Status DeletedUnderneath(std::string_view topic, std::string_view what) {
  return absl::DataLossError(fmt::format(
      "topic {}: somebody else deleted its {}; restore it, or delete the topic and declare it anew",
      topic, what));
}

std::string TopicLog::Declared(const Topic& topic) {
  bool forever = topic.spec.retention == absl::InfiniteDuration();
  return fmt::format("topic\t{}\t{}\t{}\t{}\t{}", topic.spec.name, topic.identity,
                     topic.spec.kind == TopicKind::kEvent ? "event" : "entity", topic.spec.shards,
                     forever ? -1 : absl::ToInt64Nanoseconds(topic.spec.retention));
}

std::string TopicLog::Deleted(const Topic& topic) {
  return fmt::format("deleted\t{}\t{}", topic.spec.name, topic.identity);
}

std::string TopicLog::GroupMade(std::string_view group) {
  return fmt::format("group\t{}", absl::CHexEscape(std::string(group)));
}

void TopicLog::Take(std::string_view entry) {
  std::vector<std::string> words =
      absl::StrSplit(absl::string_view(entry.data(), entry.size()), '\t');
  if (words[0] == "group" && words.size() == 2) {
    std::string group;
    if (absl::CUnescape(words[1], &group)) groups_.insert(group);
  } else if (words[0] == "deleted" && words.size() == 3) {
    auto found = topics_.find(words[1]);
    if (found != topics_.end() && found->second.identity == words[2]) topics_.erase(found);
  } else if (words[0] == "topic" && words.size() == 6) {
    Topic topic{.spec = {.name = words[1]}, .identity = words[2]};
    int64_t retention_ns = 0;
    if (!absl::SimpleAtoi(words[4], &topic.spec.shards) ||
        !absl::SimpleAtoi(words[5], &retention_ns)) {
      return;
    }
    topic.spec.kind = words[3] == "event" ? TopicKind::kEvent : TopicKind::kEntity;
    if (retention_ns >= 0) topic.spec.retention = absl::Nanoseconds(retention_ns);
    seen_.insert(topic.identity);
    topics_.try_emplace(words[1], std::move(topic));
  }
}

absl::Status Topics::Refresh(Connection& connection) {
  std::string stream(kTopicsStream);
  absl::StatusOr<StreamMessage> last = ReadLast(connection, stream);
  // Whoever made it may have died before its anchor; where entries were read, it is another stream.
  bool is_bare = next_ == 0 && absl::IsDataLoss(last.status());
  if (absl::IsNotFound(last.status()) || is_bare) {
    MARQUEE_RETURN_IF_ERROR(
        MakeStream(connection, stream, {.segment_bytes = kTopicsSegmentBytes}, kPatience));
    last = ReadLast(connection, stream);
  }
  MARQUEE_RETURN_IF_ERROR(last.status());
  // A follower may not know yet what this client has read from another node.
  if (last->offset < next_) return absl::OkStatus();
  return ReadFrom(connection, stream, {From::Place::kOffset, next_}, kPatience,
                  [&](StreamMessage message) -> absl::StatusOr<bool> {
                    mutex_.AssertHeld();
                    MARQUEE_ASSIGN_OR_RETURN(Head head, ReadHead(message.body));
                    if (message.offset >= next_) {
                      if (head.kind == Kind::kEntry) log_.Take(PayloadOf(message.body));
                      next_ = message.offset + 1;
                    }
                    return message.offset < last->offset;
                  });
}

absl::Status Topics::AppendEntry(Connection& connection, std::string_view entry) {
  return Append(connection, std::string(kTopicsStream),
                {MakeMessage({.kind = Kind::kEntry}, entry)}, kPatience);
}

absl::Status Topics::RefreshUntilSeen(Connection& connection, std::string_view identity) {
  absl::Duration until = world_.clock.Uptime() + world_.deadline;
  while (true) {
    MARQUEE_RETURN_IF_ERROR(Refresh(connection));
    if (log_.HasSeen(identity)) return absl::OkStatus();
    if (world_.clock.Uptime() > until) {
      return absl::DeadlineExceededError(
          "waited for this client's own entry in the stream marquee.topics");
    }
    world_.clock.SleepFor(kBetweenLooks);
  }
}

absl::Status Topics::MakeStreams(Connection& connection, const Topic& topic) {
  bool is_entity = topic.spec.kind == TopicKind::kEntity;
  std::string exchange = ExchangeOf(topic.spec.name, topic.identity);
  if (!is_entity) MARQUEE_RETURN_IF_ERROR(connection.DeclareExchange(exchange));
  StreamLimits limits{.segment_bytes = world_.settings.segment_bytes};
  if (topic.spec.retention != absl::InfiniteDuration()) {
    limits.max_age = topic.spec.retention + kRetentionSlack;
  }
  for (uint32_t i = 0; i < topic.spec.shards; ++i) {
    Shard shard(i);
    std::string stream = EventStreamOf(topic.spec.name, shard, topic.identity);
    if (is_entity) {
      MARQUEE_RETURN_IF_ERROR(MakeShardState(connection, topic.spec.name, shard, topic.identity));
      stream = EpochStreamOf(topic.spec.name, shard, topic.identity, 0);
    }
    MARQUEE_RETURN_IF_ERROR(MakeStream(connection, stream, limits, kPatience));
    if (!is_entity) {
      MARQUEE_RETURN_IF_ERROR(connection.Bind(stream, exchange, fmt::to_string(i)));
    }
  }
  return absl::OkStatus();
}

absl::Status Topics::DeleteStreams(Connection& connection, const Topic& topic) {
  const std::string& name = topic.spec.name;
  // First what publishers publish to, so that they are told.
  MARQUEE_RETURN_IF_ERROR(connection.DeleteExchange(ExchangeOf(name, topic.identity)));
  for (uint32_t i = 0; i < topic.spec.shards; ++i) {
    Shard shard(i);
    if (topic.spec.kind == TopicKind::kEvent) {
      MARQUEE_RETURN_IF_ERROR(connection.DeleteQueue(EventStreamOf(name, shard, topic.identity)));
    } else {
      MARQUEE_RETURN_IF_ERROR(DeleteShardStreams(connection, name, shard, topic.identity));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Topic> Topics::Known(std::string_view name) {
  auto found = log_.topics().find(name);
  if (found == log_.topics().end()) return NoTopic(name);
  return found->second;
}

absl::StatusOr<Topic> Topics::Declare(const TopicSpec& spec) {
  MARQUEE_RETURN_IF_ERROR(CheckSpec(spec));
  MutexLock lock(mutex_);
  Topic topic{.spec = spec, .identity = NewIdentity()};
  absl::Status status =
      session_.Call("declaring topic " + spec.name, [&](Connection& connection) -> absl::Status {
        mutex_.AssertHeld();
        MARQUEE_RETURN_IF_ERROR(Refresh(connection));
        absl::StatusOr<Topic> known = Known(spec.name);
        if (!known.ok() && !log_.HasSeen(topic.identity)) {
          MARQUEE_RETURN_IF_ERROR(MakeStreams(connection, topic));
          MARQUEE_RETURN_IF_ERROR(AppendEntry(connection, TopicLog::Declared(topic)));
          MARQUEE_RETURN_IF_ERROR(RefreshUntilSeen(connection, topic.identity));
          known = Known(spec.name);
        }
        MARQUEE_RETURN_IF_ERROR(known.status());
        // Somebody else was first: what was made for this one is nobody's.
        if (known->identity != topic.identity && log_.HasSeen(topic.identity)) {
          MARQUEE_RETURN_IF_ERROR(DeleteStreams(connection, topic));
        }
        topic = *std::move(known);
        return absl::OkStatus();
      });
  MARQUEE_RETURN_IF_ERROR(status);
  MARQUEE_RETURN_IF_ERROR(CheckSame(topic.spec, spec));
  return topic;
}

absl::StatusOr<Topic> Topics::Find(std::string_view name) {
  MutexLock lock(mutex_);
  MARQUEE_RETURN_IF_ERROR(
      session_.Call(fmt::format("looking for topic {}", name), [this](Connection& connection) {
        mutex_.AssertHeld();
        return Refresh(connection);
      }));
  return Known(name);
}

absl::StatusOr<Topic> Topics::FindShard(const TopicShard& shard) {
  MARQUEE_ASSIGN_OR_RETURN(Topic topic, Find(shard.topic));
  MARQUEE_RETURN_IF_ERROR(CheckShard(topic.spec, shard.shard));
  return topic;
}

absl::StatusOr<Topic> Topics::RecallShard(const TopicShard& shard) {
  MutexLock lock(mutex_);
  MARQUEE_ASSIGN_OR_RETURN(Topic topic, Known(shard.topic));
  MARQUEE_RETURN_IF_ERROR(CheckShard(topic.spec, shard.shard));
  return topic;
}

absl::StatusOr<std::vector<Topic>> Topics::All() {
  MutexLock lock(mutex_);
  MARQUEE_RETURN_IF_ERROR(session_.Call("listing topics", [this](Connection& connection) {
    mutex_.AssertHeld();
    return Refresh(connection);
  }));
  std::vector<Topic> topics;
  for (const auto& [name, topic] : log_.topics()) topics.push_back(topic);
  return topics;
}

absl::Status Topics::Delete(std::string_view name) {
  MutexLock lock(mutex_);
  bool was_there = false;
  return session_.Call(fmt::format("deleting topic {}", name), [&](Connection& connection) {
    mutex_.AssertHeld();
    MARQUEE_RETURN_IF_ERROR(Refresh(connection));
    absl::StatusOr<Topic> topic = Known(name);
    // A second attempt may find that the first did it.
    if (!topic.ok()) return was_there ? absl::OkStatus() : topic.status();
    was_there = true;
    MARQUEE_RETURN_IF_ERROR(AppendEntry(connection, TopicLog::Deleted(*topic)));
    MARQUEE_RETURN_IF_ERROR(DeleteStreams(connection, *topic));
    return Refresh(connection);
  });
}

absl::StatusOr<std::set<std::string>> Topics::Groups() {
  MutexLock lock(mutex_);
  MARQUEE_RETURN_IF_ERROR(session_.Call("listing groups", [this](Connection& connection) {
    mutex_.AssertHeld();
    return Refresh(connection);
  }));
  return log_.groups();
}

absl::Status Topics::NoteGroup(const std::string& group) {
  MutexLock lock(mutex_);
  return session_.Call("noting group " + group, [&](Connection& connection) -> absl::Status {
    mutex_.AssertHeld();
    if (log_.groups().contains(group)) return absl::OkStatus();
    MARQUEE_RETURN_IF_ERROR(Refresh(connection));
    if (log_.groups().contains(group)) return absl::OkStatus();
    return AppendEntry(connection, TopicLog::GroupMade(group));
  });
}

}  // namespace marquee::messaging::rabbitmq
