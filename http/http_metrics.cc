#include "http/http_metrics.h"

#include <string>

#include "base/status.h"

namespace marquee::http {

HttpMetrics::HttpMetrics(prometheus::Registry& registry)
    : requests_(prometheus::BuildCounter()
                    .Name("marquee_http_requests_total")
                    .Help("Requests answered, by route and status")
                    .Register(registry)),
      connections_(prometheus::BuildGauge()
                       .Name("marquee_http_connections")
                       .Help("Connections that are open")
                       .Register(registry)
                       .Add({})),
      connections_refused_(prometheus::BuildCounter()
                               .Name("marquee_http_connections_refused_total")
                               .Help("Connections refused because too many were open")
                               .Register(registry)
                               .Add({})) {
  auto& family = prometheus::BuildHistogram()
                     .Name("marquee_http_request_duration_seconds")
                     .Help("From a request's last byte to its answer, by route")
                     .Register(registry);
  const prometheus::Histogram::BucketBoundaries bounds = {
      0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30};
  for (size_t route = 0; route < kRoutes; ++route) {
    seconds_[route] =
        &family.Add({{"route", std::string(RouteName(static_cast<Route>(route)))}}, bounds);
  }
}

prometheus::Counter& HttpMetrics::RequestsOf(Route route, int status) {
  std::atomic<prometheus::Counter*>& place =
      counters_[static_cast<size_t>(route)][static_cast<size_t>(status)];
  prometheus::Counter* counter = place.load(std::memory_order_acquire);
  if (counter == nullptr) {
    // The family gives the same counter for the same labels, to whoever asks first and second.
    counter = &requests_.Add(
        {{"route", std::string(RouteName(route))}, {"status", std::to_string(status)}});
    place.store(counter, std::memory_order_release);
  }
  return *counter;
}

void HttpMetrics::Answered(Route route, int status, double seconds) {
  MARQUEE_CHECK(status >= 0 && status < kStatusesMax);
  RequestsOf(route, status).Increment();
  seconds_[static_cast<size_t>(route)]->Observe(seconds);
}

}  // namespace marquee::http
