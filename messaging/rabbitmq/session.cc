#include "messaging/rabbitmq/session.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/status.h"

namespace marquee::messaging::rabbitmq {
namespace {

constexpr absl::Duration kBackoffMax = absl::Seconds(1);
// Of one request; more than it takes a broker to elect a leader.
constexpr absl::Duration kRequestMax = absl::Seconds(10);

}  // namespace

absl::StatusOr<std::unique_ptr<Connection>> World::Connect(std::string_view purpose,
                                                           absl::Duration timeout, size_t first) {
  timeout = std::clamp(timeout, absl::Milliseconds(100), kRequestMax);
  absl::StatusOr<std::unique_ptr<Connection>> connection =
      Connection::Open(url, settings, purpose, first, timeout);
  if (connection.ok()) {
    (*connection)->set_timeout(std::clamp(deadline, absl::Milliseconds(100), kRequestMax));
  }
  return connection;
}

absl::Status World::GaveUp(std::string_view what, const absl::Status& last) const {
  return absl::DeadlineExceededError(
      fmt::format("{}: waited {} for the broker at {}; the last error: {}", what,
                  absl::FormatDuration(deadline), url.ToString(), std::string(last.message())));
}

absl::Duration Backoff::Next() {
  absl::Duration now = next_;
  next_ = std::min(2 * next_, kBackoffMax);
  return now;
}

absl::Status Session::Attempt(absl::Duration left,
                              const std::function<absl::Status(Connection&)>& body) {
  if (connection_ == nullptr) {
    MARQUEE_ASSIGN_OR_RETURN(connection_, world_.Connect(purpose_, left));
  }
  absl::Status status = body(*connection_);
  // One that timed out may still be answered, in the middle of the next call.
  if (connection_->broken() || absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status)) {
    connection_.reset();
  }
  return status;
}

absl::Status Session::Call(std::string_view what,
                           const std::function<absl::Status(Connection&)>& body) {
  MutexLock lock(mutex_);
  absl::Duration until = world_.clock.Uptime() + world_.deadline;
  Backoff backoff;
  // Nobody may have used it for so long that the broker has closed it.
  bool was_connected = connection_ != nullptr;
  while (true) {
    absl::Status status = Attempt(until - world_.clock.Uptime(), body);
    // Another node may show what this one did not in time.
    if (!absl::IsUnavailable(status) && !absl::IsDeadlineExceeded(status)) return status;
    if (std::exchange(was_connected, false)) continue;
    absl::Duration wait = backoff.Next();
    if (world_.clock.Uptime() + wait >= until) return world_.GaveUp(what, status);
    world_.clock.SleepFor(wait);
  }
}

}  // namespace marquee::messaging::rabbitmq
