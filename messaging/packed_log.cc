#include "messaging/packed_log.h"

#include <algorithm>

namespace marquee::messaging {

std::span<const Record> WantedOf(std::span<const Record> records, Offset position,
                                 std::optional<absl::Time> since) {
  auto first = std::find_if(records.begin(), records.end(), [&](const Record& record) {
    return record.offset >= position && (!since || record.published >= *since);
  });
  return records.subspan(static_cast<size_t>(first - records.begin()));
}

}  // namespace marquee::messaging
