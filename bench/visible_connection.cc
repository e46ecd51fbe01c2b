#include "bench/visible_connection.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "bench/measure.h"

namespace marquee::bench {
namespace {

constexpr size_t kReadBytes = 16 << 10;
constexpr std::string_view kHeadEnd = "\r\n\r\n";
constexpr std::string_view kLength = "\r\ncontent-length:";

size_t LengthOf(std::string head) {
  std::transform(head.begin(), head.end(), head.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  size_t at = head.find(kLength);
  if (at == std::string::npos) Fail("an answer without Content-Length");
  return std::strtoull(head.c_str() + at + kLength.size(), nullptr, 10);
}

}  // namespace

Connection::Connection(uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    Fail(fmt::format("127.0.0.1:{}: {}", port, std::strerror(errno)));
  }
  int on = 1;
  ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

Connection::~Connection() { ::close(socket_); }

void Connection::Send(std::string_view request) {
  // Smaller than the socket's buffer, which is empty: this does not wait.
  while (!request.empty()) {
    ssize_t sent = ::send(socket_, request.data(), request.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) Fail(fmt::format("send: {}", std::strerror(errno)));
    request.remove_prefix(static_cast<size_t>(sent));
  }
}

std::optional<Answer> Connection::Receive() {
  char bytes[kReadBytes];
  ssize_t got = ::recv(socket_, bytes, sizeof(bytes), MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return std::nullopt;
  if (got <= 0) Fail(got == 0 ? "the server closed the connection" : std::strerror(errno));
  received_.append(bytes, static_cast<size_t>(got));
  return TakeAnswer();
}

std::optional<Answer> Connection::TakeAnswer() {
  size_t end = received_.find(kHeadEnd);
  if (end == std::string::npos) return std::nullopt;
  size_t body = end + kHeadEnd.size();
  size_t length = LengthOf(received_.substr(0, body));
  if (received_.size() < body + length) return std::nullopt;
  Answer answer{std::atoi(received_.c_str() + sizeof("HTTP/1.1")), received_.substr(body, length)};
  received_.erase(0, body + length);
  return answer;
}

}  // namespace marquee::bench
