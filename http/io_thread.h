// One thread of the server: its event loop, its reader of the catalogue, its connections and their
// deadlines. Internal to the server.
//
// Ownership: shared by the server and by whoever may still answer one of its requests later, so
// that an answer that comes after the server has stopped finds a loop that is stopped, not one that
// is gone. Threads: everything on its own thread, unless it says otherwise.
#ifndef MARQUEE_HTTP_IO_THREAD_H_
#define MARQUEE_HTTP_IO_THREAD_H_

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "base/clock.h"
#include "catalogue/catalogue.h"

namespace marquee::http {

class Connection;

// Deadlines are kept to within this.
inline constexpr auto kSweepInterval = std::chrono::milliseconds(20);

class IoThread {
 public:
  // `reader` may be null.
  IoThread(Clock& clock, std::unique_ptr<catalogue::Reader> reader);
  ~IoThread();

  // Runs the loop until Stop. Once.
  void Run();
  // Any thread.
  void Stop() { context_.stop(); }

  boost::asio::io_context& context() { return context_; }
  catalogue::Reader* reader() { return reader_.get(); }
  Clock& clock() { return clock_; }

  // Owns it until it is removed.
  void Add(std::shared_ptr<Connection> connection) { connections_.insert(std::move(connection)); }
  void Remove(const std::shared_ptr<Connection>& connection) { connections_.erase(connection); }
  // Some connection has a deadline at `uptime`.
  void ExpectDeadline(absl::Duration uptime) { next_deadline_ = std::min(next_deadline_, uptime); }
  // Closes the connections that wait for nothing, and the others once they have answered.
  void CloseWhenAnswered();
  // Closes every connection now. REQUIRES: the loop was stopped, and its thread has ended.
  void CloseAll();

  // The value of a Date header, now.
  const std::string& Date();

 private:
  void Sweep();
  // A copy: what is done to a connection may remove it.
  std::vector<std::shared_ptr<Connection>> Connections() const;

  Clock& clock_;
  std::unique_ptr<catalogue::Reader> reader_;
  std::unordered_set<std::shared_ptr<Connection>> connections_;
  absl::Duration next_deadline_ = absl::InfiniteDuration();
  int64_t date_seconds_ = -1;
  std::string date_;
  // Last, so that it is destroyed first: its handlers hold connections, which use the above.
  boost::asio::io_context context_{1};
  boost::asio::steady_timer sweep_timer_{context_};
};

}  // namespace marquee::http

#endif  // MARQUEE_HTTP_IO_THREAD_H_
