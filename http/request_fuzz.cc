// The first byte says what the rest is: a body of ratings, a query string, a cursor, a position, or
// the target of a request to the API. What is taken must come back from its own encoding.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/status.h"
#include "domain/utf8.h"
#include "http/api.h"
#include "http/cursor.h"
#include "http/ratings_body.h"

namespace marquee::http {
namespace {

void FuzzBody(std::string_view text) {
  domain::Scale scale;
  auto parsed = ParseRatingsBody(text, scale, 100, 1'700'000'000);
  if (auto* problem = std::get_if<Problem>(&parsed)) {
    MARQUEE_CHECK(problem->status == 400 || problem->status == 413);
    MARQUEE_CHECK(domain::IsValidUtf8(ProblemJson(*problem)));
    return;
  }
  const auto& posted = std::get<PostedRatings>(parsed);
  MARQUEE_CHECK(!posted.ratings.empty() && posted.ratings.size() <= 100);
  for (const PostedRating& rating : posted.ratings) {
    MARQUEE_CHECK(scale.Contains(rating.value) && rating.movie.value() > 0 &&
                  rating.time_seconds >= 0);
  }
}

void FuzzQuery(std::string_view text) {
  auto parameters = QueryParameters::Parse(text, {"query", "a", "limit"});
  if (!parameters.ok()) return;
  for (std::string_view name : {"query", "a", "limit"}) {
    if (auto value = parameters->Find(name)) MARQUEE_CHECK(domain::IsValidUtf8(*value));
  }
}

void FuzzCursor(std::string_view text) {
  catalogue::ListQuery query;
  if (ApplyCursor(text, &query).ok()) MARQUEE_CHECK(EncodeCursor(query, *query.after) == text);
}

void FuzzPosition(std::string_view text) {
  auto position = LogPosition::Decode(text);
  if (position.ok()) MARQUEE_CHECK(position->Encode() == text);
}

void FuzzTarget(std::string_view text) {
  static ManualClock clock;
  static Health health(clock);
  static prometheus::Registry metrics;
  static Parts parts = [] {
    Parts made;
    made.health = &health;
    made.metrics = &metrics;
    made.clock = &clock;
    return made;
  }();
  static Api api(ServerOptions(), parts);
  Request request;
  request.method = "GET";
  request.target = text;
  auto understood = api.Understand(request);
  if (auto* task = std::get_if<Task>(&understood))
    MARQUEE_CHECK(api.Answer(*task, nullptr).status == 200);
}

}  // namespace
}  // namespace marquee::http

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using marquee::http::FuzzBody;
  using marquee::http::FuzzCursor;
  using marquee::http::FuzzPosition;
  using marquee::http::FuzzQuery;
  using marquee::http::FuzzTarget;
  if (size == 0) return 0;
  std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0]) {
    case 'b':
      FuzzBody(text);
      break;
    case 'q':
      FuzzQuery(text);
      break;
    case 'c':
      FuzzCursor(text);
      break;
    case 'p':
      FuzzPosition(text);
      break;
    default:
      FuzzTarget(text);
  }
  return 0;
}
