// Declares the system's topics and settles what decides the result: recorded once in the topic
// `settings`, the same for everybody.
#ifndef MARQUEE_SERVICES_SYSTEM_H_
#define MARQUEE_SERVICES_SYSTEM_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/random.h"
#include "domain/rules.h"
#include "messaging/broker.h"
#include "services/topics.h"

namespace marquee::services {

// What somebody asks for by name; what is left out follows what is recorded, or the defaults where
// nothing is yet.
struct RulesWish {
  std::optional<uint32_t> shards;
  std::optional<domain::Scale> scale;
  std::optional<uint64_t> idempotency_window_messages;
};

struct System {
  domain::Rules rules;
  bool first = false;  // these rules were recorded now: the number of shards cannot change later
};

// kFailedPrecondition: what is recorded differs from what was asked for, or comes from a newer
// version; the message lists the differences. Of several that record at once the one with the
// lowest offset holds: no record overwrites another.
absl::StatusOr<System> OpenSystem(messaging::Broker& broker, const Topics& topics,
                                  const RulesWish& wish, Random& random);

// As OpenSystem, for tools that only look: kNotFound where no system was ever declared there.
absl::StatusOr<System> FindSystem(messaging::Broker& broker, const Topics& topics);

}  // namespace marquee::services

#endif  // MARQUEE_SERVICES_SYSTEM_H_
