// What goes through a topic: records, and how shards, offsets and positions are named. Values only.
#ifndef MARQUEE_MESSAGING_RECORD_H_
#define MARQUEE_MESSAGING_RECORD_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "base/strong_int.h"

namespace marquee::messaging {

// One of a topic's ordered logs: 0 .. shards - 1.
using Shard = StrongInt<struct ShardTag, uint32_t>;

// A place in a shard. Opaque, strictly growing, with gaps; a record's offset never changes. 0 is at
// or before the first record of every shard.
using Offset = StrongInt<struct OffsetTag, int64_t>;

// Who a topic is: random, made when it is declared. Deleted and declared again it is another. Not
// empty.
using TopicIdentity = std::string;

struct TopicShard {
  std::string topic;
  Shard shard;

  friend auto operator<=>(const TopicShard&, const TopicShard&) = default;
  template <typename H>
  friend H AbslHashValue(H state, const TopicShard& at) {
    return H::combine(std::move(state), at.topic, at.shard);
  }
  friend std::ostream& operator<<(std::ostream& out, const TopicShard& at) {
    return out << at.topic << '/' << at.shard;
  }
};

// Shards 0 .. shards - 1 of `topic`.
std::vector<TopicShard> ShardsOf(std::string_view topic, uint32_t shards);

// A place that can be kept outside the broker: with the identity of the topic it was taken from.
struct Position {
  TopicIdentity topic_identity;
  Offset offset;  // the first that has not been read yet

  friend bool operator==(const Position&, const Position&) = default;
};

struct Header {
  std::string_view name;
  std::string_view value;  // any bytes
  friend bool operator==(const Header&, const Header&) = default;
};

// A record as it is read. Borrows its bytes from the subscription, until its next Poll.
struct Record {
  std::string_view key;
  std::optional<std::string_view> value;  // none: the key is deleted (entity topics)
  std::span<const Header> headers;
  Offset offset;
  absl::Time published;  // the publisher's wall clock, whole milliseconds
};

// A record to publish. Borrows its bytes until Publish returns.
struct NewRecord {
  std::string_view key;
  std::optional<std::string_view> value;
  std::span<const Header> headers = {};
  // For the system's own records; without it ShardOfKey decides.
  std::optional<Shard> shard = std::nullopt;
};

// The shard of a key, on every backend: (murmur2(key) & 0x7fffffff) % shards, as the Kafka Java
// client's default partitioner has it. REQUIRES: shards > 0.
Shard ShardOfKey(std::string_view key, uint32_t shards);

// Kafka's variant of MurmurHash2 (32 bits, seed 0x9747b28c).
uint32_t Murmur2(std::string_view bytes);

}  // namespace marquee::messaging

#endif  // MARQUEE_MESSAGING_RECORD_H_
