// What a Kafka broker shares with the publishers and subscriptions made from it. Threads: as each.
#ifndef MARQUEE_MESSAGING_KAFKA_WORLD_H_
#define MARQUEE_MESSAGING_KAFKA_WORLD_H_

#include <memory>

#include "absl/time/time.h"
#include "base/clock.h"
#include "messaging/kafka/admin.h"
#include "messaging/kafka/fetcher.h"
#include "messaging/kafka/settings.h"
#include "messaging/kafka/topics.h"

namespace marquee::messaging::kafka {

struct World {
  World(KafkaSettings its_settings, std::unique_ptr<Admin> its_admin, Clock& its_clock)
      : settings(std::move(its_settings)),
        clock(its_clock),
        admin(std::move(its_admin)),
        topics(*admin, settings),
        fetchers(settings) {}

  const KafkaSettings settings;
  Clock& clock;
  const std::unique_ptr<Admin> admin;
  Topics topics;
  FetcherPool fetchers;
};

}  // namespace marquee::messaging::kafka

#endif  // MARQUEE_MESSAGING_KAFKA_WORLD_H_
