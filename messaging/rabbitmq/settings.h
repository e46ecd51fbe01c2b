// The settings of the RabbitMQ backend, `amqp.*`. A closed list: what is not known is refused, with
// the nearest name that is. Values; docs/rabbitmq.md has a table of them.
#ifndef MARQUEE_MESSAGING_RABBITMQ_SETTINGS_H_
#define MARQUEE_MESSAGING_RABBITMQ_SETTINGS_H_

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"

namespace marquee::messaging::rabbitmq {

// As AMQP counts them.
inline constexpr int64_t kPrefetchMax = 65'535;

struct Settings {
  // Of both sides: a peer that is silent for two of them is taken for dead.
  int64_t heartbeat_seconds = 30;
  // Messages (packs) that a publisher has sent and the broker not yet confirmed.
  int64_t confirm_window_messages = 256;
  // Messages of a shard that the broker sends ahead of a reader.
  int64_t prefetch_messages = 32;
  // Whether several records go into one message. Off: one record a message, for consumers in other
  // languages (plain.h).
  bool pack = true;
  // A pack of records is closed at this size, before compression.
  int64_t pack_bytes = 256 << 10;
  // Files of a stream; retention drops whole ones.
  int64_t segment_bytes = 64 << 20;
  // An entity topic's shard begins a new generation after so many changes, or after twice as many
  // as it has keys, whichever is more.
  int64_t snapshot_records = 10'000;
  // Who one is, the broker is to see by the client's certificate (EXTERNAL), not by a password.
  bool external = false;
  // Files for TLS (amqps). The broker's certificate is always verified.
  std::string ca_file;
  std::string certificate_file;
  std::string key_file;

  // Of one message's size the windows above are for packs; of single records many more are.
  int64_t window_messages() const {
    return pack ? confirm_window_messages : 16 * confirm_window_messages;
  }
  int64_t read_ahead_messages() const {
    return pack ? prefetch_messages : std::min<int64_t>(16 * prefetch_messages, kPrefetchMax);
  }

  static absl::StatusOr<Settings> Parse(const std::map<std::string, std::string>& settings);
};

}  // namespace marquee::messaging::rabbitmq

#endif  // MARQUEE_MESSAGING_RABBITMQ_SETTINGS_H_
