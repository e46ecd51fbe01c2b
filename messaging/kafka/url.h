// The URL of a Kafka broker: kafka://[user:password@]host[:port][,host[:port]…], or kafkas:// for
// TLS.
#ifndef MARQUEE_MESSAGING_KAFKA_URL_H_
#define MARQUEE_MESSAGING_KAFKA_URL_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace marquee::messaging::kafka {

struct KafkaUrl {
  bool tls = false;
  std::string servers;  // "host:port,host:port"
  std::string username;
  std::string password;

  // kInvalidArgument, which never shows the user's part: another scheme, no host, a port that is
  // none, a path, a broken percent-encoding.
  static absl::StatusOr<KafkaUrl> Parse(std::string_view url);
};

}  // namespace marquee::messaging::kafka

#endif  // MARQUEE_MESSAGING_KAFKA_URL_H_
