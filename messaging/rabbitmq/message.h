// What a message of ours is, in every stream: a head of 24 bytes, then what its kind says. And what
// streams, exchanges and queues are called. Values and pure functions.
//
// Little-endian, version 1:
//   0  "MQR1"
//   4  u8   kind, then three zero bytes
//   8  u64  the publisher's nonce
//  16  u64  sequence: with the nonce it names what was published; a repeat has the same
//  24  pack: a pack of messaging/pack.h; the other kinds: text, or nothing
#ifndef MARQUEE_MESSAGING_RABBITMQ_MESSAGE_H_
#define MARQUEE_MESSAGING_RABBITMQ_MESSAGE_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "messaging/packed_log.h"
#include "messaging/record.h"

namespace marquee::messaging::rabbitmq {

enum class Kind : uint8_t {
  kPack = 1,         // records
  kAnchor = 2,       // the first message of every stream
  kBarrier = 3,      // by it its author learns how far the shard goes; what it holds: BarrierText
  kCut = 4,          // the stream ends here: what follows counts in the next epoch's stream alone
  kSnapshotEnd = 5,  // the snapshot before it is whole; its text says of how much
  kEntry = 6,        // of a log of ours (topics, group, state): text
};

inline constexpr size_t kHeadBytes = 24;
struct Head {
  Kind kind = Kind::kPack;
  uint64_t nonce = 0;
  uint64_t sequence = 0;

  friend bool operator==(const Head&, const Head&) = default;
};

// Appends the 24 bytes.
void AppendHead(const Head& head, std::string* out);
std::string MakeMessage(const Head& head, std::string_view text);

// What the author of a barrier knew when publishing it, as offsets of the stream: of all that is
// before `known` the last message that is no barrier and no anchor is right before `end`.
struct BarrierText {
  int64_t known = 0;  // negative: nothing
  int64_t end = 0;

  std::string ToBytes() const;
  static absl::StatusOr<BarrierText> FromBytes(std::string_view bytes);
};
// kDataLoss: not a message of ours, or of a later version.
absl::StatusOr<Head> ReadHead(std::string_view message);
inline std::string_view PayloadOf(std::string_view message) { return message.substr(kHeadBytes); }

// `base`: the shard's offset of the stream's first message.
inline Offset ToOffset(int64_t base, int64_t stream_offset) {
  return Offset(base + FirstOffsetOf(stream_offset).value());
}
// The stream's offset that holds `offset`. REQUIRES: offset >= base.
inline int64_t ToStreamOffset(int64_t base, Offset offset) {
  return MessageOf(Offset(offset.value() - base));
}

inline constexpr std::string_view kTopicsStream = "marquee.topics";

std::string ExchangeOf(std::string_view topic, std::string_view identity);
std::string EventStreamOf(std::string_view topic, Shard shard, std::string_view identity);
std::string StateStreamOf(std::string_view topic, Shard shard, std::string_view identity);
std::string EpochStreamOf(std::string_view topic, Shard shard, std::string_view identity,
                          uint64_t epoch);
std::string SnapshotStreamOf(std::string_view topic, Shard shard, std::string_view identity,
                             uint64_t epoch);
std::string LockOf(std::string_view topic, Shard shard, std::string_view identity);
std::string GroupStreamOf(std::string_view group);
std::string PresenceOf(std::string_view member_id);

}  // namespace marquee::messaging::rabbitmq

#endif  // MARQUEE_MESSAGING_RABBITMQ_MESSAGE_H_
