// The names of the system's topics, with a tenant's prefix before each.
#ifndef MARQUEE_SERVICES_TOPICS_H_
#define MARQUEE_SERVICES_TOPICS_H_

#include <string>
#include <utility>

namespace marquee::services {

class Topics {
 public:
  explicit Topics(std::string prefix = "") : prefix_(std::move(prefix)) {}

  std::string ratings() const { return prefix_ + "ratings"; }
  std::string movies() const { return prefix_ + "movies"; }
  std::string mean_ratings() const { return prefix_ + "mean-ratings"; }
  std::string checkpoints() const { return prefix_ + "mean-ratings-checkpoints"; }
  std::string sources() const { return prefix_ + "sources"; }
  std::string settings() const { return prefix_ + "settings"; }
  std::string service_reports() const { return prefix_ + "service-reports"; }
  // Of a topic named as above.
  static std::string DeadLettersOf(const std::string& topic) { return topic + ".dlq"; }

  const std::string& prefix() const { return prefix_; }
  // Groups are named after services, within the prefix.
  std::string group(const std::string& service) const { return prefix_ + service; }

 private:
  std::string prefix_;
};

}  // namespace marquee::services

#endif  // MARQUEE_SERVICES_TOPICS_H_
