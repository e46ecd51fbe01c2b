// The server's own metrics: requests by route and status, their duration, connections. Threads:
// any.
#ifndef MARQUEE_HTTP_HTTP_METRICS_H_
#define MARQUEE_HTTP_HTTP_METRICS_H_

#include <array>
#include <atomic>

#include "http/routes.h"
#include "prometheus/counter.h"
#include "prometheus/family.h"
#include "prometheus/gauge.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"

namespace marquee::http {

class HttpMetrics {
 public:
  explicit HttpMetrics(prometheus::Registry& registry);

  void Answered(Route route, int status, double seconds);
  prometheus::Gauge& connections() { return connections_; }
  prometheus::Counter& connections_refused() { return connections_refused_; }

 private:
  static constexpr int kStatusesMax = 600;

  prometheus::Counter& RequestsOf(Route route, int status);

  prometheus::Family<prometheus::Counter>& requests_;
  prometheus::Gauge& connections_;
  prometheus::Counter& connections_refused_;
  std::array<prometheus::Histogram*, kRoutes> seconds_;
  // Found once, then remembered: looking one up by its labels is slow.
  std::array<std::array<std::atomic<prometheus::Counter*>, kStatusesMax>, kRoutes> counters_{};
};

}  // namespace marquee::http

#endif  // MARQUEE_HTTP_HTTP_METRICS_H_
