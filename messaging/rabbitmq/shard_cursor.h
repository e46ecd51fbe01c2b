// The reader's rule: which stream of a shard to read, from where, and what of each message is to be
// delivered. Knows no connection: whoever has one hands it the messages.
//
// An event topic's shard is one stream. An entity topic's is the snapshot (from the position on),
// then the changes of each epoch up to the first cut, without what the former epoch had already.
//
// Threads: one. Errors: kDataLoss, what a stream holds is not what should be there.
#ifndef MARQUEE_MESSAGING_RABBITMQ_SHARD_CURSOR_H_
#define MARQUEE_MESSAGING_RABBITMQ_SHARD_CURSOR_H_

#include <cstdint>
#include <deque>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "messaging/rabbitmq/message.h"
#include "messaging/rabbitmq/shard_state.h"
#include "messaging/rabbitmq/topics.h"
#include "messaging/record.h"

namespace marquee::messaging::rabbitmq {

// An epoch's offsets begin so far beyond those of the former one, that a position in the one is not
// taken for one in the other by somebody who knows an old state.
inline constexpr int64_t kEpochGap = int64_t{1} << 36;

// A message that comes again within so many others is not delivered again.
inline constexpr size_t kRecentMax = 8192;

// What names a message, whichever streams it is in: its publisher's nonce, and the sequence.
using MessageId = std::pair<uint64_t, uint64_t>;

// The end of a snapshot says how much is before it, and which messages it covers that may have been
// sent again to the epoch's stream.
struct SnapshotEnd {
  uint64_t records = 0;
  uint64_t digest = 0;  // of the snapshot's packs, as SnapshotDigest adds them up
  std::set<MessageId> covered;

  std::string ToBytes() const;
  static absl::StatusOr<SnapshotEnd> FromBytes(std::string_view bytes);
  friend bool operator==(const SnapshotEnd&, const SnapshotEnd&) = default;
};
uint64_t SnapshotDigest(uint64_t before, std::string_view pack);

class ShardCursor {
 public:
  static ShardCursor OfEvents(const Topic& topic, Shard shard, Offset position);
  static ShardCursor OfEntities(const Topic& topic, Shard shard, const ShardState& state,
                                Offset position);

  // Goes on at `position`. REQUIRES: it is in the epoch that the cursor has come to, or before.
  void SkipTo(Offset position);

  // Read this stream, from this of its offsets on.
  const std::string& stream() const { return stream_; }
  int64_t stream_offset() const { return next_; }
  // All that is below it was delivered.
  Offset position() const { return position_; }
  // Of records that will come: so that of a pack those below are left out.
  Offset wanted() const { return wanted_; }
  bool in_snapshot() const { return in_snapshot_; }
  uint64_t epoch() const { return epoch_; }
  int64_t base() const { return base_; }
  // Delivered already by the snapshot or the former epoch, though they may be in this one too.
  const std::set<MessageId>& covered() const { return covered_; }

  enum class Step {
    kNothing,  // nothing to deliver
    kPack,     // the message holds records: the first has offset pack_first()
    kMoved,    // stream() is another now
  };
  // REQUIRES: a message of stream(), at stream_offset() or beyond.
  absl::StatusOr<Step> Take(int64_t stream_offset, const Head& head, std::string_view body);
  Offset pack_first() const { return pack_first_; }
  // After a pack of a snapshot: its last record's offset.
  void Delivered(Offset last);
  // Undoes the Take of a message of an event topic.
  void TakeBack(int64_t stream_offset, const Head& head, Offset position);

 private:
  ShardCursor(const Topic& topic, Shard shard) : topic_(topic), shard_(shard) {}
  absl::StatusOr<Step> TakeSnapshot(const Head& head, std::string_view body);
  absl::StatusOr<Step> TakeChange(int64_t stream_offset, const Head& head);
  void MoveToEpoch(uint64_t epoch, int64_t base);
  bool IsRepeated(const MessageId& id);

  Topic topic_;
  Shard shard_;
  std::string stream_;
  int64_t next_ = 0;
  Offset position_;
  Offset wanted_;
  Offset pack_first_;
  int64_t base_ = 0;
  uint64_t epoch_ = 0;
  bool is_entity_ = false;
  bool in_snapshot_ = false;
  std::set<MessageId> covered_;  // delivered already, by the snapshot or the former epoch
  // The last messages: a publisher that lost its connection sends again what was not confirmed.
  std::set<MessageId> recent_;
  std::deque<MessageId> recent_in_order_;
};

}  // namespace marquee::messaging::rabbitmq

#endif  // MARQUEE_MESSAGING_RABBITMQ_SHARD_CURSOR_H_
