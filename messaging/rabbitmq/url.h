// amqp://user:password@host:5672/vhost, and amqps:// for TLS: what a broker URL of RabbitMQ says.
//
// Several hosts, with commas between them, are the nodes of one broker. Percent-encoded where a
// part holds a reserved character; no vhost, or an empty one, is "/". The password is shown by
// nothing. Values; pure functions.
#ifndef MARQUEE_MESSAGING_RABBITMQ_URL_H_
#define MARQUEE_MESSAGING_RABBITMQ_URL_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace marquee::messaging::rabbitmq {

struct Node {
  std::string host;
  int port = 0;  // 1 .. 65535

  friend bool operator==(const Node&, const Node&) = default;
  std::string ToString() const;  // host:port
};

inline constexpr size_t kNodesMax = 32;

struct Url {
  bool tls = false;
  std::string user = "guest";
  std::string password = "guest";
  std::vector<Node> nodes;  // at least one
  std::string vhost = "/";

  // For people: with no user and no password.
  std::string ToString() const;
};

// kInvalidArgument: what was expected; of the text nothing is shown that may be a password.
absl::StatusOr<Url> ParseUrl(std::string_view text);

}  // namespace marquee::messaging::rabbitmq

#endif  // MARQUEE_MESSAGING_RABBITMQ_URL_H_
