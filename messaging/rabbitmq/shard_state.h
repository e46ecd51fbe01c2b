// Where the records of an entity topic's shard are: the newest entry of the shard's state stream.
// docs/design/0010-rabbitmq.md has the whole scheme.
//
// Errors: as Connection's; kDataLoss where the stream holds something else.
#ifndef MARQUEE_MESSAGING_RABBITMQ_SHARD_STATE_H_
#define MARQUEE_MESSAGING_RABBITMQ_SHARD_STATE_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "messaging/rabbitmq/connection.h"
#include "messaging/record.h"

namespace marquee::messaging::rabbitmq {

struct ShardState {
  uint64_t epoch = 0;  // the changes are in this epoch's stream; the snapshot is there from 1 on
  int64_t base = 0;    // the shard's offset of that stream's first message
  Offset begin;        // at or below the first record of snapshot and changes
  Offset floor;        // deletions below it were dropped
  int64_t keys = 0;    // records of the snapshot
  Offset end;          // right after the newest record before the epoch
  bool next_begun = false;  // this epoch may have ended, and the next one's stream be there

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
absl::Status WriteShardState(Connection& connection, std::string_view topic, Shard shard,
                             std::string_view identity, const ShardState& state);
// The state's own stream and all that it may speak of.
absl::Status DeleteShardStreams(Connection& connection, std::string_view topic, Shard shard,
                                std::string_view identity);

}  // namespace marquee::messaging::rabbitmq

#endif  // MARQUEE_MESSAGING_RABBITMQ_SHARD_STATE_H_
