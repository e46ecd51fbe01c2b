// Publishes to `<topic>.dlq`. Threads: one at a time.
#ifndef MARQUEE_SERVICES_DEAD_LETTERS_H_
#define MARQUEE_SERVICES_DEAD_LETTERS_H_

#include <memory>
#include <string>

#include "domain/dead_letter.h"
#include "messaging/broker.h"
#include "services/service.h"

namespace marquee::services {

class DeadLetters {
 public:
  // `topic`: the one whose messages or rows go to its dead letters.
  static absl::StatusOr<std::unique_ptr<DeadLetters>> Open(const World& world,
                                                           const std::string& topic,
                                                           std::string service);

  // Sets times, service and version; publishes, durable after Flush.
  absl::Status Add(domain::DeadLetter letter);
  // Does nothing where nothing was added since the last one.
  absl::Status Flush();

 private:
  DeadLetters(const World& world, const std::string& topic, std::string service,
              std::unique_ptr<messaging::Publisher> publisher);

  Clock& clock_;
  std::string service_;
  std::unique_ptr<messaging::Publisher> publisher_;
  prometheus::Counter& counter_;
  bool unflushed_ = false;
};

}  // namespace marquee::services

#endif  // MARQUEE_SERVICES_DEAD_LETTERS_H_
