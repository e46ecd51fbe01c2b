// Follows shards by the reader's rule, several at once on one connection: a look at many shards
// takes no more round trips than one.
//
// Threads: the connection's. Errors: as Connection's; kNotFound: a stream is not there (any more);
// kDeadlineExceeded: nothing came for too long.
#ifndef MARQUEE_MESSAGING_RABBITMQ_FOLLOW_H_
#define MARQUEE_MESSAGING_RABBITMQ_FOLLOW_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "messaging/rabbitmq/connection.h"
#include "messaging/rabbitmq/message.h"
#include "messaging/rabbitmq/shard_cursor.h"
#include "messaging/rabbitmq/stream.h"

namespace marquee::messaging::rabbitmq {

inline constexpr Channel kFollowChannel = 5;  // of every connection; nothing else uses it

struct Taken {
  const Head& head;
  int64_t stream_offset;
  std::string_view body;
  ShardCursor::Step step;
};

// One shard that is followed.
struct Follow {
  enum class Then {
    kMore,
    kDone,
    kAgain,  // the cursor was set anew: go on where it is
  };
  ShardCursor* cursor;
  // Where in the cursor's stream to begin, if not where the cursor is.
  std::optional<From> from;
  // After it has begun to read a stream: the first, and those that the shard moves on to. Or none.
  std::function<absl::Status()> begun;
  // Of each message, which the cursor has taken.
  std::function<absl::StatusOr<Then>(const Taken& taken)> take;
};

// The last chunks of these streams, as the node has them, in one round trip; empty where nothing
// comes at once.
absl::StatusOr<std::vector<std::vector<StreamMessage>>> LastChunks(
    Connection& connection, std::span<const std::string> streams);

// Until each is done. `patience`: for the next message of any of them.
absl::Status FollowAll(Connection& connection, std::span<Follow> follows, absl::Duration patience);

// Of one shard, until `take` returns false.
absl::Status FollowOne(Connection& connection, ShardCursor* cursor, absl::Duration patience,
                       const std::function<absl::StatusOr<bool>(const Taken& taken)>& take);

}  // namespace marquee::messaging::rabbitmq

#endif  // MARQUEE_MESSAGING_RABBITMQ_FOLLOW_H_
