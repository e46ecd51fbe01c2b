// A kept connection of HTTP/1.1 that does not block: one request at a time, and its answer when it
// has come.
//
// Threads: one. Fails (bench/measure.h) where the server closes or answers what is not HTTP.
#ifndef MARQUEE_BENCH_VISIBLE_CONNECTION_H_
#define MARQUEE_BENCH_VISIBLE_CONNECTION_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace marquee::bench {

struct Answer {
  int status = 0;
  std::string body;
};

class Connection {
 public:
  // To 127.0.0.1.
  explicit Connection(uint16_t port);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  int file() const { return socket_; }
  // REQUIRES: the answer to the request before was received.
  void Send(std::string_view request);
  // Reads what is there; the answer if that is all of it.
  std::optional<Answer> Receive();

 private:
  std::optional<Answer> TakeAnswer();

  int socket_ = -1;
  std::string received_;
};

}  // namespace marquee::bench

#endif  // MARQUEE_BENCH_VISIBLE_CONNECTION_H_
