// Follows shards by the reader's rule, several at once on one connection: a look at many shards
// takes no more round trips than one.
//
// Threads: the connection's. Errors: as Connection's; kNotFound: a stream is not there (any more);
// kDeadlineExceeded: nothing came for too long.
#ifndef MARQUEE_MESSAGING_RABBITMQ_FOLLOW_H_
#define MARQUEE_MESSAGING_RABBITMQ_FOLLOW_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "messaging/rabbitmq/acks.h"
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

// The last chunks of these streams, or what each begins with, as the node has them, in one round
// trip; empty where nothing comes at once.
absl::StatusOr<std::vector<std::vector<StreamMessage>>> LastChunks(
    Connection& connection, std::span<const std::string> streams);
absl::StatusOr<std::vector<std::vector<StreamMessage>>> Beginnings(
    Connection& connection, std::span<const std::string> streams);

class Follower {
 public:
  // What is followed again and again is followed with the same consumer, since a cluster writes
  // down each that is made. It sends on between two runs, up to a few messages of each stream.
  enum class Keeps { kNothing, kConsumers };
  Follower(Connection& connection, Keeps keeps)
      : connection_(connection), keeps_(keeps), acks_(kFollowChannel, kAcksWaitingMax) {}

  // Until each is done. `patience`: for the next message of any of them. After an error no more.
  absl::Status Run(std::span<Follow> follows, absl::Duration patience);
  // Where consumers are kept: an event of kFollowChannel that somebody has waited for meanwhile.
  void Keep(Event event);

 private:
  struct Kept {
    std::string consumer;
    int64_t next = 0;  // all below was taken
    std::vector<Event> ready;
  };

  absl::Status Begin(Follow* follow);
  absl::Status End(const std::string& consumer);
  absl::Status TakeReady();
  absl::Status Renew();
  absl::Status NudgeAll();
  absl::Status Silent(absl::Duration patience);
  absl::Status TakeEvent(Event event);
  absl::Status Deliver(Event event);
  absl::Status Settle();
  bool AllTaken() const;

  static constexpr size_t kAcksWaitingMax = 16;

  Connection& connection_;
  const Keeps keeps_;
  Acks acks_;
  size_t ready_left_ = 0;                     // of those that TakeReady takes
  std::map<std::string, Follow*> following_;  // by consumer
  std::map<std::string, Kept> kept_;          // by stream
};

// With consumers of its own, which end with it.
absl::Status FollowAll(Connection& connection, std::span<Follow> follows, absl::Duration patience);

// Of one shard, until `take` returns false.
absl::Status FollowOne(Connection& connection, ShardCursor* cursor, absl::Duration patience,
                       const std::function<absl::StatusOr<bool>(const Taken& taken)>& take);

}  // namespace marquee::messaging::rabbitmq

#endif  // MARQUEE_MESSAGING_RABBITMQ_FOLLOW_H_
