#include "services/reporter.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "base/version.h"
#include "marquee/v1/service_report.pb.h"
#include "spdlog/spdlog.h"

namespace marquee::services {

Reporter::Reporter(messaging::Broker& broker, Clock& clock, Metrics& metrics, http::Health& health,
                   Topics topics, std::vector<std::string> services, std::string instance)
    : broker_(broker),
      clock_(clock),
      metrics_(metrics),
      health_(health),
      topics_(std::move(topics)),
      services_(std::move(services)),
      instance_(std::move(instance)),
      thread_([this] { Run(); }) {}

Reporter::~Reporter() {
  stop_ = true;
  thread_.join();
}

// A report that cannot be published is not missed: the next one says the same and more.
void Reporter::Run() {
  std::unique_ptr<messaging::Publisher> publisher;
  absl::Duration next = clock_.Uptime() + kReportInterval;
  while (!stop_) {
    clock_.SleepFor(absl::Milliseconds(50));
    if (clock_.Uptime() < next) continue;
    next = clock_.Uptime() + kReportInterval;
    if (!publisher) {
      auto opened = broker_.OpenPublisher(topics_.service_reports());
      if (!opened.ok()) continue;
      publisher = *std::move(opened);
    }
    if (absl::Status status = Report(*publisher); !status.ok()) {
      spdlog::debug("service report: {}", std::string(status.message()));
      publisher.reset();
    }
  }
}

absl::Status Reporter::Report(messaging::Publisher& publisher) {
  for (const std::string& service : services_) {
    v1::ServiceReport report;
    report.set_service(service);
    report.set_instance(absl::StrCat(service, "-", instance_));
    report.set_version(kVersion);
    report.set_time_ms(absl::ToUnixMillis(clock_.Now()));
    for (const auto& [topic, messages] : metrics_.PublishedBy(service)) {
      v1::ServiceReport::TopicCount& count = *report.add_published();
      count.set_topic(topic);
      count.set_messages(messages);
      report.set_published_total(report.published_total() + messages);
    }
    for (const auto& [topic, messages] : metrics_.ConsumedBy(service)) {
      v1::ServiceReport::TopicCount& count = *report.add_consumed();
      count.set_topic(topic);
      count.set_messages(messages);
      report.set_consumed_total(report.consumed_total() + messages);
    }
    for (const http::ShardLag& shard_lag : health_.Lags()) {
      if (!shard_lag.group.starts_with(topics_.group(service))) continue;
      v1::ServiceReport::Lag& lag = *report.add_lag();
      lag.set_topic(shard_lag.topic);
      lag.set_shard(shard_lag.shard);
      lag.set_records(shard_lag.records);
    }
    std::string key = absl::StrCat(service, "/", report.instance());
    std::string value = report.SerializeAsString();
    messaging::NewRecord record{.key = key, .value = value};
    MARQUEE_RETURN_IF_ERROR(publisher.Publish({&record, 1}));
  }
  return publisher.Flush().status();
}

}  // namespace marquee::services
