// Shards as they are now: what they hold, how far their ends are, and where in them something is.
//
// A node may be behind the one where a stream is written, so its word for a stream's end is not
// enough. Whoever has to know publishes a barrier, which goes by the stream's leader, and reads up
// to it: all that was confirmed before is before it. docs/design/0010-rabbitmq.md has the rest.
//
// Each is a few requests on the caller's connection. Errors: as Connection's.
#ifndef MARQUEE_MESSAGING_RABBITMQ_SHARD_VIEW_H_
#define MARQUEE_MESSAGING_RABBITMQ_SHARD_VIEW_H_

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "messaging/broker.h"
#include "messaging/rabbitmq/connection.h"
#include "messaging/rabbitmq/shard_cursor.h"
#include "messaging/rabbitmq/shard_state.h"
#include "messaging/rabbitmq/stream.h"
#include "messaging/rabbitmq/topics.h"

namespace marquee::messaging::rabbitmq {

struct ShardId {
  Topic topic;
  Shard shard;
};

struct ShardView {
  Extent extent;
  // Of an entity topic: where its newest changes are.
  uint64_t epoch = 0;
  int64_t base = 0;
  Offset records_end;  // right after the newest record, as far as is known
  // Of the newest message: how many records a message about has. At least 1.
  int64_t records_a_message = 1;

  // About how many records are beyond `offset`.
  int64_t RecordsBeyond(Offset offset) const;
};

// About where the records of a stream end.
struct StreamEnd {
  int64_t offset = 0;  // after the last that holds records, or where the last chunk begins
  int64_t records_a_message = 1;

  int64_t RecordsBeyond(int64_t stream_offset) const {
    // The first message of all is the anchor.
    int64_t from = std::max<int64_t>(1, stream_offset);
    return std::max<int64_t>(0, offset - from) * records_a_message;
  }
};

// Threads: any; one call at a time is carried out.
class ShardViews {
 public:
  explicit ShardViews(Clock& clock) : clock_(clock) {}

  // All that was confirmed before the call is before the ends. `now`: what is older than an event
  // topic's retention is not there any more.
  absl::StatusOr<std::vector<ShardView>> Look(Connection& connection,
                                              std::span<const ShardId> shards, absl::Time now);
  absl::StatusOr<ShardView> Look(Connection& connection, const ShardId& shard, absl::Time now);

  // Without asking: a cursor that begins at an entity topic's start, among the changes that the
  // last look has seen, or among the events that a look has seen just now. Its stream may be gone
  // by now: then Look and CursorAt say what there is.
  std::optional<ShardCursor> IfKnown(const ShardId& shard, Offset position);
  // Of an event topic: where its records end, if it was looked at just now.
  std::optional<StreamEnd> EndIfKnown(const ShardId& shard);

  // A cursor that begins there. kOutOfRange with the gap: `position` is gone or beyond the end.
  absl::StatusOr<ShardCursor> CursorAt(Connection& connection, const ShardId& shard,
                                       Offset position, const ShardView& view);

  // Of an entity topic: how far it was read, so that the next look goes on from there.
  struct Tail {
    ShardCursor cursor;
    ShardState state;  // when it was begun, or later
    Offset end;
    Offset records_end;
    int64_t records_a_message = 1;
  };

 private:
  struct Looking;
  absl::Status FindTails(Connection& connection, std::span<Looking> lookings)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status LookOnce(Connection& connection, std::span<Looking> lookings, absl::Time now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  using Key = std::pair<TopicIdentity, Shard>;
  // Of an event topic without a retention: its begin stays, and its end grows.
  struct SeenEvents {
    Extent extent;
    int64_t records_a_message = 1;
    absl::Duration at;  // uptime
  };
  const SeenEvents* JustSeen(const ShardId& shard) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Clock& clock_;
  Mutex mutex_;
  std::map<Key, Tail> tails_ ABSL_GUARDED_BY(mutex_);
  std::map<Key, SeenEvents> events_ ABSL_GUARDED_BY(mutex_);
};

// `chunk`: the stream's last.
absl::StatusOr<StreamEnd> EndOf(std::span<const StreamMessage> chunk);

// A cursor where one stood before whose stream is gone.
absl::StatusOr<ShardCursor> CursorAgain(Connection& connection, const Topic& topic, Shard shard,
                                        Offset position);

// After the last message of an event topic's shard that is no barrier and no anchor, as the node
// knows it.
absl::StatusOr<ShardView> GlanceAtEvents(Connection& connection, const ShardId& shard,
                                         absl::Time now);

// Of an event topic: an offset after a message that was published and confirmed, and at most the
// shard's end; `hint` is at or before the message. kDeadlineExceeded: it does not come.
absl::StatusOr<Offset> FindAfter(Connection& connection, const ShardId& shard, MessageId id,
                                 Offset hint, absl::Duration patience);

// The newest published time of a pack's records.
absl::StatusOr<absl::Time> NewestOf(std::string_view pack);

}  // namespace marquee::messaging::rabbitmq

#endif  // MARQUEE_MESSAGING_RABBITMQ_SHARD_VIEW_H_
