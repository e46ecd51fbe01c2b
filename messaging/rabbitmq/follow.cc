#include "messaging/rabbitmq/follow.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "base/status.h"
#include "messaging/rabbitmq/stream.h"

namespace marquee::messaging::rabbitmq {
namespace {

constexpr int kPrefetch = 256;  // of each consumer

class Following {
 public:
  Following(Connection& connection, std::span<Follow> follows)
      : connection_(connection), follows_(follows) {}

  absl::Status Run(absl::Duration patience) {
    for (Follow& follow : follows_) MARQUEE_RETURN_IF_ERROR(Begin(&follow));
    absl::Duration silent;
    while (!consumers_.empty()) {
      MARQUEE_ASSIGN_OR_RETURN(Event event, connection_.WaitOn(kFollowChannel, kNudgeAfter));
      silent = event.kind == Event::Kind::kNone ? silent + kNudgeAfter : absl::ZeroDuration();
      if (event.kind == Event::Kind::kNone && silent < patience) {
        if (silent == kNudgeAfter) MARQUEE_RETURN_IF_ERROR(NudgeAll());
        continue;
      }
      MARQUEE_RETURN_IF_ERROR(TakeEvent(event, patience));
    }
    return Settle();
  }

 private:
  absl::Status Begin(Follow* follow) {
    std::string consumer = connection_.NewConsumer();
    From from{From::Place::kOffset, follow->cursor->stream_offset()};
    if (follow->from.has_value()) from = *std::exchange(follow->from, std::nullopt);
    MARQUEE_RETURN_IF_ERROR(connection_.ConsumeSoon(kFollowChannel, follow->cursor->stream(),
                                                    consumer, from, kPrefetch));
    consumers_[consumer] = follow;
    return follow->begun ? follow->begun() : absl::OkStatus();
  }

  absl::Status NudgeAll() {
    for (const auto& [consumer, follow] : consumers_) {
      MARQUEE_RETURN_IF_ERROR(Nudge(connection_, kFollowChannel, follow->cursor->stream()));
    }
    return absl::OkStatus();
  }

  absl::Status End(const std::string& consumer) {
    consumers_.erase(consumer);
    return connection_.CancelSoon(kFollowChannel, consumer);
  }

  absl::Status TakeEvent(const Event& event, absl::Duration patience) {
    switch (event.kind) {
      case Event::Kind::kNone:
        if (!connection_.blocked().empty()) {
          return absl::UnavailableError("it reads nothing from publishers: " +
                                        connection_.blocked());
        }
        return absl::DeadlineExceededError(
            fmt::format("waited {} for the next message of {} streams, {} among them",
                        absl::FormatDuration(patience), consumers_.size(),
                        consumers_.begin()->second->cursor->stream()));
      case Event::Kind::kDelivery:
        // Those of ended consumers too.
        MARQUEE_RETURN_IF_ERROR(
            connection_.Acknowledge(kFollowChannel, event.tag, /*multiple=*/true));
        return Deliver(event);
      case Event::Kind::kReturned:
        return absl::NotFoundError("a stream is gone: " + event.text);
      case Event::Kind::kCancelled:
        if (!consumers_.contains(event.consumer)) return absl::OkStatus();
        return absl::NotFoundError(
            fmt::format("the stream {} was deleted", consumers_[event.consumer]->cursor->stream()));
      case Event::Kind::kChannelClosed:
        return event.why;
      default:
        return absl::OkStatus();
    }
  }

  absl::Status Deliver(const Event& event) {
    auto found = consumers_.find(event.consumer);
    if (found == consumers_.end()) return absl::OkStatus();
    Follow* follow = found->second;
    ShardCursor* cursor = follow->cursor;
    if (event.stream_offset < cursor->stream_offset()) return absl::OkStatus();
    MARQUEE_ASSIGN_OR_RETURN(Head head, ReadHead(event.body));
    MARQUEE_ASSIGN_OR_RETURN(ShardCursor::Step step,
                             cursor->Take(event.stream_offset, head, event.body));
    MARQUEE_ASSIGN_OR_RETURN(Follow::Then then,
                             follow->take({head, event.stream_offset, event.body, step}));
    bool goes_elsewhere = step == ShardCursor::Step::kMoved || then == Follow::Then::kAgain;
    if (then == Follow::Then::kMore && !goes_elsewhere) return absl::OkStatus();
    MARQUEE_RETURN_IF_ERROR(End(event.consumer));
    return then == Follow::Then::kDone ? absl::OkStatus() : Begin(follow);
  }

  // What is on its way for the ended consumers is taken, so that it is in nobody's way.
  absl::Status Settle() {
    MARQUEE_RETURN_IF_ERROR(connection_.Cancel(kFollowChannel, "none"));
    while (true) {
      MARQUEE_ASSIGN_OR_RETURN(Event event, connection_.WaitOn(kFollowChannel));
      if (event.kind == Event::Kind::kNone) return absl::OkStatus();
      if (event.kind != Event::Kind::kDelivery) continue;
      MARQUEE_RETURN_IF_ERROR(connection_.Acknowledge(kFollowChannel, event.tag, true));
    }
  }

  Connection& connection_;
  std::span<Follow> follows_;
  std::map<std::string, Follow*> consumers_;
};

}  // namespace

absl::StatusOr<std::vector<std::vector<StreamMessage>>> LastChunks(
    Connection& connection, std::span<const std::string> streams) {
  std::map<std::string, size_t> consumers;
  std::vector<std::vector<StreamMessage>> chunks(streams.size());
  for (size_t i = 0; i < streams.size(); ++i) {
    std::string consumer = connection.NewConsumer();
    consumers[consumer] = i;
    MARQUEE_RETURN_IF_ERROR(connection.ConsumeSoon(kFollowChannel, streams[i], consumer,
                                                   {From::Place::kLast}, kPrefetch));
  }
  auto take = [&](absl::Duration patience) -> absl::StatusOr<bool> {
    MARQUEE_ASSIGN_OR_RETURN(Event event, connection.WaitOn(kFollowChannel, patience));
    if (event.kind == Event::Kind::kChannelClosed) return event.why;
    if (event.kind == Event::Kind::kNone) return false;
    if (event.kind != Event::Kind::kDelivery) return true;
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
  return chunks;
}

absl::Status FollowAll(Connection& connection, std::span<Follow> follows, absl::Duration patience) {
  if (follows.empty()) return absl::OkStatus();
  absl::Status status = Following(connection, follows).Run(patience);
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
