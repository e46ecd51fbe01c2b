// How a pack goes through Kafka: as a message without a key that has the header `marquee-pack` with
// the value `1`. Every other message is one record. Pure.
#ifndef MARQUEE_MESSAGING_KAFKA_PACK_MESSAGE_H_
#define MARQUEE_MESSAGING_KAFKA_PACK_MESSAGE_H_

#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "librdkafka/rdkafka.h"
#include "messaging/broker.h"
#include "messaging/pack.h"

namespace marquee::messaging::kafka {

inline constexpr Header kPackHeader{"marquee-pack", "1"};

std::string_view ValueOf(const rd_kafka_message_t& message);

// Whether it has that header, with whatever value. To look for headers librdkafka allocates, so
// only messages without a key are looked at: a record of ours has one, if only an empty one.
bool IsPack(const rd_kafka_message_t& message);

// Appends the records of the pack. kDataLoss, with the offset: it cannot be read; nothing was
// appended. REQUIRES: IsPack(message), which is of `shard`, of an event topic.
absl::Status Unpack(const rd_kafka_message_t& message, const TopicShard& shard,
                    PackDecoder* decoder);

}  // namespace marquee::messaging::kafka

#endif  // MARQUEE_MESSAGING_KAFKA_PACK_MESSAGE_H_
