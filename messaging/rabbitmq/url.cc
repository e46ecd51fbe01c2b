#include "messaging/rabbitmq/url.h"

#include <fmt/format.h>

#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "base/status.h"

namespace marquee::messaging::rabbitmq {
namespace {

constexpr int kPort = 5672;
constexpr int kTlsPort = 5671;
constexpr int kPortMax = 65535;

absl::Status Expected(std::string_view what) {
  return absl::InvalidArgumentError(fmt::format(
      "broker URL: {}; expected amqp://user:password@host:5672/vhost, with reserved characters as "
      "%XX",
      what));
}

absl::StatusOr<std::string> Decode(std::string_view text, std::string_view part) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    bool whole = i + 2 < text.size() && absl::ascii_isxdigit(text[i + 1]) &&
                 absl::ascii_isxdigit(text[i + 2]);
    if (!whole) return Expected(fmt::format("a % without two hexadecimal digits in the {}", part));
    decoded += absl::HexStringToBytes(std::string(text.substr(i + 1, 2)));
    i += 2;
  }
  if (decoded.find('\0') != std::string::npos) {
    return Expected(fmt::format("a zero byte in the {}", part));
  }
  return decoded;
}

absl::StatusOr<Node> ParseNode(std::string_view text, int default_port) {
  Node node{.host = {}, .port = default_port};
  size_t colon = text.rfind(':');
  size_t bracket = text.find(']');
  std::string_view host = text;
  std::optional<std::string_view> port;
  if (colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket)) {
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
  }
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  MARQUEE_ASSIGN_OR_RETURN(node.host, Decode(host, "host"));
  if (node.host.empty()) return Expected("a host is missing");
  if (port.has_value() && (!absl::SimpleAtoi(std::string(*port), &node.port) || node.port < 1 ||
                           node.port > kPortMax)) {
    return Expected("a port that is not a number from 1 to 65535");
  }
  return node;
}

absl::Status ParseUser(std::string_view text, Url* url) {
  size_t colon = text.find(':');
  MARQUEE_ASSIGN_OR_RETURN(url->user, Decode(text.substr(0, colon), "user"));
  std::string_view password = colon == std::string_view::npos ? "" : text.substr(colon + 1);
  MARQUEE_ASSIGN_OR_RETURN(url->password, Decode(password, "password"));
  return url->user.empty() ? Expected("the user is empty") : absl::OkStatus();
}

}  // namespace

std::string Node::ToString() const {
  bool is_ipv6 = host.find(':') != std::string::npos;
  return is_ipv6 ? fmt::format("[{}]:{}", host, port) : fmt::format("{}:{}", host, port);
}

std::string Url::ToString() const {
  std::string hosts;
  for (const Node& node : nodes) hosts += (hosts.empty() ? "" : ",") + node.ToString();
  return fmt::format("{}://{}, vhost {}", tls ? "amqps" : "amqp", hosts, vhost);
}

absl::StatusOr<Url> ParseUrl(std::string_view text) {
  Url url;
  constexpr std::string_view kScheme = "amqp://", kTlsScheme = "amqps://";
  url.tls = text.starts_with(kTlsScheme);
  if (!url.tls && !text.starts_with(kScheme)) return Expected("another scheme than amqp or amqps");
  text.remove_prefix(url.tls ? kTlsScheme.size() : kScheme.size());
  if (text.find_first_of("?#") != std::string_view::npos) {
    return Expected("a '?' or '#' (settings are given beside the URL, as amqp.NAME)");
  }
  size_t slash = text.find('/');
  if (slash != std::string_view::npos) {
    MARQUEE_ASSIGN_OR_RETURN(std::string vhost, Decode(text.substr(slash + 1), "vhost"));
    if (text.substr(slash + 1).find('/') != std::string_view::npos) {
      return Expected("a second '/'");
    }
    if (!vhost.empty()) url.vhost = vhost;
    text = text.substr(0, slash);
  }
  size_t at = text.rfind('@');
  if (at != std::string_view::npos) {
    MARQUEE_RETURN_IF_ERROR(ParseUser(text.substr(0, at), &url));
    text.remove_prefix(at + 1);
  }
  while (true) {
    size_t comma = text.find(',');
    MARQUEE_ASSIGN_OR_RETURN(Node node,
                             ParseNode(text.substr(0, comma), url.tls ? kTlsPort : kPort));
    url.nodes.push_back(std::move(node));
    if (url.nodes.size() > kNodesMax) return Expected(fmt::format("over {} hosts", kNodesMax));
    if (comma == std::string_view::npos) return url;
    text.remove_prefix(comma + 1);
  }
}

}  // namespace marquee::messaging::rabbitmq
