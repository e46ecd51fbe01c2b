// Where the records of an entity topic's shard are: the newest entry of the shard's state stream
// that counts. docs/design/0010-rabbitmq.md has the whole scheme.
//
// Errors: as Connection's; kDataLoss where the stream holds something else.
#ifndef MARQUEE_MESSAGING_RABBITMQ_SHARD_STATE_H_
#define MARQUEE_MESSAGING_RABBITMQ_SHARD_STATE_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "messaging/rabbitmq/connection.h"
#include "messaging/rabbitmq/message.h"
#include "messaging/record.h"

namespace marquee::messaging::rabbitmq {

struct ShardState {
  uint64_t epoch = 0;  // the changes are in this epoch's stream; the snapshot is there from 1 on
  int64_t base = 0;    // the shard's offset of that stream's first message
  Offset begin;        // at or below the first record of snapshot and changes
  Offset floor;        // deletions below it were dropped
  int64_t keys = 0;    // records of the snapshot
  Offset end;          // right after the newest record before the epoch
  // What is of the next epoch's stream.
  enum class Next {
    kNone = 0,
    kOpen = 1,   // every node has it; this epoch may have ended, and what is in it counts then
    kBegun = 2,  // it may be there; nothing that is in it counts
  };
  Next next = Next::kNone;

  std::string ToText() const;
  static absl::StatusOr<ShardState> FromText(std::string_view text);
  friend bool operator==(const ShardState&, const ShardState&) = default;
};

// With its first entry: epoch 0, which holds nothing.
absl::Status MakeShardState(Connection& connection, std::string_view topic, Shard shard,
                            std::string_view identity);
absl::StatusOr<ShardState> ReadShardState(Connection& connection, std::string_view topic,
                                          Shard shard, std::string_view identity);
struct ShardOfTopic {
  std::string_view topic;
  Shard shard;
  std::string_view identity;
};
// Of many in about as many round trips as of one.
absl::StatusOr<std::vector<ShardState>> ReadShardStates(Connection& connection,
                                                        std::span<const ShardOfTopic> shards);

// Which entry counts: one whose writer had read all that counts before it. Another's author had the
// shard's lock from a node that stood still, and has lost it without knowing. A pure fold.
class ShardStateFold {
 public:
  // `from`: the stream's offset that the fold begins at. Behind 0 it is only sure of an entry whose
  // writer had read to there, and all entries since; what is before the first such is passed over.
  explicit ShardStateFold(int64_t from = 0) : from_(from) {}

  // The next entry; its head's sequence is the stream's offset that its writer had read up to, or 0
  // where it did not say. False: it does not count.
  bool Take(int64_t offset, const Head& head, const ShardState& state);
  const std::optional<ShardState>& newest() const { return newest_; }

 private:
  int64_t from_;
  std::optional<ShardState> newest_;
  int64_t newest_at_ = 0;
  int64_t unsure_at_ = -1;  // the last that was passed over
};

// Whoever changes the state, under the shard's lock. There may be another who believes that it has
// the lock; so what may be deleted, or relied upon, follows from the order of entries alone.
class ShardStateWriter {
 public:
  ShardStateWriter(Connection& connection, const ShardOfTopic& shard);
  absl::StatusOr<ShardState> Read();
  // kAborted: it does not count, since another writer's entry was there before it.
  // REQUIRES: Read has succeeded.
  absl::Status Write(const ShardState& state);

 private:
  Connection& connection_;
  std::string stream_;
  ShardStateFold fold_;
  int64_t read_to_ = 0;
};

// The state's own stream and all that it may speak of.
absl::Status DeleteShardStreams(Connection& connection, std::string_view topic, Shard shard,
                                std::string_view identity);

}  // namespace marquee::messaging::rabbitmq

#endif  // MARQUEE_MESSAGING_RABBITMQ_SHARD_STATE_H_
