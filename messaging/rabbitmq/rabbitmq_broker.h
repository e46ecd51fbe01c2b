// The seam on RabbitMQ: streams over AMQP 0-9-1. docs/rabbitmq.md maps its words to ours,
// docs/design/0010-rabbitmq.md says why.
//
// Threads and errors: as Broker. One connection for administration, and one for each publisher and
// subscription; what snapshots of entity topics need is done by a thread of its own.
#ifndef MARQUEE_MESSAGING_RABBITMQ_RABBITMQ_BROKER_H_
#define MARQUEE_MESSAGING_RABBITMQ_RABBITMQ_BROKER_H_

#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "messaging/broker.h"

namespace marquee::messaging {

// `url`: amqp://user:password@host:5672/vhost, or amqps://. kInvalidArgument: not such a URL, or a
// setting that is not known; kFailedPrecondition: the broker refuses user, password or vhost;
// kDeadlineExceeded: it cannot be reached. `clock` outlives the broker, and is a real one.
absl::StatusOr<std::unique_ptr<Broker>> OpenRabbitmqBroker(std::string_view url,
                                                           const BrokerOptions& options,
                                                           Clock& clock);

}  // namespace marquee::messaging

#endif  // MARQUEE_MESSAGING_RABBITMQ_RABBITMQ_BROKER_H_
