#include "messaging/rabbitmq/message.h"

#include <fmt/format.h>

#include <cstring>

namespace marquee::messaging::rabbitmq {
namespace {

constexpr std::string_view kMagic = "MQR1";

template <typename T>
void Append(T value, std::string* out) {
  for (size_t i = 0; i < sizeof value; ++i) out->push_back(static_cast<char>(value >> (8 * i)));
}

template <typename T>
T Read(std::string_view bytes, size_t at) {
  T value = 0;
  for (size_t i = 0; i < sizeof value; ++i) {
    value |= static_cast<T>(static_cast<uint8_t>(bytes[at + i])) << (8 * i);
  }
  return value;
}

}  // namespace

void AppendHead(const Head& head, std::string* out) {
  out->append(kMagic);
  Append(static_cast<uint32_t>(head.kind), out);
  Append(head.nonce, out);
  Append(head.sequence, out);
}

std::string MakeMessage(const Head& head, std::string_view text) {
  std::string message;
  AppendHead(head, &message);
  message.append(text);
  return message;
}

absl::StatusOr<Head> ReadHead(std::string_view message) {
  if (message.size() < kHeadBytes || !message.starts_with(kMagic)) {
    return absl::DataLossError(
        fmt::format("expected a message of ours, version 1 (it begins with {}), found {} bytes of "
                    "another kind; "
                    "somebody else has published to a stream of ours",
                    kMagic, message.size()));
  }
  auto kind = Read<uint32_t>(message, 4);
  if (kind < static_cast<uint32_t>(Kind::kPack) || kind > static_cast<uint32_t>(Kind::kEntry)) {
    return absl::DataLossError(
        fmt::format("a message of kind {}, which this version does not know", kind));
  }
  return Head{.kind = static_cast<Kind>(kind),
              .nonce = Read<uint64_t>(message, 8),
              .sequence = Read<uint64_t>(message, 16)};
}

std::string BarrierText::ToBytes() const {
  std::string bytes;
  Append(static_cast<uint64_t>(known), &bytes);
  Append(static_cast<uint64_t>(end), &bytes);
  return bytes;
}

absl::StatusOr<BarrierText> BarrierText::FromBytes(std::string_view bytes) {
  if (bytes.size() != 16) {
    return absl::DataLossError(fmt::format("a barrier holds {} bytes, expected 16", bytes.size()));
  }
  return BarrierText{.known = Read<int64_t>(bytes, 0), .end = Read<int64_t>(bytes, 8)};
}

std::string ExchangeOf(std::string_view topic, std::string_view identity) {
  return fmt::format("{}@{}", topic, identity);
}

std::string EventStreamOf(std::string_view topic, Shard shard, std::string_view identity) {
  return fmt::format("{}.{}@{}", topic, shard.value(), identity);
}

std::string StateStreamOf(std::string_view topic, Shard shard, std::string_view identity) {
  return EventStreamOf(topic, shard, identity) + ".state";
}

std::string EpochStreamOf(std::string_view topic, Shard shard, std::string_view identity,
                          uint64_t epoch) {
  return fmt::format("{}.{}", EventStreamOf(topic, shard, identity), epoch);
}

std::string SnapshotStreamOf(std::string_view topic, Shard shard, std::string_view identity,
                             uint64_t epoch) {
  return EpochStreamOf(topic, shard, identity, epoch) + ".s";
}

std::string LockOf(std::string_view topic, Shard shard, std::string_view identity) {
  return EventStreamOf(topic, shard, identity) + ".lock";
}

std::string GroupStreamOf(std::string_view group) { return fmt::format("marquee.group.{}", group); }

std::string PresenceOf(std::string_view member_id) {
  return fmt::format("marquee.member.{}", member_id);
}

}  // namespace marquee::messaging::rabbitmq
