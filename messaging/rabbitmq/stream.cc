#include "messaging/rabbitmq/stream.h"

#include <fmt/format.h>

#include <optional>
#include <set>
#include <utility>

#include "base/clock.h"
#include "base/random.h"
#include "base/status.h"
#include "messaging/pack.h"
#include "messaging/rabbitmq/acks.h"
#include "messaging/rabbitmq/message.h"
#include "messaging/rabbitmq/plain.h"

namespace marquee::messaging::rabbitmq {
namespace {

constexpr int kLookPrefetch = 65'535;  // a chunk has no more messages
constexpr int kReadPrefetch = 256;
constexpr size_t kAppendWindow = 64;
// More than a stream takes to commit what was written, a change of leader included.
constexpr absl::Duration kCommitMax = absl::Seconds(5);

// Closes the channel at the end: what is on its way is dropped, what is not acknowledged is
// nobody's.
class ChannelCloser {
 public:
  explicit ChannelCloser(Connection& connection) : connection_(connection) {}
  ~ChannelCloser() {
    // One that cannot be closed is so because the connection is broken.
    (void)connection_.CloseChannel(kLookChannel);
  }

 private:
  Connection& connection_;
};

// What a consumer there is sent, from when the first message comes. Empty where none comes for
// `patience`.
absl::StatusOr<std::vector<StreamMessage>> LookOnce(Connection& connection,
                                                    const std::string& stream, const From& from,
                                                    int prefetch, absl::Duration patience) {
  std::string consumer = connection.NewConsumer();
  MARQUEE_RETURN_IF_ERROR(connection.ConsumeSoon(kLookChannel, stream, consumer, from, prefetch));
  std::vector<StreamMessage> messages;
  uint64_t last_tag = 0;
  auto take = [&](Event event) {
    if (event.kind != Event::Kind::kDelivery || event.consumer != consumer) return;
    last_tag = event.tag;
    messages.push_back({event.stream_offset, std::move(event.body)});
  };
  while (patience > absl::ZeroDuration() && messages.empty()) {
    MARQUEE_ASSIGN_OR_RETURN(Event event, connection.WaitOn(kLookChannel, patience));
    if (event.kind == Event::Kind::kNone) break;
    if (event.kind == Event::Kind::kChannelClosed) return event.why;
    take(std::move(event));
  }
  // Of what it has begun to send, the broker sends all there is before it answers the next request.
  MARQUEE_RETURN_IF_ERROR(connection.Cancel(kLookChannel, consumer));
  while (true) {
    MARQUEE_ASSIGN_OR_RETURN(Event event, connection.WaitOn(kLookChannel));
    if (event.kind == Event::Kind::kNone) break;
    take(std::move(event));
  }
  if (last_tag != 0) {
    MARQUEE_RETURN_IF_ERROR(connection.Acknowledge(kLookChannel, last_tag, /*multiple=*/true));
  }
  return messages;
}

// While the last chunk is not committed yet, nothing comes at once, but soon.
absl::StatusOr<std::vector<StreamMessage>> Look(Connection& connection, const std::string& stream,
                                                const From& from, int prefetch) {
  MARQUEE_ASSIGN_OR_RETURN(std::vector<StreamMessage> messages,
                           LookOnce(connection, stream, from, prefetch, kNudgeAfter));
  if (!messages.empty()) return messages;
  MARQUEE_RETURN_IF_ERROR(Nudge(connection, kLookChannel, stream));
  return LookOnce(connection, stream, from, prefetch, kCommitMax);
}

absl::StatusOr<Kind> KindOf(const StreamMessage& message) {
  MARQUEE_ASSIGN_OR_RETURN(Head head, ReadHead(message.body));
  return head.kind;
}

// The first message, but for barriers: who found a stream that was only just declared may have
// nudged it before its anchor came. None where nothing comes for `patience`, or nudges alone.
absl::StatusOr<std::optional<StreamMessage>> FirstButNudges(Connection& connection,
                                                            const std::string& stream,
                                                            absl::Duration patience) {
  std::optional<StreamMessage> first;
  SystemClock clock;
  absl::Duration until = clock.Uptime() + patience;
  absl::Status read = ReadFrom(connection, stream, {From::Place::kFirst}, patience,
                               [&](StreamMessage message) -> absl::StatusOr<bool> {
                                 MARQUEE_ASSIGN_OR_RETURN(Kind kind, KindOf(message));
                                 if (kind == Kind::kBarrier) return clock.Uptime() < until;
                                 first = std::move(message);
                                 return false;
                               });
  if (!read.ok() && !absl::IsDeadlineExceeded(read)) return read;
  return first;
}

absl::Status PublishTo(Connection& connection, const std::string& stream,
                       const std::string& message, bool plain) {
  MARQUEE_ASSIGN_OR_RETURN(Head head, ReadHead(message));
  if (plain && head.kind == Kind::kPack) {
    PackDecoder decoder;
    MARQUEE_RETURN_IF_ERROR(decoder.Add(PayloadOf(message), Offset(0)));
    const Record& record = decoder.records()[0];
    std::optional<PlainProperties> properties = ToPlain(head, record);
    if (decoder.records().size() == 1 && properties.has_value()) {
      return connection.Publish(kLookChannel, "", stream, record.value.value_or(""), &*properties);
    }
  }
  return connection.Publish(kLookChannel, "", stream, message);
}

}  // namespace

absl::Status Nudge(Connection& connection, Channel channel, const std::string& stream) {
  BarrierText text{.known = -1, .end = -1};
  return connection.Send(channel, stream, MakeMessage({.kind = Kind::kBarrier}, text.ToBytes()));
}

absl::StatusOr<std::vector<StreamMessage>> ReadLastChunk(Connection& connection,
                                                         const std::string& stream) {
  return Look(connection, stream, {From::Place::kLast}, kLookPrefetch);
}

// A node that shows none may be behind: another one knows more.
absl::Status CheckShown(Connection& connection, const std::string& stream,
                        const std::vector<StreamMessage>& messages) {
  if (messages.empty()) {
    return absl::UnavailableError(
        fmt::format("the node shows nothing of the stream {}, which is not empty", stream));
  }
  if (messages.front().offset > 0) return absl::OkStatus();
  MARQUEE_ASSIGN_OR_RETURN(Kind kind, KindOf(messages.front()));
  if (kind == Kind::kBarrier) {
    MARQUEE_ASSIGN_OR_RETURN(std::optional<StreamMessage> first,
                             FirstButNudges(connection, stream, kCommitMax));
    if (first.has_value()) {
      MARQUEE_ASSIGN_OR_RETURN(kind, KindOf(*first));
    }
  }
  if (kind == Kind::kAnchor || kind == Kind::kEntry) return absl::OkStatus();
  return absl::DataLossError(fmt::format(
      "the stream {} does not begin as each stream of ours: it was deleted and declared again by "
      "somebody else; restore it, or delete the topic and declare it anew",
      stream));
}

absl::StatusOr<StreamMessage> ReadLast(Connection& connection, const std::string& stream) {
  MARQUEE_ASSIGN_OR_RETURN(std::vector<StreamMessage> chunk, ReadLastChunk(connection, stream));
  MARQUEE_RETURN_IF_ERROR(CheckShown(connection, stream, chunk));
  return std::move(chunk.back());
}

absl::StatusOr<StreamMessage> ReadFirst(Connection& connection, const std::string& stream) {
  MARQUEE_ASSIGN_OR_RETURN(std::vector<StreamMessage> messages,
                           Look(connection, stream, {From::Place::kFirst}, 1));
  MARQUEE_RETURN_IF_ERROR(CheckShown(connection, stream, messages));
  MARQUEE_ASSIGN_OR_RETURN(Kind kind, KindOf(messages.front()));
  if (messages.front().offset > 0 || kind != Kind::kBarrier) return std::move(messages.front());
  MARQUEE_ASSIGN_OR_RETURN(std::optional<StreamMessage> first,
                           FirstButNudges(connection, stream, kCommitMax));
  return first.has_value() ? *std::move(first) : std::move(messages.front());
}

absl::Status ReadFrom(Connection& connection, const std::string& stream, const From& from,
                      absl::Duration patience, const TakeMessage& take) {
  std::string consumer = connection.NewConsumer();
  MARQUEE_RETURN_IF_ERROR(connection.Consume(kLookChannel, stream, consumer, from, kReadPrefetch));
  ChannelCloser closer(connection);
  Acks acks(kLookChannel, kReadPrefetch / 4);
  while (true) {
    MARQUEE_ASSIGN_OR_RETURN(Event event, connection.WaitOn(kLookChannel, patience));
    switch (event.kind) {
      case Event::Kind::kNone:
        return absl::DeadlineExceededError(
            fmt::format("waited {} for the next message of the stream {}",
                        absl::FormatDuration(patience), stream));
      case Event::Kind::kDelivery: {
        if (event.consumer != consumer) break;
        acks.Taken(event.tag);
        MARQUEE_RETURN_IF_ERROR(acks.SendIfDue(connection, /*all_taken=*/true));
        MARQUEE_ASSIGN_OR_RETURN(bool more, take({event.stream_offset, std::move(event.body)}));
        if (!more) return absl::OkStatus();
        break;
      }
      case Event::Kind::kCancelled:
        if (event.consumer != consumer) break;
        return absl::NotFoundError(fmt::format("the stream {} was deleted", stream));
      case Event::Kind::kChannelClosed:
        return absl::UnavailableError(event.text);
      default:
        break;
    }
  }
}

absl::Status ClosedBecause(const Event& event) {
  if (event.text.find("larger than configured max size") == std::string::npos) return event.why;
  return absl::FailedPreconditionError(
      fmt::format("{}; raise max_message_size in the broker's configuration, or lower the setting "
                  "amqp.pack_bytes",
                  std::string(event.why.message())));
}

absl::Status Append(Connection& connection, const std::string& stream,
                    const std::vector<std::string>& messages, absl::Duration patience, bool plain) {
  // A channel of its own each time: confirms are counted from 1.
  MARQUEE_RETURN_IF_ERROR(connection.SelectConfirms(kLookChannel));
  ChannelCloser closer(connection);
  size_t sent = 0;
  std::set<uint64_t> unconfirmed;
  bool returned = false;
  while (sent < messages.size() || !unconfirmed.empty()) {
    if (sent < messages.size() && unconfirmed.size() < kAppendWindow) {
      MARQUEE_RETURN_IF_ERROR(PublishTo(connection, stream, messages[sent], plain));
      unconfirmed.insert(++sent);
      continue;
    }
    MARQUEE_ASSIGN_OR_RETURN(Event event, connection.WaitOn(kLookChannel, patience));
    switch (event.kind) {
      case Event::Kind::kNone:
        // A confirm that comes too late must not be taken for another's.
        connection.Interrupt();
        return absl::UnavailableError(fmt::format(
            "waited {} for the broker to confirm what was published to the stream {}{}",
            absl::FormatDuration(patience), stream,
            connection.blocked().empty() ? "" : "; it is blocked: " + connection.blocked()));
      case Event::Kind::kConfirmed:
        if (event.multiple) {
          unconfirmed.erase(unconfirmed.begin(), unconfirmed.upper_bound(event.tag));
        } else {
          unconfirmed.erase(event.tag);
        }
        break;
      case Event::Kind::kReturned:
        returned = true;
        break;
      case Event::Kind::kRefused:
        connection.Interrupt();
        return absl::UnavailableError(
            fmt::format("the broker has not stored what was published to the stream {}", stream));
      case Event::Kind::kChannelClosed:
        return ClosedBecause(event);
      default:
        break;
    }
  }
  if (returned) return absl::NotFoundError(fmt::format("there is no stream {}", stream));
  return absl::OkStatus();
}

absl::Status MakeStream(Connection& connection, const std::string& stream,
                        const StreamLimits& limits, absl::Duration patience) {
  // Not declared where it may be there: while a cluster restarts, RabbitMQ (3.10.8) has been seen
  // to put a new, empty stream in the place of one that it had not recovered yet. Asked whether it
  // is there, it says then that it cannot tell.
  absl::Status there = connection.CheckQueue(stream);
  if (absl::IsNotFound(there)) {
    MARQUEE_RETURN_IF_ERROR(connection.DeclareStream(stream, limits));
  } else {
    MARQUEE_RETURN_IF_ERROR(there);
    MARQUEE_ASSIGN_OR_RETURN(std::vector<StreamMessage> first,
                             LookOnce(connection, stream, {From::Place::kFirst}, 1, kNudgeAfter));
    if (!first.empty()) {
      MARQUEE_ASSIGN_OR_RETURN(std::optional<StreamMessage> made,
                               FirstButNudges(connection, stream, kNudgeAfter));
      if (made.has_value()) return absl::OkStatus();
    }
  }
  // By its nonce it is told from another stream of that name. Two who make it at once leave two
  // anchors, which does no harm.
  Head anchor{.kind = Kind::kAnchor, .nonce = Random::FromSystem().Next()};
  return Append(connection, stream, {MakeMessage(anchor, stream)}, patience);
}

}  // namespace marquee::messaging::rabbitmq
