#include "messaging/rabbitmq/acks.h"

#include <algorithm>
#include <utility>

#include "base/status.h"

namespace marquee::messaging::rabbitmq {

absl::Status Acks::SendIfDue(Connection& connection, bool all_taken) {
  return tags_.size() >= waiting_max_ ? Send(connection, all_taken) : absl::OkStatus();
}

absl::Status Acks::Send(Connection& connection, bool all_taken) {
  if (tags_.empty()) return absl::OkStatus();
  std::vector<uint64_t> tags = std::exchange(tags_, {});
  if (all_taken) {
    return connection.Acknowledge(channel_, *std::max_element(tags.begin(), tags.end()),
                                  /*multiple=*/true);
  }
  for (uint64_t tag : tags) {
    MARQUEE_RETURN_IF_ERROR(connection.Acknowledge(channel_, tag, /*multiple=*/false));
  }
  return absl::OkStatus();
}

}  // namespace marquee::messaging::rabbitmq
