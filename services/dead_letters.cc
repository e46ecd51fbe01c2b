#include "services/dead_letters.h"

#include <utility>

#include "base/status.h"
#include "base/version.h"

namespace marquee::services {

DeadLetters::DeadLetters(const World& world, const std::string& topic, std::string service,
                         std::unique_ptr<messaging::Publisher> publisher)
    : clock_(world.clock),
      service_(std::move(service)),
      publisher_(std::move(publisher)),
      counter_(world.metrics.DeadLetters(service_, topic)) {}

absl::StatusOr<std::unique_ptr<DeadLetters>> DeadLetters::Open(const World& world,
                                                               const std::string& topic,
                                                               std::string service) {
  MARQUEE_ASSIGN_OR_RETURN(auto publisher,
                           world.broker.OpenPublisher(Topics::DeadLettersOf(topic)));
  return std::unique_ptr<DeadLetters>(
      new DeadLetters(world, topic, std::move(service), std::move(publisher)));
}

absl::Status DeadLetters::Add(domain::DeadLetter letter) {
  letter.first_seen = letter.last_seen = clock_.Now();
  letter.service = service_;
  letter.version = kVersion;
  std::string key = domain::DeadLetterKey(letter);
  std::string value = domain::EncodeDeadLetter(letter);
  messaging::NewRecord record{.key = key, .value = value};
  MARQUEE_RETURN_IF_ERROR(publisher_->Publish({&record, 1}));
  counter_.Increment();
  unflushed_ = true;
  return absl::OkStatus();
}

absl::Status DeadLetters::Flush() {
  if (!unflushed_) return absl::OkStatus();
  MARQUEE_RETURN_IF_ERROR(publisher_->Flush().status());
  unflushed_ = false;
  return absl::OkStatus();
}

}  // namespace marquee::services
