// The routes of the API, and how a request's target is taken apart.
//
// Threads: pure functions.
#ifndef MARQUEE_HTTP_ROUTES_H_
#define MARQUEE_HTTP_ROUTES_H_

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace marquee::http {

enum class Route {
  kLivez,
  kReadyz,
  kMetrics,
  kLag,
  kVersion,
  kOpenApi,
  kMovie,
  kMovies,
  kTop,
  kRatings,
  kUnknown,  // last
};
inline constexpr size_t kRoutes = static_cast<size_t>(Route::kUnknown) + 1;

struct RouteInfo {
  Route route;
  std::string_view path;   // as docs/openapi.json has it: "/api/v1/movies/{id}"
  std::string_view allow;  // the methods, as the header Allow has them
};
// Every route but kUnknown, in the order of the enumeration.
extern const std::array<RouteInfo, kRoutes - 1> kRouteTable;
// "/api/v1/movies/{id}", "unknown": for metrics.
std::string_view RouteName(Route route);

struct Target {
  Route route = Route::kUnknown;
  std::string_view id;     // of kMovie, as it stands in the path
  std::string_view query;  // after the '?', still encoded
};
// Of a request target in origin form ("/path?query") or absolute form ("http://host/path").
Target ParseTarget(std::string_view target);

// The parameters of a query string, decoded ('+' is a space). kInvalidArgument: a broken escape,
// bytes that are not UTF-8, a control character, a name that comes twice or is not one of `known`.
class QueryParameters {
 public:
  static absl::StatusOr<QueryParameters> Parse(std::string_view query,
                                               const std::vector<std::string_view>& known);
  std::optional<std::string_view> Find(std::string_view name) const;

 private:
  std::vector<std::pair<std::string, std::string>> parameters_;
};

// nullopt where `text` is not a plain decimal number up to 2^63 - 1.
std::optional<uint64_t> ParseDecimal(std::string_view text);

}  // namespace marquee::http

#endif  // MARQUEE_HTTP_ROUTES_H_
