// Apache Kafka as a broker, through librdkafka.
//
// How the nine sentences are kept (messaging/broker.h):
//   Sharded      a shard is a partition, chosen here and never by the client's partitioner
//   Ordered      an idempotent producer for each publisher (publisher.h)
//   Positioned   Kafka's offsets; a topic's identity is Kafka's topic id
//   Durable      acks=all: in the page cache of every replica in sync (docs/kafka.md says what that
//   means) Repeatable   reading changes nothing; positions that are reported are committed as hints
//   Owned        Kafka's group protocol (group_membership.h, docs/design/0009)
//   Bounded      the producer's queue, and what is fetched ahead of each shard
//   Retained     cleanup.policy delete or compact (topic_config.h)
//   Honest       every call has a deadline; what the brokers refuse for good is told at once
#ifndef MARQUEE_MESSAGING_KAFKA_KAFKA_BROKER_H_
#define MARQUEE_MESSAGING_KAFKA_KAFKA_BROKER_H_

#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "messaging/broker.h"

namespace marquee::messaging {

// `kafka://[user:password@]host[:port][,host[:port]…]`, or kafkas:// for TLS. Asks nothing of the
// brokers yet. `clock` outlives the broker. kInvalidArgument: the URL or a setting.
absl::StatusOr<std::unique_ptr<Broker>> OpenKafkaBroker(std::string_view url,
                                                        const BrokerOptions& options, Clock& clock);

}  // namespace marquee::messaging

#endif  // MARQUEE_MESSAGING_KAFKA_KAFKA_BROKER_H_
