// The broker as its callers see it: a connection that is made when it is needed, made again when it
// breaks, and tried until a deadline. For all that is neither a publisher's nor a subscription's
// own traffic.
//
// Threads: any; one call at a time is carried out. Errors: kDeadlineExceeded says what was waited
// for.
#ifndef MARQUEE_MESSAGING_RABBITMQ_SESSION_H_
#define MARQUEE_MESSAGING_RABBITMQ_SESSION_H_

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "messaging/rabbitmq/connection.h"
#include "messaging/rabbitmq/settings.h"
#include "messaging/rabbitmq/url.h"

namespace marquee::messaging::rabbitmq {

// What all parts of a broker share. Outlives them.
struct World {
  Url url;
  Settings settings;
  absl::Duration deadline;
  Clock& clock;
  std::atomic<size_t> next_node = 0;  // connections are spread over the nodes

  // One attempt, for at most `timeout`; to node `first` of the URL, or another where it is away.
  absl::StatusOr<std::unique_ptr<Connection>> Connect(std::string_view purpose,
                                                      absl::Duration timeout, size_t first);
  absl::StatusOr<std::unique_ptr<Connection>> Connect(std::string_view purpose,
                                                      absl::Duration timeout) {
    return Connect(purpose, timeout, next_node++);
  }
  absl::Status GaveUp(std::string_view what, const absl::Status& last) const;
};

// Waits between attempts: longer each time, up to a second.
class Backoff {
 public:
  absl::Duration Next();
  void Reset() { next_ = kFirst; }

 private:
  static constexpr absl::Duration kFirst = absl::Milliseconds(10);
  absl::Duration next_ = kFirst;
};

class Session {
 public:
  Session(World& world, std::string purpose) : world_(world), purpose_(std::move(purpose)) {}

  // Calls `body` with a connection that works, again while it returns kUnavailable or
  // kDeadlineExceeded, until the deadline. `body` may have taken effect before.
  absl::Status Call(std::string_view what, const std::function<absl::Status(Connection&)>& body);

 private:
  absl::Status Attempt(absl::Duration left, const std::function<absl::Status(Connection&)>& body)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  World& world_;
  const std::string purpose_;
  Mutex mutex_;
  std::unique_ptr<Connection> connection_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace marquee::messaging::rabbitmq

#endif  // MARQUEE_MESSAGING_RABBITMQ_SESSION_H_
