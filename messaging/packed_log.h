// Offsets in a log whose messages may each hold a pack: that of a message, and in the low bits the
// index of a record in its pack. What several brokers' backends have in common. Pure.
#ifndef MARQUEE_MESSAGING_PACKED_LOG_H_
#define MARQUEE_MESSAGING_PACKED_LOG_H_

#include <cstdint>
#include <optional>
#include <span>

#include "absl/time/time.h"
#include "messaging/record.h"

namespace marquee::messaging {

inline constexpr int kPackIndexBits = 16;
// No message holds more.
inline constexpr uint32_t kPackRecordsMax = (1u << kPackIndexBits) - 1;

// Of the first record of the message with this number: the position before all of its records. The
// next message's is behind all of them.
constexpr Offset FirstOffsetOf(int64_t message) { return Offset(message << kPackIndexBits); }
// The message that holds the offset.
constexpr int64_t MessageOf(Offset offset) { return offset.value() >> kPackIndexBits; }

// Of `records`, in order of offset, those that a reader wants who is at `position`; of one who
// starts at a time, from the first on that is not older.
std::span<const Record> WantedOf(std::span<const Record> records, Offset position,
                                 std::optional<absl::Time> since = std::nullopt);

}  // namespace marquee::messaging

#endif  // MARQUEE_MESSAGING_PACKED_LOG_H_
