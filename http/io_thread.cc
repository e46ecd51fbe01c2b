#include "http/io_thread.h"

#include <boost/asio/executor_work_guard.hpp>

#include "http/connection.h"

namespace marquee::http {

IoThread::IoThread(Clock& clock, std::unique_ptr<catalogue::Reader> reader)
    : clock_(clock), reader_(std::move(reader)) {}

IoThread::~IoThread() = default;

void IoThread::Run() {
  auto work = boost::asio::make_work_guard(context_);
  Sweep();
  context_.run();
}

void IoThread::Sweep() {
  absl::Duration now = clock_.Uptime();
  if (now >= next_deadline_) {
    next_deadline_ = absl::InfiniteDuration();
    for (const std::shared_ptr<Connection>& connection : Connections())
      connection->CheckDeadline(now);
  }
  sweep_timer_.expires_after(kSweepInterval);
  sweep_timer_.async_wait([this](const boost::system::error_code& ec) {
    if (!ec) Sweep();
  });
}

std::vector<std::shared_ptr<Connection>> IoThread::Connections() const {
  return {connections_.begin(), connections_.end()};
}

void IoThread::CloseWhenAnswered() {
  for (const std::shared_ptr<Connection>& connection : Connections())
    connection->CloseWhenAnswered();
}

void IoThread::CloseAll() {
  for (const std::shared_ptr<Connection>& connection : Connections()) connection->Close();
  // The handlers of what was under way hold connections: they find them closed.
  sweep_timer_.cancel();
  context_.restart();
  context_.poll();
}

const std::string& IoThread::Date() {
  absl::Time now = clock_.Now();
  int64_t seconds = absl::ToUnixSeconds(now);
  if (seconds != date_seconds_) {
    date_seconds_ = seconds;
    date_ = absl::FormatTime("%a, %d %b %Y %H:%M:%S GMT", now, absl::UTCTimeZone());
  }
  return date_;
}

}  // namespace marquee::http
