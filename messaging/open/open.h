// Opens a broker from a URL. The one place that knows which backends there are.
#ifndef MARQUEE_MESSAGING_OPEN_OPEN_H_
#define MARQUEE_MESSAGING_OPEN_OPEN_H_

#include <memory>
#include <string_view>

#include "messaging/broker.h"

namespace marquee::messaging {

// `sqlite:DIR` (made where it is not there), `kafka://HOST:PORT[,HOST:PORT…]`,
// `amqp://USER:PASSWORD@HOST:PORT/VHOST`, the same with `kafkas://` and `amqps://` for TLS, or
// `memory:`. kInvalidArgument: another scheme, with those that are known.
// `clock` outlives the broker.
absl::StatusOr<std::unique_ptr<Broker>> OpenBroker(std::string_view url,
                                                   const BrokerOptions& options, Clock& clock);

}  // namespace marquee::messaging

#endif  // MARQUEE_MESSAGING_OPEN_OPEN_H_
