#include "http/routes.h"

#include <algorithm>
#include <charconv>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "domain/utf8.h"

namespace marquee::http {
namespace {

constexpr std::string_view kMoviePrefix = "/api/v1/movies/";

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

absl::StatusOr<std::string> Decode(std::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i] == '+' ? ' ' : text[i];
    if (c == '%') {
      bool whole = i + 2 < text.size();
      int high = whole ? HexDigit(text[i + 1]) : -1;
      int low = whole ? HexDigit(text[i + 2]) : -1;
      if (high < 0 || low < 0)
        return absl::InvalidArgumentError("the query has a '%' without two hexadecimal digits");
      c = static_cast<char>(high << 4 | low);
      i += 2;
    }
    if (static_cast<uint8_t>(c) < 0x20 || c == 0x7f) {
      return absl::InvalidArgumentError("the query has a control character");
    }
    decoded += c;
  }
  if (!domain::IsValidUtf8(decoded)) return absl::InvalidArgumentError("the query is not UTF-8");
  return decoded;
}

}  // namespace

const std::array<RouteInfo, kRoutes - 1> kRouteTable = {{
    {Route::kLivez, "/livez", "GET, HEAD"},
    {Route::kReadyz, "/readyz", "GET, HEAD"},
    {Route::kMetrics, "/metrics", "GET, HEAD"},
    {Route::kLag, "/lag", "GET, HEAD"},
    {Route::kVersion, "/version", "GET, HEAD"},
    {Route::kOpenApi, "/openapi.json", "GET, HEAD"},
    {Route::kMovie, "/api/v1/movies/{id}", "GET, HEAD"},
    {Route::kMovies, "/api/v1/movies", "GET, HEAD"},
    {Route::kTop, "/api/v1/top", "GET, HEAD"},
    {Route::kRatings, "/api/v1/ratings", "POST"},
}};

std::string_view RouteName(Route route) {
  return route == Route::kUnknown ? "unknown" : kRouteTable[static_cast<size_t>(route)].path;
}

Target ParseTarget(std::string_view target) {
  Target parsed;
  if (!target.starts_with('/')) {
    size_t authority = target.find("://");
    if (authority == std::string_view::npos) return parsed;
    size_t path = target.find('/', authority + 3);
    if (path == std::string_view::npos) return parsed;
    target.remove_prefix(path);
  }
  target = target.substr(0, target.find('#'));
  size_t question = target.find('?');
  if (question != std::string_view::npos) parsed.query = target.substr(question + 1);
  std::string_view path = target.substr(0, question);
  if (path.starts_with(kMoviePrefix)) {
    std::string_view id = path.substr(kMoviePrefix.size());
    if (id.empty() || id.find('/') != std::string_view::npos) return parsed;
    parsed.route = Route::kMovie;
    parsed.id = id;
    return parsed;
  }
  for (const RouteInfo& info : kRouteTable) {
    if (info.path == path) parsed.route = info.route;
  }
  return parsed;
}

absl::StatusOr<QueryParameters> QueryParameters::Parse(std::string_view query,
                                                       const std::vector<std::string_view>& known) {
  QueryParameters parameters;
  while (!query.empty()) {
    size_t end = std::min(query.find('&'), query.size());
    std::string_view part = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    if (part.empty()) continue;
    size_t equals = std::min(part.find('='), part.size());
    MARQUEE_ASSIGN_OR_RETURN(std::string name, Decode(part.substr(0, equals)));
    MARQUEE_ASSIGN_OR_RETURN(std::string value,
                             Decode(part.substr(std::min(equals + 1, part.size()))));
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "unknown parameter '", name, "'; ",
          known.empty() ? "this route takes none"
                        : absl::StrCat("known here: ",
                                       absl::StrJoin(known, ", ", [](std::string* out, auto text) {
                                         out->append(text);
                                       }))));
    }
    if (parameters.Find(name)) {
      return absl::InvalidArgumentError(absl::StrCat("the parameter '", name, "' is given twice"));
    }
    parameters.parameters_.emplace_back(std::move(name), std::move(value));
  }
  return parameters;
}

std::optional<std::string_view> QueryParameters::Find(std::string_view name) const {
  for (const auto& [key, value] : parameters_) {
    if (key == name) return value;
  }
  return std::nullopt;
}

std::optional<uint64_t> ParseDecimal(std::string_view text) {
  uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  bool leading_zero = text.size() > 1 && text[0] == '0';
  if (error != std::errc() || end != text.data() + text.size() || leading_zero ||
      value >> 63 != 0) {
    return std::nullopt;
  }
  return value;
}

}  // namespace marquee::http
