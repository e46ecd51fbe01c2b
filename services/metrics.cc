#include "services/metrics.h"

namespace marquee::services {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;

const prometheus::Histogram::BucketBoundaries kSeconds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                                          0.1,   0.25,   0.5,   1,    2.5,   10};

prometheus::Family<prometheus::Counter>* Counters(prometheus::Registry& registry, const char* name,
                                                  const char* help) {
  return &BuildCounter().Name(name).Help(help).Register(registry);
}

// The family's counters that bear the label service=`service`, by their label topic.
std::map<std::string, uint64_t> CountsOf(prometheus::Family<prometheus::Counter>& family,
                                         const std::string& service) {
  std::map<std::string, uint64_t> counts;
  for (const prometheus::MetricFamily& collected : family.Collect()) {
    for (const prometheus::ClientMetric& metric : collected.metric) {
      std::map<std::string, std::string> labels;
      for (const auto& label : metric.label) labels[label.name] = label.value;
      if (labels["service"] == service)
        counts[labels["topic"]] = static_cast<uint64_t>(metric.counter.value);
    }
  }
  return counts;
}

}  // namespace

Metrics::Metrics(const std::string& version) : registry_(std::make_shared<prometheus::Registry>()) {
  prometheus::Registry& registry = *registry_;
  published_ = Counters(registry, "marquee_messages_published_total", "Messages made durable");
  consumed_ = Counters(registry, "marquee_messages_consumed_total", "Messages read and processed");
  repeats_ =
      Counters(registry, "marquee_repeats_dropped_total", "Ratings that were counted before");
  unstamped_ = Counters(registry, "marquee_unstamped_total",
                        "Ratings without a stamp, counted at least once");
  dead_letters_ = Counters(registry, "marquee_dead_letters_total",
                           "Messages and rows that could not be counted");
  gaps_ = &BuildGauge()
               .Name("marquee_sequence_gaps")
               .Help("Ratings that a producer knew to be durable and that are missing: a loss")
               .Register(registry);
  means_published_ =
      &Counters(registry, "marquee_means_published_total", "Means published")->Add({});
  means_conflated_ =
      &Counters(registry, "marquee_means_conflated_total",
                "Changes of a mean that a later one overtook before it was published")
           ->Add({});
  lag_records_ = &BuildGauge()
                      .Name("marquee_consumer_lag_records")
                      .Help("Messages that a consumer has not read yet")
                      .Register(registry);
  lag_seconds_ = &BuildGauge()
                      .Name("marquee_consumer_lag_seconds")
                      .Help("Age of the last message read, 0 when all are read")
                      .Register(registry);
  freshness_ = &BuildHistogram()
                    .Name("marquee_freshness_seconds")
                    .Help("From the publishing of a rating to its mean being visible")
                    .Register(registry)
                    .Add({}, kSeconds);
  restore_ = &BuildHistogram()
                  .Name("marquee_restore_seconds")
                  .Help("From gaining a shard to reading on in it")
                  .Register(registry)
                  .Add({}, kSeconds);
  rebalances_ = Counters(registry, "marquee_rebalances_total", "Shards gained, given up or lost");
  BuildGauge()
      .Name("marquee_build_info")
      .Help("1, with the version as a label")
      .Register(registry)
      .Add({{"version", version}})
      .Set(1);
}

prometheus::Counter& Metrics::Published(const std::string& service, const std::string& topic) {
  return published_->Add({{"service", service}, {"topic", topic}});
}
prometheus::Counter& Metrics::Consumed(const std::string& service, const std::string& topic) {
  return consumed_->Add({{"service", service}, {"topic", topic}});
}
std::map<std::string, uint64_t> Metrics::PublishedBy(const std::string& service) const {
  return CountsOf(*published_, service);
}
std::map<std::string, uint64_t> Metrics::ConsumedBy(const std::string& service) const {
  return CountsOf(*consumed_, service);
}
prometheus::Counter& Metrics::RepeatsDropped(const std::string& topic) {
  return repeats_->Add({{"topic", topic}});
}
prometheus::Counter& Metrics::Unstamped(const std::string& topic) {
  return unstamped_->Add({{"topic", topic}});
}
prometheus::Counter& Metrics::DeadLetters(const std::string& service, const std::string& topic) {
  return dead_letters_->Add({{"service", service}, {"topic", topic}});
}
prometheus::Gauge& Metrics::SequenceGaps(const std::string& topic, uint32_t shard) {
  return gaps_->Add({{"topic", topic}, {"shard", std::to_string(shard)}});
}
prometheus::Counter& Metrics::MeansPublished() { return *means_published_; }
prometheus::Counter& Metrics::MeansConflated() { return *means_conflated_; }
prometheus::Gauge& Metrics::LagRecords(const std::string& group, const std::string& topic,
                                       uint32_t shard) {
  return lag_records_->Add({{"group", group}, {"topic", topic}, {"shard", std::to_string(shard)}});
}
prometheus::Gauge& Metrics::LagSeconds(const std::string& group, const std::string& topic,
                                       uint32_t shard) {
  return lag_seconds_->Add({{"group", group}, {"topic", topic}, {"shard", std::to_string(shard)}});
}
prometheus::Histogram& Metrics::Freshness() { return *freshness_; }
prometheus::Histogram& Metrics::Restore() { return *restore_; }
prometheus::Counter& Metrics::Rebalances(const std::string& group) {
  return rebalances_->Add({{"group", group}});
}

}  // namespace marquee::services
