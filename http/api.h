// What the API answers, apart from sockets: a request is understood (Understand), then, unless that
// is already the answer, it may have to wait for a position, and is answered from the catalogue
// (Answer) or handed to the intake.
//
// Ownership: borrows what Parts points to. Threads: any; each with a reader of its own.
#ifndef MARQUEE_HTTP_API_H_
#define MARQUEE_HTTP_API_H_

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "catalogue/catalogue.h"
#include "http/body_cache.h"
#include "http/json.h"
#include "http/prior_keeper.h"
#include "http/rating_intake.h"
#include "http/routes.h"
#include "http/server.h"

namespace marquee::http {

// Borrows its texts.
struct Request {
  std::string_view method;
  std::string_view target;
  std::string_view body;
  std::optional<std::string_view> if_none_match;
  std::optional<std::string_view> content_type;
  std::optional<std::string_view> content_encoding;
  std::optional<std::string_view> idempotency_key;
};

struct Reply {
  int status = 200;
  std::string_view content_type = "application/json";
  std::string body;
  SharedBody shared;            // instead of `body`
  std::string_view allow;       // of a 405
  int retry_after_seconds = 0;  // 0: says nothing of it

  std::string_view text() const { return shared ? std::string_view(shared->body) : body; }
};
Reply ReplyOf(const Problem& problem);

struct Wait {
  LogPosition position;
  absl::Duration timeout;
};

// A request that was understood.
struct Task {
  Route route = Route::kUnknown;
  domain::MovieId movie;
  catalogue::ListQuery list;
  std::string cursor;
  std::optional<Wait> wait;
  std::string if_none_match;
  std::optional<PostedRatings> posted;  // to be handed to the intake; answered with AnswerPosted

  // Takes longer than others: is done apart, so that they do not wait behind it.
  bool IsSlow() const {
    return route == Route::kMovies || route == Route::kTop || route == Route::kMetrics;
  }
};

class Api {
 public:
  Api(const ServerOptions& options, const Parts& parts);

  std::variant<Reply, Task> Understand(const Request& request);
  // REQUIRES: `task` has nothing to wait for any more, and is not for the intake. `reader` may be
  // null where there is no catalogue.
  Reply Answer(const Task& task, catalogue::Reader* reader);

  static Reply AnswerPosted(size_t ratings, const absl::StatusOr<LogPosition>& position);
  static Reply AnswerLate(const Wait& wait);  // the deadline of a wait-for
  static Reply AnswerAnotherLog();
  static Reply AnswerBusy(std::string detail);

 private:
  std::variant<Reply, Task> UnderstandMovie(const Request& request, const Target& target);
  std::variant<Reply, Task> UnderstandList(const Request& request, const Target& target);
  std::variant<Reply, Task> UnderstandRatings(const Request& request, const Target& target);
  absl::Status ReadWait(const QueryParameters& parameters, Task* task) const;
  absl::Status ReadList(const QueryParameters& parameters, Task* task) const;
  Reply AnswerMovie(const Task& task, catalogue::Reader& reader);
  Reply AnswerList(const Task& task, catalogue::Reader& reader);
  Reply AnswerProcess(Route route) const;
  Reply AnswerHealth(const Health::Report& report, std::string_view detail) const;

  const ServerOptions options_;
  const Parts parts_;
  PriorKeeper prior_;
  ChangedMovies no_changes_;  // where there is no visibility
  MovieCache movies_;
  PageCache pages_;
};

}  // namespace marquee::http

#endif  // MARQUEE_HTTP_API_H_
