// Kafka's own offsets, and the seam's for them. An event topic's messages may each hold a pack, so
// an offset there has an index in its low bits (messaging/packed_log.h), whether or not a pack is
// in the topic; an entity topic's is Kafka's own. docs/design/0011 says why. Pure.
#ifndef MARQUEE_MESSAGING_KAFKA_KAFKA_OFFSET_H_
#define MARQUEE_MESSAGING_KAFKA_KAFKA_OFFSET_H_

#include <cstdint>

#include "base/strong_int.h"
#include "messaging/broker.h"
#include "messaging/packed_log.h"

namespace marquee::messaging::kafka {

// Of a message, as Kafka and its tools have it.
using KafkaOffset = StrongInt<struct KafkaOffsetTag, int64_t>;

// Of the message's first record, and the position before it.
constexpr Offset FromKafka(TopicKind kind, KafkaOffset offset) {
  return kind == TopicKind::kEvent ? FirstOffsetOf(offset.value()) : Offset(offset.value());
}
// Of the message that holds the offset.
constexpr KafkaOffset ToKafka(TopicKind kind, Offset offset) {
  return KafkaOffset(kind == TopicKind::kEvent ? MessageOf(offset) : offset.value());
}

}  // namespace marquee::messaging::kafka

#endif  // MARQUEE_MESSAGING_KAFKA_KAFKA_OFFSET_H_
