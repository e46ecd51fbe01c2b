#include "messaging/rabbitmq/shard_cursor.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/status.h"
#include "messaging/pack.h"

namespace marquee::messaging::rabbitmq {
namespace {

void Append64(uint64_t value, std::string* out) {
  for (int i = 0; i < 8; ++i) out->push_back(static_cast<char>(value >> (8 * i)));
}

uint64_t Read64(std::string_view bytes, size_t at) {
  uint64_t value = 0;
  for (size_t i = 0; i < 8; ++i) {
    value |= static_cast<uint64_t>(static_cast<uint8_t>(bytes[at + i])) << (8 * i);
  }
  return value;
}

}  // namespace

std::string SnapshotEnd::ToBytes() const {
  std::string bytes;
  bytes.reserve(16 + 16 * covered.size());
  Append64(records, &bytes);
  Append64(digest, &bytes);
  for (const auto& [nonce, sequence] : covered) {
    Append64(nonce, &bytes);
    Append64(sequence, &bytes);
  }
  return bytes;
}

absl::StatusOr<SnapshotEnd> SnapshotEnd::FromBytes(std::string_view bytes) {
  if (bytes.size() < 16 || bytes.size() % 16 != 0) {
    return absl::DataLossError(
        fmt::format("the end of a snapshot has {} bytes, which it cannot have", bytes.size()));
  }
  SnapshotEnd end{.records = Read64(bytes, 0), .digest = Read64(bytes, 8), .covered = {}};
  for (size_t at = 16; at < bytes.size(); at += 16) {
    end.covered.emplace(Read64(bytes, at), Read64(bytes, at + 8));
  }
  return end;
}

uint64_t SnapshotDigest(uint64_t before, std::string_view pack) {
  // The order counts.
  return before * 0x9e3779b97f4a7c15 + PackChecksum(pack);
}

ShardCursor ShardCursor::OfEvents(const Topic& topic, Shard shard, Offset position) {
  ShardCursor cursor(topic, shard);
  cursor.stream_ = EventStreamOf(topic.spec.name, shard, topic.identity);
  cursor.position_ = cursor.wanted_ = position;
  cursor.next_ = ToStreamOffset(0, position);
  return cursor;
}

ShardCursor ShardCursor::OfEntities(const Topic& topic, Shard shard, const ShardState& state,
                                    Offset position) {
  ShardCursor cursor(topic, shard);
  cursor.is_entity_ = true;
  cursor.position_ = cursor.wanted_ = position;
  cursor.MoveToEpoch(state.epoch, state.base);
  cursor.in_snapshot_ = state.epoch > 0 && position.value() < state.base;
  if (cursor.in_snapshot_) {
    cursor.stream_ = SnapshotStreamOf(topic.spec.name, shard, topic.identity, state.epoch);
  } else {
    cursor.next_ = std::max<int64_t>(0, ToStreamOffset(state.base, position));
  }
  return cursor;
}

void ShardCursor::MoveToEpoch(uint64_t epoch, int64_t base) {
  epoch_ = epoch;
  base_ = base;
  stream_ = EpochStreamOf(topic_.spec.name, shard_, topic_.identity, epoch);
  next_ = 0;
}

absl::StatusOr<ShardCursor::Step> ShardCursor::Take(int64_t stream_offset, const Head& head,
                                                    std::string_view body) {
  MARQUEE_CHECK(stream_offset >= next_);
  next_ = stream_offset + 1;
  return in_snapshot_ ? TakeSnapshot(head, body) : TakeChange(stream_offset, head);
}

absl::StatusOr<ShardCursor::Step> ShardCursor::TakeSnapshot(const Head& head,
                                                            std::string_view body) {
  if (head.kind == Kind::kPack) {
    pack_first_ = Offset(static_cast<int64_t>(head.sequence));
    return Step::kPack;
  }
  if (head.kind != Kind::kSnapshotEnd) return Step::kNothing;
  MARQUEE_ASSIGN_OR_RETURN(SnapshotEnd end, SnapshotEnd::FromBytes(PayloadOf(body)));
  covered_ = std::move(end.covered);
  in_snapshot_ = false;
  MoveToEpoch(epoch_, base_);
  position_ = std::max(position_, Offset(base_));
  return Step::kMoved;
}

absl::StatusOr<ShardCursor::Step> ShardCursor::TakeChange(int64_t stream_offset, const Head& head) {
  // A question where the shard ends does not move it, and an event topic's shard begins at 0.
  if (head.kind == Kind::kBarrier) return Step::kNothing;
  if (head.kind == Kind::kAnchor && !is_entity_) return Step::kNothing;
  position_ = std::max(position_, ToOffset(base_, stream_offset + 1));
  MessageId id{head.nonce, head.sequence};
  switch (head.kind) {
    case Kind::kPack:
      if (IsRepeated(id) || covered_.contains(id)) return Step::kNothing;
      pack_first_ = ToOffset(base_, stream_offset);
      return Step::kPack;
    case Kind::kCut:
      if (!is_entity_) return Step::kNothing;
      covered_ = recent_;
      MoveToEpoch(epoch_ + 1, ToOffset(base_, stream_offset + 1).value() + kEpochGap);
      position_ = std::max(position_, Offset(base_));
      return Step::kMoved;
    default:
      return Step::kNothing;
  }
}

bool ShardCursor::IsRepeated(const MessageId& id) {
  // One without a name cannot be told from others (plain.h).
  if (id.first == 0) return false;
  if (!recent_.insert(id).second) return true;
  recent_in_order_.push_back(id);
  if (recent_in_order_.size() > kRecentMax) {
    recent_.erase(recent_in_order_.front());
    recent_in_order_.pop_front();
  }
  return false;
}

void ShardCursor::TakeBack(int64_t stream_offset, const Head& head, Offset position) {
  next_ = stream_offset;
  position_ = position;
  MessageId id{head.nonce, head.sequence};
  if (recent_in_order_.empty() || recent_in_order_.back() != id) return;
  recent_.erase(id);
  recent_in_order_.pop_back();
}

void ShardCursor::SkipTo(Offset position) {
  position_ = wanted_ = position;
  if (position.value() >= base_) next_ = std::max(next_, ToStreamOffset(base_, position));
}

void ShardCursor::Delivered(Offset last) {
  if (in_snapshot_) position_ = std::max(position_, last.next());
}

}  // namespace marquee::messaging::rabbitmq
