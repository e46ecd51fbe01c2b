#include "http/raw_client.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace marquee::http {

RawClient::RawClient(uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
}

RawClient::~RawClient() { ::close(socket_); }

bool RawClient::Send(std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

void RawClient::ShutdownSend() { ::shutdown(socket_, SHUT_WR); }

bool RawClient::Fill(const std::function<void()>& while_waiting) {
  auto until = std::chrono::steady_clock::now() + kPatience;
  pollfd waits{.fd = socket_, .events = POLLIN, .revents = 0};
  while (::poll(&waits, 1, 10) == 0) {
    if (while_waiting) while_waiting();
    if (std::chrono::steady_clock::now() > until) {
      ADD_FAILURE() << "the server neither answered nor closed";
      return false;
    }
  }
  char bytes[16384];
  ssize_t got = ::recv(socket_, bytes, sizeof(bytes), 0);
  if (got <= 0) return false;
  received_.append(bytes, static_cast<size_t>(got));
  return true;
}

RawResponse RawClient::Read(bool is_head, const std::function<void()>& while_waiting) {
  size_t end;
  while ((end = received_.find("\r\n\r\n")) == std::string::npos) {
    if (!Fill(while_waiting)) return {};
  }
  std::string head = received_.substr(0, end + 2);
  received_.erase(0, end + 4);
  RawResponse response;
  response.status = std::atoi(head.c_str() + sizeof("HTTP/1.1"));
  for (size_t line = head.find("\r\n") + 2; line < head.size();) {
    size_t line_end = head.find("\r\n", line);
    size_t colon = head.find(": ", line);
    response.headers[absl::AsciiStrToLower(head.substr(line, colon - line))] =
        head.substr(colon + 2, line_end - colon - 2);
    line = line_end + 2;
  }
  size_t length = static_cast<size_t>(std::atoll(response.header("content-length").c_str()));
  if (is_head || response.status == 304 || response.status < 200) length = 0;
  while (received_.size() < length) {
    if (!Fill({})) return {};
  }
  response.body = received_.substr(0, length);
  received_.erase(0, length);
  return response;
}

bool RawClient::ReadsEnd(const std::function<void()>& while_waiting) {
  return received_.empty() && !Fill(while_waiting) && received_.empty();
}

RawResponse RawClient::Get(const std::string& target, const std::string& headers) {
  Send(absl::StrCat("GET ", target, " HTTP/1.1\r\nHost: h\r\n", headers, "\r\n"));
  return Read();
}

RawResponse RawClient::Post(const std::string& body, const std::string& headers) {
  Send(
      absl::StrCat("POST /api/v1/ratings HTTP/1.1\r\nHost: h\r\nContent-Type: "
                   "application/json\r\nContent-Length: ",
                   body.size(), "\r\n", headers, "\r\n", body));
  return Read();
}

}  // namespace marquee::http
