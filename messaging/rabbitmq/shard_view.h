// A shard as it is now: what it holds, how far its end is, and where in it something is.
//
// Each is a few requests on the caller's connection. Errors: as Connection's.
#ifndef MARQUEE_MESSAGING_RABBITMQ_SHARD_VIEW_H_
#define MARQUEE_MESSAGING_RABBITMQ_SHARD_VIEW_H_

#include <functional>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "messaging/broker.h"
#include "messaging/rabbitmq/connection.h"
#include "messaging/rabbitmq/shard_cursor.h"
#include "messaging/rabbitmq/shard_state.h"
#include "messaging/rabbitmq/topics.h"

namespace marquee::messaging::rabbitmq {

struct ShardView {
  Extent extent;
  // Of an entity topic.
  ShardState state;
  // Of the newest message: how many records a message about has. At least 1.
  int64_t records_a_message = 1;

  // About how many records are beyond `offset`.
  int64_t RecordsBeyond(Offset offset) const;
};

// `now`: what is older than an event topic's retention is not there any more.
absl::StatusOr<ShardView> ViewShard(Connection& connection, const Topic& topic, Shard shard,
                                    absl::Time now);

// A cursor that begins there. kOutOfRange with the gap: `position` is gone or beyond the end.
absl::StatusOr<ShardCursor> CursorAt(Connection& connection, const Topic& topic, Shard shard,
                                     Offset position, absl::Time now);
// The same of a position of which that was made sure of before.
absl::StatusOr<ShardCursor> CursorAgain(Connection& connection, const Topic& topic, Shard shard,
                                        Offset position);

// Hands what the cursor delivers to `take`, until that returns false; or until `cursor` leaves
// `epoch`, where that is given. kDeadlineExceeded as ReadFrom.
struct Taken {
  const Head& head;
  int64_t stream_offset;
  std::string_view body;
  ShardCursor::Step step;
};
absl::Status ReadAlong(Connection& connection, ShardCursor* cursor, absl::Duration patience,
                       const std::function<absl::StatusOr<bool>(const Taken& taken)>& take);

// An offset after a message that was published and confirmed, and at most the shard's end; `hint`
// is at or before the message. kDeadlineExceeded: it does not come. `state`: of an entity topic, as
// it was found on the way.
absl::StatusOr<Offset> FindAfter(Connection& connection, const Topic& topic, Shard shard,
                                 MessageId id, Offset hint, absl::Duration patience,
                                 ShardState* state);

// The newest published time of a pack's records.
absl::StatusOr<absl::Time> NewestOf(std::string_view pack);

}  // namespace marquee::messaging::rabbitmq

#endif  // MARQUEE_MESSAGING_RABBITMQ_SHARD_VIEW_H_
