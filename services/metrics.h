// The metrics of a process, in Prometheus' words (docs/operations.md lists them). Threads: any.
#ifndef MARQUEE_SERVICES_METRICS_H_
#define MARQUEE_SERVICES_METRICS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "prometheus/counter.h"
#include "prometheus/family.h"
#include "prometheus/gauge.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"

namespace marquee::services {

class Metrics {
 public:
  explicit Metrics(const std::string& version);

  prometheus::Registry& registry() { return *registry_; }

  prometheus::Counter& Published(const std::string& service, const std::string& topic);
  prometheus::Counter& Consumed(const std::string& service, const std::string& topic);
  // By topic; for reports.
  std::map<std::string, uint64_t> PublishedBy(const std::string& service) const;
  std::map<std::string, uint64_t> ConsumedBy(const std::string& service) const;
  prometheus::Counter& RepeatsDropped(const std::string& topic);
  prometheus::Counter& Unstamped(const std::string& topic);
  prometheus::Counter& DeadLetters(const std::string& service, const std::string& topic);
  prometheus::Gauge& SequenceGaps(const std::string& topic, uint32_t shard);
  prometheus::Counter& MeansPublished();
  prometheus::Counter& MeansConflated();
  prometheus::Gauge& LagRecords(const std::string& group, const std::string& topic, uint32_t shard);
  prometheus::Gauge& LagSeconds(const std::string& group, const std::string& topic, uint32_t shard);
  prometheus::Histogram& Freshness();
  prometheus::Histogram& Restore();
  prometheus::Counter& Rebalances(const std::string& group);

 private:
  std::shared_ptr<prometheus::Registry> registry_;
  prometheus::Family<prometheus::Counter>* published_;
  prometheus::Family<prometheus::Counter>* consumed_;
  prometheus::Family<prometheus::Counter>* repeats_;
  prometheus::Family<prometheus::Counter>* unstamped_;
  prometheus::Family<prometheus::Counter>* dead_letters_;
  prometheus::Family<prometheus::Gauge>* gaps_;
  prometheus::Counter* means_published_;
  prometheus::Counter* means_conflated_;
  prometheus::Family<prometheus::Gauge>* lag_records_;
  prometheus::Family<prometheus::Gauge>* lag_seconds_;
  prometheus::Histogram* freshness_;
  prometheus::Histogram* restore_;
  prometheus::Family<prometheus::Counter>* rebalances_;
};

}  // namespace marquee::services

#endif  // MARQUEE_SERVICES_METRICS_H_
