// The settings of a Kafka broker: those of its URL and those of --set kafka.NAME=VALUE.
// docs/kafka.md says what each is for.
#ifndef MARQUEE_MESSAGING_KAFKA_SETTINGS_H_
#define MARQUEE_MESSAGING_KAFKA_SETTINGS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "messaging/kafka/url.h"

namespace marquee::messaging::kafka {

struct KafkaSettings {
  bool tls = false;
  std::string servers;

  // Of topics that are declared. None: 3 replicas of which 2 must have a message, as far as there
  // are brokers; where set, an existing topic that differs is an error.
  std::optional<int> replication_factor;
  std::optional<int> min_insync_replicas;
  // An entity topic is compacted but for its newest segment, which is closed at this size or age.
  int64_t segment_bytes = int64_t{16} << 20;
  absl::Duration segment_time = absl::Minutes(10);

  std::string compression = "lz4";
  int64_t linger_ms = 20;
  // Event topics alone: records are published in packs, each closed at this size, before
  // compression. Packs are read whatever this says.
  bool pack = false;
  int64_t pack_bytes = int64_t{256} << 10;
  int64_t queue_bytes = int64_t{64} << 20;  // of a publisher

  std::string sasl_mechanism;  // empty: no log-in
  std::string username;
  std::string password;
  std::string ca_file;  // empty: the system's certificates
  std::string certificate_file;
  std::string key_file;
  std::string key_password;
  bool verify_hostname = true;

  // kInvalidArgument: an unknown name (with the nearest that is known), a value out of range, a
  // password over a connection that is not encrypted (unless kafka.allow_plaintext_password says
  // so), a mechanism without a user. No message shows a secret.
  static absl::StatusOr<KafkaSettings> Parse(const KafkaUrl& url,
                                             const std::map<std::string, std::string>& settings);
};

}  // namespace marquee::messaging::kafka

#endif  // MARQUEE_MESSAGING_KAFKA_SETTINGS_H_
