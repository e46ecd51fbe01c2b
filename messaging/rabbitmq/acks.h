// Acknowledges what was delivered on a channel: late, and many messages with one frame where that
// can be. Each acknowledgement has the broker look for more to send, and costs it as much as a
// message.
//
// What is not acknowledged counts against the prefetch of its consumer. Before a consumer is ended
// all is sent: a broker may forget with it what it was sent.
//
// Threads: the connection's.
#ifndef MARQUEE_MESSAGING_RABBITMQ_ACKS_H_
#define MARQUEE_MESSAGING_RABBITMQ_ACKS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "messaging/rabbitmq/connection.h"

namespace marquee::messaging::rabbitmq {

class Acks {
 public:
  // So many wait at most; fewer than a consumer's prefetch, or it would wait for ever. At least 1.
  Acks(Channel channel, size_t waiting_max) : channel_(channel), waiting_max_(waiting_max) {}

  // A message was taken, and its memory is free.
  void Taken(uint64_t tag) { tags_.push_back(tag); }
  // Where so many wait. `all_taken`: every message that was delivered on the channel before the
  // last of them; if not, each is acknowledged by itself.
  absl::Status SendIfDue(Connection& connection, bool all_taken);
  absl::Status Send(Connection& connection, bool all_taken);
  // The channel is no more.
  void Forget() { tags_.clear(); }
  bool empty() const { return tags_.empty(); }

 private:
  Channel channel_;
  size_t waiting_max_;
  std::vector<uint64_t> tags_;
};

}  // namespace marquee::messaging::rabbitmq

#endif  // MARQUEE_MESSAGING_RABBITMQ_ACKS_H_
