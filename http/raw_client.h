// For tests: a client that sends what bytes it is told, and reads answers one by one.
//
// Threads: one at a time. A call that gets no answer for kPatience fails the test.
#ifndef MARQUEE_HTTP_RAW_CLIENT_H_
#define MARQUEE_HTTP_RAW_CLIENT_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace marquee::http {

inline constexpr auto kPatience = std::chrono::seconds(60);

struct RawResponse {
  int status = 0;                              // 0: the connection was closed first
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  std::string header(const std::string& name) const {
    auto found = headers.find(name);
    return found == headers.end() ? "" : found->second;
  }
};

class RawClient {
 public:
  explicit RawClient(uint16_t port);
  ~RawClient();
  RawClient(const RawClient&) = delete;

  // False where the server has closed.
  bool Send(std::string_view bytes);
  void ShutdownSend();
  // `while_waiting` is called every few milliseconds until the answer begins.
  RawResponse Read(bool is_head = false, const std::function<void()>& while_waiting = {});
  // Whether the server closes without sending anything more.
  bool ReadsEnd(const std::function<void()>& while_waiting = {});
  RawResponse Get(const std::string& target, const std::string& headers = "");
  RawResponse Post(const std::string& body, const std::string& headers = "");

 private:
  bool Fill(const std::function<void()>& while_waiting);

  int socket_ = -1;
  std::string received_;
};

}  // namespace marquee::http

#endif  // MARQUEE_HTTP_RAW_CLIENT_H_
