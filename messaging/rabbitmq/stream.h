// Streams as logs: asking for the end, reading up to it, appending. Each call is a few requests on
// a connection of the caller's, on channels that nothing else uses there.
//
// Errors: as Connection's. Threads: the connection's.
#ifndef MARQUEE_MESSAGING_RABBITMQ_STREAM_H_
#define MARQUEE_MESSAGING_RABBITMQ_STREAM_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "messaging/rabbitmq/connection.h"

namespace marquee::messaging::rabbitmq {

// Of every connection. On the first the connection itself works.
inline constexpr Channel kPublishChannel = 2;
inline constexpr Channel kReadChannel = 3;  // long-lived consumers
inline constexpr Channel kLookChannel = 4;  // the functions below

struct StreamMessage {
  int64_t offset = 0;
  std::string body;
};

// A replica that was away learns only with the next message how far its stream was confirmed. So
// whoever waits for what must be there publishes a message that says nothing, after so long.
inline constexpr absl::Duration kNudgeAfter = absl::Milliseconds(100);
absl::Status Nudge(Connection& connection, Channel channel, const std::string& stream);

// The messages of the stream's last chunk, up to its end now; all others are before them. Empty:
// the stream is. What a confirmed publisher has stored is there.
absl::StatusOr<std::vector<StreamMessage>> ReadLastChunk(Connection& connection,
                                                         const std::string& stream);
// kUnavailable: the node shows nothing of it. kDataLoss: it begins neither with an anchor nor with
// an entry, so it is not a stream that we made. Nudges before that are passed over.
absl::StatusOr<StreamMessage> ReadLast(Connection& connection, const std::string& stream);
absl::StatusOr<StreamMessage> ReadFirst(Connection& connection, const std::string& stream);

// `messages`: the first that the node shows of the stream. Errors as those of ReadFirst.
absl::Status CheckShown(Connection& connection, const std::string& stream,
                        const std::vector<StreamMessage>& messages);

// Hands on the messages from `from` on, in order, until `take` returns false or fails. Waits for
// those that are still to come; kDeadlineExceeded where none comes for `patience`.
using TakeMessage = std::function<absl::StatusOr<bool>(StreamMessage message)>;
absl::Status ReadFrom(Connection& connection, const std::string& stream, const From& from,
                      absl::Duration patience, const TakeMessage& take);

// Why the broker closed a publishing channel, and what to do where it refused a message by its
// size. REQUIRES: kChannelClosed.
absl::Status ClosedBecause(const Event& event);

// Publishes by the default exchange and waits for the confirms of all. kNotFound: no such stream.
// `plain`: packs of one go out as plain messages, where they can.
absl::Status Append(Connection& connection, const std::string& stream,
                    const std::vector<std::string>& messages, absl::Duration patience,
                    bool plain = false);

// Makes the stream where it is not there, with its anchor; or adds the anchor where its maker died
// before writing it.
absl::Status MakeStream(Connection& connection, const std::string& stream,
                        const StreamLimits& limits, absl::Duration patience);

}  // namespace marquee::messaging::rabbitmq

#endif  // MARQUEE_MESSAGING_RABBITMQ_STREAM_H_
