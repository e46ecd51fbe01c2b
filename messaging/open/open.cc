#include "messaging/open/open.h"

#include <fmt/format.h>

#include <string>
#include <utility>

#include "base/status.h"
#include "messaging/kafka/kafka_broker.h"
#include "messaging/memory/memory_broker.h"
#include "messaging/rabbitmq/rabbitmq_broker.h"
#include "messaging/sqlite/sqlite_broker.h"

namespace marquee::messaging {

absl::StatusOr<std::unique_ptr<Broker>> OpenBroker(std::string_view url,
                                                   const BrokerOptions& options, Clock& clock) {
  // Of a URL that is not understood the scheme alone is shown: the rest may hold a password.
  size_t colon = url.find(':');
  std::string_view scheme = url.substr(0, colon);
  std::string rest(colon == std::string_view::npos ? "" : url.substr(colon + 1));
  if (colon != std::string_view::npos && scheme == "sqlite") {
    if (rest.empty()) {
      return absl::InvalidArgumentError(
          "broker URL sqlite: expected a directory, as in sqlite:./data/log");
    }
    return OpenSqliteBroker(rest, options, clock);
  }
  if (colon != std::string_view::npos && scheme == "memory") {
    MARQUEE_ASSIGN_OR_RETURN(std::unique_ptr<Broker> broker, OpenMemoryBroker(url, options, clock));
    return broker;
  }
  if (colon != std::string_view::npos && (scheme == "kafka" || scheme == "kafkas"))
    return OpenKafkaBroker(url, options, clock);
  if (colon != std::string_view::npos && (scheme == "amqp" || scheme == "amqps"))
    return OpenRabbitmqBroker(url, options, clock);
  return absl::InvalidArgumentError(fmt::format(
      "broker URL: expected sqlite:DIR, kafka://HOST:PORT,…, kafkas://HOST:PORT,…, "
      "amqp://USER:PASSWORD@HOST/VHOST, amqps://… or memory:, found {}",
      colon == std::string_view::npos ? "no scheme"
                                      : fmt::format("scheme '{}'", scheme.substr(0, 20))));
}

}  // namespace marquee::messaging
