#include "messaging/rabbitmq/follow.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <string>
#include <utility>

#include "base/status.h"
#include "messaging/rabbitmq/stream.h"

namespace marquee::messaging::rabbitmq {
namespace {

constexpr int kPrefetch = 256;  // of each consumer
// Of those that are kept: what lies ready between two runs is in memory.
constexpr int kKeptPrefetch = 32;
// One that is silent for so long may be served no more, whatever there is to send.
constexpr absl::Duration kServedMax = absl::Seconds(1);

}  // namespace

absl::Status Follower::Run(std::span<Follow> follows, absl::Duration patience) {
  following_.clear();
  for (Follow& follow : follows) MARQUEE_RETURN_IF_ERROR(Begin(&follow));
  MARQUEE_RETURN_IF_ERROR(TakeReady());
  absl::Duration silent, served_until = kServedMax;
  while (!following_.empty()) {
    MARQUEE_ASSIGN_OR_RETURN(Event event, connection_.WaitOn(kFollowChannel, kNudgeAfter));
    if (event.kind != Event::Kind::kNone) {
      silent = absl::ZeroDuration();
      served_until = kServedMax;
      MARQUEE_RETURN_IF_ERROR(TakeEvent(std::move(event)));
      continue;
    }
    silent += kNudgeAfter;
    if (silent >= patience) return Silent(patience);
    if (silent == kNudgeAfter) MARQUEE_RETURN_IF_ERROR(NudgeAll());
    if (silent >= served_until) {
      served_until += kServedMax;
      MARQUEE_RETURN_IF_ERROR(Renew());
      MARQUEE_RETURN_IF_ERROR(NudgeAll());
    }
  }
  if (keeps_ == Keeps::kConsumers) return absl::OkStatus();
  MARQUEE_RETURN_IF_ERROR(acks_.Send(connection_, /*all_taken=*/true));
  return Settle();
}

bool Follower::AllTaken() const {
  return ready_left_ == 0 && std::all_of(kept_.begin(), kept_.end(), [](const auto& kept) {
           return kept.second.ready.empty();
         });
}

void Follower::Keep(Event event) {
  if (event.kind == Event::Kind::kChannelClosed) {
    acks_.Forget();
    kept_.clear();
  } else if (event.kind == Event::Kind::kCancelled) {
    std::erase_if(kept_, [&](const auto& kept) { return kept.second.consumer == event.consumer; });
  } else if (event.kind == Event::Kind::kDelivery) {
    auto of = std::find_if(kept_.begin(), kept_.end(), [&](const auto& kept) {
      return kept.second.consumer == event.consumer;
    });
    if (of != kept_.end()) of->second.ready.push_back(std::move(event));
  }
}

absl::Status Follower::Begin(Follow* follow) {
  const std::string& stream = follow->cursor->stream();
  From from{From::Place::kOffset, follow->cursor->stream_offset()};
  auto kept = kept_.find(stream);
  if (kept != kept_.end() && !follow->from.has_value() && kept->second.next == from.offset) {
    following_[kept->second.consumer] = follow;
    return follow->begun ? follow->begun() : absl::OkStatus();
  }
  if (kept != kept_.end()) MARQUEE_RETURN_IF_ERROR(End(kept->second.consumer));
  if (follow->from.has_value()) from = *std::exchange(follow->from, std::nullopt);
  std::string consumer = connection_.NewConsumer();
  MARQUEE_RETURN_IF_ERROR(
      connection_.ConsumeSoon(kFollowChannel, stream, consumer, from,
                              keeps_ == Keeps::kConsumers ? kKeptPrefetch : kPrefetch));
  following_[consumer] = follow;
  if (keeps_ == Keeps::kConsumers) kept_[stream] = {.consumer = consumer, .next = from.offset};
  return follow->begun ? follow->begun() : absl::OkStatus();
}

absl::Status Follower::End(const std::string& consumer) {
  following_.erase(consumer);
  MARQUEE_RETURN_IF_ERROR(acks_.Send(connection_, AllTaken()));
  std::erase_if(kept_, [&](const auto& kept) { return kept.second.consumer == consumer; });
  return connection_.CancelSoon(kFollowChannel, consumer);
}

// What has come for those that are followed while nobody followed them.
absl::Status Follower::TakeReady() {
  std::vector<Event> ready;
  for (auto& [stream, kept] : kept_) {
    if (!following_.contains(kept.consumer)) continue;
    std::move(kept.ready.begin(), kept.ready.end(), std::back_inserter(ready));
    kept.ready.clear();
  }
  for (ready_left_ = ready.size(); ready_left_ > 0; --ready_left_) {
    MARQUEE_RETURN_IF_ERROR(TakeEvent(std::move(ready[ready.size() - ready_left_])));
  }
  return absl::OkStatus();
}

absl::Status Follower::Renew() {
  std::vector<Follow*> follows;
  std::vector<std::string> consumers;
  for (const auto& [consumer, follow] : following_) {
    follows.push_back(follow);
    consumers.push_back(consumer);
  }
  for (const std::string& consumer : consumers) MARQUEE_RETURN_IF_ERROR(End(consumer));
  for (Follow* follow : follows) {
    // It has begun, and asked what it asks.
    std::function<absl::Status()> begun = std::exchange(follow->begun, nullptr);
    absl::Status status = Begin(follow);
    follow->begun = std::move(begun);
    MARQUEE_RETURN_IF_ERROR(status);
  }
  return absl::OkStatus();
}

absl::Status Follower::NudgeAll() {
  for (const auto& [consumer, follow] : following_) {
    MARQUEE_RETURN_IF_ERROR(Nudge(connection_, kFollowChannel, follow->cursor->stream()));
  }
  return absl::OkStatus();
}

absl::Status Follower::Silent(absl::Duration patience) {
  if (!connection_.blocked().empty()) {
    return absl::UnavailableError("it reads nothing from publishers: " + connection_.blocked());
  }
  return absl::DeadlineExceededError(fmt::format(
      "waited {} for the next message of {} streams, {} among them", absl::FormatDuration(patience),
      following_.size(), following_.begin()->second->cursor->stream()));
}

absl::Status Follower::TakeEvent(Event event) {
  switch (event.kind) {
    case Event::Kind::kDelivery:
      return Deliver(std::move(event));
    case Event::Kind::kReturned:
      return absl::NotFoundError("a stream is gone: " + event.text);
    case Event::Kind::kCancelled: {
      auto follow = following_.find(event.consumer);
      if (follow != following_.end()) {
        return absl::NotFoundError(
            fmt::format("the stream {} was deleted", follow->second->cursor->stream()));
      }
      Keep(std::move(event));
      return absl::OkStatus();
    }
    case Event::Kind::kChannelClosed:
      Keep(event);
      return event.why;
    default:
      return absl::OkStatus();
  }
}

absl::Status Follower::Deliver(Event event) {
  auto found = following_.find(event.consumer);
  if (found == following_.end()) {
    bool is_kept = std::any_of(kept_.begin(), kept_.end(), [&](const auto& kept) {
      return kept.second.consumer == event.consumer;
    });
    if (is_kept) {
      Keep(std::move(event));
      return absl::OkStatus();
    }
  }
  // Those of ended consumers too.
  acks_.Taken(event.tag);
  MARQUEE_RETURN_IF_ERROR(acks_.SendIfDue(connection_, AllTaken()));
  if (found == following_.end()) return absl::OkStatus();
  Follow* follow = found->second;
  ShardCursor* cursor = follow->cursor;
  auto kept = kept_.find(cursor->stream());
  if (kept != kept_.end()) kept->second.next = event.stream_offset + 1;
  if (event.stream_offset < cursor->stream_offset()) return absl::OkStatus();
  MARQUEE_ASSIGN_OR_RETURN(Head head, ReadHead(event.body));
  MARQUEE_ASSIGN_OR_RETURN(ShardCursor::Step step,
                           cursor->Take(event.stream_offset, head, event.body));
  MARQUEE_ASSIGN_OR_RETURN(Follow::Then then,
                           follow->take({head, event.stream_offset, event.body, step}));
  bool goes_elsewhere = step == ShardCursor::Step::kMoved || then == Follow::Then::kAgain;
  if (then == Follow::Then::kMore && !goes_elsewhere) return absl::OkStatus();
  if (goes_elsewhere || keeps_ == Keeps::kNothing) {
    MARQUEE_RETURN_IF_ERROR(End(event.consumer));
  } else {
    following_.erase(event.consumer);
  }
  return then == Follow::Then::kDone ? absl::OkStatus() : Begin(follow);
}

// What is on its way for the ended consumers is taken, so that it is in nobody's way.
absl::Status Follower::Settle() {
  MARQUEE_RETURN_IF_ERROR(connection_.Cancel(kFollowChannel, "none"));
  while (true) {
    MARQUEE_ASSIGN_OR_RETURN(Event event, connection_.WaitOn(kFollowChannel));
    if (event.kind == Event::Kind::kNone) return absl::OkStatus();
    if (event.kind != Event::Kind::kDelivery) continue;
    MARQUEE_RETURN_IF_ERROR(connection_.Acknowledge(kFollowChannel, event.tag, true));
  }
}

namespace {

absl::StatusOr<std::vector<std::vector<StreamMessage>>> LookAtAll(
    Connection& connection, std::span<const std::string> streams, const From& from, int prefetch) {
  std::map<std::string, size_t> consumers;
  std::vector<std::vector<StreamMessage>> chunks(streams.size());
  if (streams.empty()) return chunks;
  // More than the first of them is sent where that is acknowledged.
  uint64_t unacknowledged = 0;
  for (size_t i = 0; i < streams.size(); ++i) {
    std::string consumer = connection.NewConsumer();
    consumers[consumer] = i;
    MARQUEE_RETURN_IF_ERROR(
        connection.ConsumeSoon(kFollowChannel, streams[i], consumer, from, prefetch));
  }
  auto take = [&](absl::Duration patience) -> absl::StatusOr<bool> {
    MARQUEE_ASSIGN_OR_RETURN(Event event, connection.WaitOn(kFollowChannel, patience));
    if (event.kind == Event::Kind::kChannelClosed) return event.why;
    if (event.kind == Event::Kind::kNone) return false;
    if (event.kind != Event::Kind::kDelivery) return true;
    unacknowledged = event.tag;
    if (prefetch > 1)
      MARQUEE_RETURN_IF_ERROR(connection.Acknowledge(kFollowChannel, event.tag, true));
    auto found = consumers.find(event.consumer);
    if (found == consumers.end()) return true;
    chunks[found->second].push_back({event.stream_offset, std::move(event.body)});
    return true;
  };
  auto has_all = [&] {
    return std::none_of(chunks.begin(), chunks.end(), [](const auto& c) { return c.empty(); });
  };
  for (bool more = true; more && !has_all();) {
    MARQUEE_ASSIGN_OR_RETURN(more, take(kNudgeAfter));
  }
  for (const auto& [consumer, index] : consumers) {
    MARQUEE_RETURN_IF_ERROR(connection.CancelSoon(kFollowChannel, consumer));
  }
  // Of what it has begun to send, the broker sends all there is before it answers this.
  MARQUEE_RETURN_IF_ERROR(connection.Cancel(kFollowChannel, "none"));
  for (bool more = true; more;) {
    MARQUEE_ASSIGN_OR_RETURN(more, take(absl::ZeroDuration()));
  }
  if (prefetch == 1 && unacknowledged != 0) {
    MARQUEE_RETURN_IF_ERROR(connection.Acknowledge(kFollowChannel, unacknowledged, true));
  }
  return chunks;
}

}  // namespace

absl::StatusOr<std::vector<std::vector<StreamMessage>>> LastChunks(
    Connection& connection, std::span<const std::string> streams) {
  return LookAtAll(connection, streams, {From::Place::kLast}, kPrefetch);
}

absl::StatusOr<std::vector<std::vector<StreamMessage>>> Beginnings(
    Connection& connection, std::span<const std::string> streams) {
  return LookAtAll(connection, streams, {From::Place::kFirst}, 1);
}

absl::Status FollowAll(Connection& connection, std::span<Follow> follows, absl::Duration patience) {
  if (follows.empty()) return absl::OkStatus();
  absl::Status status = Follower(connection, Follower::Keeps::kNothing).Run(follows, patience);
  // Consumers that go on must not: they end with the channel. One that cannot be closed is so
  // because the connection is broken.
  if (!status.ok()) (void)connection.CloseChannel(kFollowChannel);
  return status;
}

absl::Status FollowOne(Connection& connection, ShardCursor* cursor, absl::Duration patience,
                       const std::function<absl::StatusOr<bool>(const Taken& taken)>& take) {
  Follow follow{
      .cursor = cursor, .from = {}, .begun = {}, .take = [&](const Taken& taken) {
        absl::StatusOr<bool> more = take(taken);
        if (!more.ok()) return absl::StatusOr<Follow::Then>(more.status());
        return absl::StatusOr<Follow::Then>(*more ? Follow::Then::kMore : Follow::Then::kDone);
      }};
  return FollowAll(connection, {&follow, 1}, patience);
}

}  // namespace marquee::messaging::rabbitmq
