#include "messaging/kafka/settings.h"

#include <fmt/format.h>

#include <fstream>
#include <functional>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "base/status.h"
#include "messaging/setting_names.h"

namespace marquee::messaging::kafka {
namespace {

constexpr int64_t kReplicasMax = 100;
constexpr int64_t kLingerMsMax = 100;  // kLinger of the seam
constexpr int64_t kSegmentBytesMin = 1 << 20;
constexpr int64_t kSegmentBytesMax = 1 << 30;
constexpr int64_t kSegmentSecondsMax = 7 * 86400;
// With lengths and times, and not compressible at all, it is a message within the seam's limit.
constexpr int64_t kPackBytesMax = 512 << 10;
constexpr int64_t kQueueBytesMin = 4 << 20;
constexpr int64_t kQueueBytesMax = int64_t{2} << 30;

// What is read and then weighed against the rest.
struct Raw {
  std::string password_file;
  bool allow_plaintext_password = false;
};

using Reader = std::function<absl::Status(std::string_view name, const std::string& text)>;

Reader Number(int64_t min, int64_t max, std::function<void(int64_t)> set) {
  return [=](std::string_view name, const std::string& text) {
    int64_t value = 0;
    if (!absl::SimpleAtoi(text, &value) || value < min || value > max) {
      return absl::InvalidArgumentError(fmt::format(
          "setting {}: expected a number from {} to {}, found '{}'", name, min, max, text));
    }
    set(value);
    return absl::OkStatus();
  };
}

Reader Text(std::string* target) {
  return [=](std::string_view name, const std::string& text) {
    if (text.empty() || text.find('\0') != std::string::npos) {
      return absl::InvalidArgumentError(
          fmt::format("setting {}: expected a text, found none", name));
    }
    *target = text;
    return absl::OkStatus();
  };
}

Reader OneOf(std::vector<std::string> words, std::string* target) {
  return [=](std::string_view name, const std::string& text) {
    for (const std::string& word : words) {
      if (word == text) {
        *target = text;
        return absl::OkStatus();
      }
    }
    return absl::InvalidArgumentError(
        fmt::format("setting {}: expected {}, found '{}'", name, fmt::join(words, " or "), text));
  };
}

Reader Truth(bool* target) {
  return [=](std::string_view name, const std::string& text) {
    if (text != "true" && text != "false") {
      return absl::InvalidArgumentError(
          fmt::format("setting {}: expected true or false, found '{}'", name, text));
    }
    *target = text == "true";
    return absl::OkStatus();
  };
}

Reader OnOrOff(bool* target) {
  return [=](std::string_view name, const std::string& text) {
    if (text != "on" && text != "off") {
      return absl::InvalidArgumentError(
          fmt::format("setting {}: expected on or off, found '{}'", name, text));
    }
    *target = text == "on";
    return absl::OkStatus();
  };
}

std::map<std::string, Reader> Readers(KafkaSettings* to, Raw* raw) {
  return {
      {"kafka.replication_factor",
       Number(1, kReplicasMax, [=](int64_t n) { to->replication_factor = static_cast<int>(n); })},
      {"kafka.min_insync_replicas",
       Number(1, kReplicasMax, [=](int64_t n) { to->min_insync_replicas = static_cast<int>(n); })},
      {"kafka.segment_bytes",
       Number(kSegmentBytesMin, kSegmentBytesMax, [=](int64_t n) { to->segment_bytes = n; })},
      {"kafka.segment_seconds",
       Number(1, kSegmentSecondsMax, [=](int64_t n) { to->segment_time = absl::Seconds(n); })},
      {"kafka.compression", OneOf({"lz4", "zstd", "gzip", "snappy", "none"}, &to->compression)},
      {"kafka.linger_ms", Number(0, kLingerMsMax, [=](int64_t n) { to->linger_ms = n; })},
      {"kafka.pack", OnOrOff(&to->pack)},
      {"kafka.pack_bytes", Number(1, kPackBytesMax, [=](int64_t n) { to->pack_bytes = n; })},
      {"kafka.queue_bytes",
       Number(kQueueBytesMin, kQueueBytesMax, [=](int64_t n) { to->queue_bytes = n; })},
      {"kafka.sasl_mechanism",
       OneOf({"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}, &to->sasl_mechanism)},
      {"kafka.username", Text(&to->username)},
      {"kafka.password", Text(&to->password)},
      {"kafka.password_file", Text(&raw->password_file)},
      {"kafka.allow_plaintext_password", Truth(&raw->allow_plaintext_password)},
      {"kafka.ca_file", Text(&to->ca_file)},
      {"kafka.certificate_file", Text(&to->certificate_file)},
      {"kafka.key_file", Text(&to->key_file)},
      {"kafka.key_password", Text(&to->key_password)},
      {"kafka.verify_hostname", Truth(&to->verify_hostname)},
  };
}

absl::Status ReadPassword(const Raw& raw, KafkaSettings* settings) {
  if (raw.password_file.empty()) return absl::OkStatus();
  if (!settings->password.empty()) {
    return absl::InvalidArgumentError(
        "kafka.password_file: there is a password already, in the URL or as kafka.password; give "
        "one of them");
  }
  std::ifstream file(raw.password_file);
  if (!std::getline(file, settings->password) || settings->password.empty()) {
    return absl::InvalidArgumentError(fmt::format(
        "kafka.password_file: expected a password in the first line of {}, which cannot be read or "
        "is empty",
        raw.password_file));
  }
  return absl::OkStatus();
}

absl::Status CheckLogin(const Raw& raw, KafkaSettings* settings) {
  bool has_user = !settings->username.empty(), has_password = !settings->password.empty();
  if (has_user != has_password) {
    return absl::InvalidArgumentError(
        fmt::format("to log in to Kafka: expected a user and a password, found {} alone",
                    has_user ? "a user" : "a password"));
  }
  if (!settings->sasl_mechanism.empty() && !has_user) {
    return absl::InvalidArgumentError(fmt::format(
        "kafka.sasl_mechanism {}: expected a user and a password with it; set kafka.username and "
        "kafka.password_file",
        settings->sasl_mechanism));
  }
  if (!has_user) return absl::OkStatus();
  if (settings->sasl_mechanism.empty()) settings->sasl_mechanism = "SCRAM-SHA-512";
  if (!settings->tls && !raw.allow_plaintext_password) {
    return absl::InvalidArgumentError(
        "a password over a connection that is not encrypted is refused: use kafkas://, or set "
        "kafka.allow_plaintext_password=true where the network is trusted");
  }
  return absl::OkStatus();
}

absl::Status CheckTls(const KafkaSettings& settings) {
  bool any = !settings.ca_file.empty() || !settings.certificate_file.empty() ||
             !settings.key_file.empty() || !settings.key_password.empty() ||
             !settings.verify_hostname;
  if (any && !settings.tls) {
    return absl::InvalidArgumentError(
        "certificates are set for a connection that is not encrypted: use kafkas:// instead of "
        "kafka://");
  }
  if (settings.certificate_file.empty() != settings.key_file.empty()) {
    return absl::InvalidArgumentError(
        "a client certificate: expected kafka.certificate_file and kafka.key_file, found one of "
        "them");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<KafkaSettings> KafkaSettings::Parse(
    const KafkaUrl& url, const std::map<std::string, std::string>& settings) {
  KafkaSettings parsed;
  parsed.tls = url.tls;
  parsed.servers = url.servers;
  parsed.username = url.username;
  parsed.password = url.password;
  Raw raw;
  std::map<std::string, Reader> readers = Readers(&parsed, &raw);
  std::vector<std::string> known;
  known.reserve(readers.size());
  for (const auto& [name, reader] : readers) known.push_back(name);
  for (const auto& [name, text] : settings) {
    auto reader = readers.find(name);
    if (reader == readers.end()) return UnknownSetting(name, "kafka:", known);
    MARQUEE_RETURN_IF_ERROR(reader->second(name, text));
  }
  MARQUEE_RETURN_IF_ERROR(ReadPassword(raw, &parsed));
  MARQUEE_RETURN_IF_ERROR(CheckLogin(raw, &parsed));
  MARQUEE_RETURN_IF_ERROR(CheckTls(parsed));
  if (parsed.replication_factor && parsed.min_insync_replicas &&
      *parsed.min_insync_replicas > *parsed.replication_factor) {
    return absl::InvalidArgumentError(fmt::format(
        "kafka.min_insync_replicas {}: expected at most kafka.replication_factor, {}; nothing "
        "could ever be published",
        *parsed.min_insync_replicas, *parsed.replication_factor));
  }
  return parsed;
}

}  // namespace marquee::messaging::kafka
