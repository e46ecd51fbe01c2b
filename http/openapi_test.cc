// docs/openapi.json and the router say the same.
#include "http/openapi.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <cctype>
#include <set>
#include <string>

#include "http/api.h"

namespace marquee::http {
namespace {

std::set<std::string> OperationsOfDocument() {
  std::set<std::string> operations;
  boost::json::value document = boost::json::parse(std::string(OpenApiText()));
  for (const auto& path : document.at("paths").as_object()) {
    for (const auto& method : path.value().as_object()) {
      std::string name(method.key());
      std::transform(name.begin(), name.end(), name.begin(),
                     [](unsigned char c) { return std::toupper(c); });
      operations.insert(name + " " + std::string(path.key()));
    }
  }
  return operations;
}

TEST(OpenApiTest, EveryRouteOfTheRouterIsInTheDocumentAndTheOtherWayRound) {
  std::set<std::string> routes;
  for (const RouteInfo& info : kRouteTable) {
    std::string allow(info.allow);
    routes.insert(allow.substr(0, allow.find(',')) + " " + std::string(info.path));
  }
  EXPECT_EQ(OperationsOfDocument(), routes);
}

TEST(OpenApiTest, EveryRouteOfTheDocumentAnswersSomethingElseThanUnknownRoute) {
  ManualClock clock;
  Health health(clock);
  prometheus::Registry metrics;
  Parts parts;
  parts.health = &health;
  parts.metrics = &metrics;
  parts.clock = &clock;
  Api api(ServerOptions(), parts);
  for (const std::string& operation : OperationsOfDocument()) {
    size_t space = operation.find(' ');
    std::string method = operation.substr(0, space), target = operation.substr(space + 1);
    if (size_t id = target.find("{id}"); id != std::string::npos) target.replace(id, 4, "1");
    Request request;
    request.method = method;
    request.target = target;
    auto understood = api.Understand(request);
    auto* reply = std::get_if<Reply>(&understood);
    if (reply == nullptr) continue;
    EXPECT_EQ(reply->body.find("unknown-route"), std::string::npos) << operation;
    EXPECT_NE(reply->status, 405) << operation;
  }
}

}  // namespace
}  // namespace marquee::http
