#include "messaging/kafka/url.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/status.h"

namespace marquee::messaging::kafka {
namespace {

constexpr std::string_view kPlainScheme = "kafka://";
constexpr std::string_view kTlsScheme = "kafkas://";
constexpr int kDefaultPort = 9092;
constexpr int kPortMax = 65535;
constexpr size_t kServersMax = 100;

std::optional<std::string> Decode(std::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    unsigned byte = 0;
    if (i + 2 >= text.size()) return std::nullopt;
    auto [end, error] = std::from_chars(&text[i + 1], &text[i] + 3, byte, 16);
    if (error != std::errc() || end != &text[i] + 3 || byte == 0) return std::nullopt;
    decoded += static_cast<char>(byte);
    i += 2;
  }
  return decoded;
}

bool IsHost(std::string_view host) {
  if (host.empty()) return false;
  if (host.front() == '[') return host.size() > 2 && host.back() == ']';
  for (char c : host) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '.' && c != '-' && c != '_')
      return false;
  }
  return true;
}

absl::StatusOr<std::string> ServerOf(std::string_view text) {
  size_t bracket = text.rfind(']');
  size_t colon = text.rfind(':');
  bool has_port =
      colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket);
  std::string_view host = has_port ? text.substr(0, colon) : text;
  int port = kDefaultPort;
  if (has_port) {
    std::string_view digits = text.substr(colon + 1);
    auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (error != std::errc() || end != digits.data() + digits.size() || port < 1 ||
        port > kPortMax) {
      return absl::InvalidArgumentError(
          fmt::format("broker URL: expected a port from 1 to {} after '{}:', found '{}'", kPortMax,
                      host, digits));
    }
  }
  if (!IsHost(host)) {
    return absl::InvalidArgumentError(fmt::format(
        "broker URL: expected a host, found '{}'; write kafka://host:port,host:port", host));
  }
  return fmt::format("{}:{}", host, port);
}

}  // namespace

absl::StatusOr<KafkaUrl> KafkaUrl::Parse(std::string_view url) {
  KafkaUrl parsed;
  parsed.tls = url.substr(0, kTlsScheme.size()) == kTlsScheme;
  std::string_view scheme = parsed.tls ? kTlsScheme : kPlainScheme;
  if (url.substr(0, scheme.size()) != scheme) {
    return absl::InvalidArgumentError(
        "broker URL: expected kafka://host:port[,host:port…], or kafkas:// for TLS");
  }
  std::string_view rest = url.substr(scheme.size());
  if (size_t at = rest.rfind('@'); at != std::string_view::npos) {
    std::string_view user = rest.substr(0, at);
    rest = rest.substr(at + 1);
    size_t colon = user.find(':');
    std::optional<std::string> name = Decode(user.substr(0, colon));
    std::optional<std::string> password =
        Decode(colon == std::string_view::npos ? "" : user.substr(colon + 1));
    if (!name || !password || name->empty()) {
      return absl::InvalidArgumentError(
          "broker URL: expected user:password before '@', with what is not a letter or a digit "
          "percent-encoded (%40 for '@')");
    }
    parsed.username = *std::move(name);
    parsed.password = *std::move(password);
  }
  if (!rest.empty() && rest.back() == '/') rest.remove_suffix(1);
  std::vector<std::string> servers;
  for (absl::string_view text : absl::StrSplit(absl::string_view(rest.data(), rest.size()), ',')) {
    MARQUEE_ASSIGN_OR_RETURN(std::string server, ServerOf({text.data(), text.size()}));
    servers.push_back(std::move(server));
  }
  if (servers.size() > kServersMax) {
    return absl::InvalidArgumentError(
        fmt::format("broker URL: {} hosts; name at most {}", servers.size(), kServersMax));
  }
  parsed.servers = absl::StrJoin(servers, ",");
  return parsed;
}

}  // namespace marquee::messaging::kafka
