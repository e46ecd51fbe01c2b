#include "http/api.h"

#include <algorithm>
#include <array>
#include <sstream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/digest.h"
#include "base/status.h"
#include "domain/rating.h"
#include "http/cursor.h"
#include "http/openapi.h"
#include "http/ratings_body.h"
#include "prometheus/text_serializer.h"
#include "spdlog/spdlog.h"

namespace marquee::http {
namespace {

using catalogue::SortBy;

constexpr int kRetryAfterSeconds = 1;
constexpr size_t kSearchBytesMax = 256;
constexpr size_t kGenreBytesMax = 64;

struct SortName {
  std::string_view name;
  SortBy sort;
  bool descending;  // where `order` does not say
};
constexpr std::array<SortName, 6> kSorts = {{{"bayesian_mean", SortBy::kBayesianMean, true},
                                             {"mean", SortBy::kMean, true},
                                             {"count", SortBy::kCount, true},
                                             {"title", SortBy::kTitle, false},
                                             {"year", SortBy::kYear, true},
                                             {"id", SortBy::kId, false}}};

Problem Make(int status, std::string detail, std::string type = {}) {
  Problem problem;
  problem.status = status;
  problem.type = std::move(type);
  problem.detail = std::move(detail);
  return problem;
}

// For errors that a caller's request cannot be the reason of.
Reply ReplyOfFailure(const absl::Status& status) {
  if (absl::IsUnavailable(status)) {
    Reply reply = ReplyOf(Make(503, "the catalogue is busy; try again later"));
    reply.retry_after_seconds = kRetryAfterSeconds;
    return reply;
  }
  spdlog::error("http: the catalogue cannot be read: {}", std::string(status.message()));
  return ReplyOf(Make(
      500, absl::IsDataLoss(status)
               ? "the catalogue is damaged; whoever runs this server finds more in its log"
               : "the catalogue cannot be read; whoever runs this server finds more in its log"));
}

Reply ReplyOfBadRequest(const absl::Status& status) {
  bool other = absl::IsFailedPrecondition(status);
  return ReplyOf(Make(400, std::string(status.message()), other ? "cursor-of-another-query" : ""));
}

Reply NotServedHere(std::string_view what, std::string_view service) {
  return ReplyOf(Make(
      404,
      absl::StrCat("this process does not serve ", absl::string_view(what.data(), what.size()),
                   "; ask the one that runs ", absl::string_view(service.data(), service.size())),
      "not-served-here"));
}

// Weak comparison, as RFC 9110 has it for If-None-Match.
bool Matches(std::string_view if_none_match, std::string_view etag) {
  while (!if_none_match.empty()) {
    size_t comma = std::min(if_none_match.find(','), if_none_match.size());
    std::string_view one = if_none_match.substr(0, comma);
    if_none_match.remove_prefix(std::min(comma + 1, if_none_match.size()));
    while (one.starts_with(' ') || one.starts_with('\t')) one.remove_prefix(1);
    while (one.ends_with(' ') || one.ends_with('\t')) one.remove_suffix(1);
    if (one == "*") return true;
    if (one.starts_with("W/")) one.remove_prefix(2);
    if (one == etag) return true;
  }
  return false;
}

SharedBody Render(std::string body, int64_t as_of, uint64_t read_after, uint64_t prior_number) {
  auto rendered = std::make_shared<RenderedBody>();
  rendered->etag = absl::StrFormat("\"p%d-%016x\"", prior_number, DigestOf(body).low);
  rendered->body = std::move(body);
  rendered->as_of = as_of;
  rendered->read_after = read_after;
  rendered->prior_number = prior_number;
  return rendered;
}

Reply ReplyOf(SharedBody rendered, const std::string& if_none_match) {
  Reply reply;
  if (!if_none_match.empty() && Matches(if_none_match, rendered->etag)) reply.status = 304;
  reply.shared = std::move(rendered);
  return reply;
}

std::string KeyOf(const Task& task) {
  const catalogue::ListQuery& list = task.list;
  return absl::StrCat(static_cast<int>(list.sort), list.descending ? "d" : "a",
                      list.rated_only ? "r" : "e", list.limit, ":", list.text.size(), ":",
                      list.text, list.genre.size(), ":", list.genre, task.cursor);
}

bool IsJson(std::string_view content_type) {
  content_type = content_type.substr(0, content_type.find(';'));
  while (content_type.ends_with(' ')) content_type.remove_suffix(1);
  return absl::EqualsIgnoreCase({content_type.data(), content_type.size()}, "application/json");
}

bool IsIdempotencyKey(std::string_view key) {
  return !key.empty() && key.size() <= domain::kIdempotencyKeyBytesMax &&
         std::all_of(key.begin(), key.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

}  // namespace

Reply ReplyOf(const Problem& problem) {
  Reply reply;
  reply.status = problem.status;
  reply.content_type = "application/problem+json";
  reply.body = ProblemJson(problem);
  return reply;
}

Api::Api(const ServerOptions& options, const Parts& parts)
    : options_(options),
      parts_(parts),
      prior_(*parts.clock, options.bayesian_weight, options.prior_age_max),
      movies_(parts.visibility ? parts.visibility->changed_movies() : no_changes_),
      pages_(parts.visibility ? parts.visibility->changed_movies() : no_changes_) {}

std::variant<Reply, Task> Api::Understand(const Request& request) {
  Target target = ParseTarget(request.target);
  if (target.route == Route::kUnknown) {
    return ReplyOf(
        Make(404, "no such route; /openapi.json lists those there are", "unknown-route"));
  }
  bool reads = request.method == "GET" || request.method == "HEAD";
  std::string_view allow = kRouteTable[static_cast<size_t>(target.route)].allow;
  if (target.route == Route::kRatings ? request.method != "POST" : !reads) {
    Reply reply = ReplyOf(Make(
        405, absl::StrCat("this route takes ", absl::string_view(allow.data(), allow.size()))));
    reply.allow = allow;
    return reply;
  }
  switch (target.route) {
    case Route::kMovie:
      return UnderstandMovie(request, target);
    case Route::kMovies:
    case Route::kTop:
      return UnderstandList(request, target);
    case Route::kRatings:
      return UnderstandRatings(request, target);
    default:
      Task task;
      task.route = target.route;
      return task;
  }
}

absl::Status Api::ReadWait(const QueryParameters& parameters, Task* task) const {
  auto position = parameters.Find("wait-for");
  auto timeout = parameters.Find("timeout");
  if (!position) {
    if (timeout) return absl::InvalidArgumentError("'timeout' goes with 'wait-for'");
    return absl::OkStatus();
  }
  Wait wait{.position = {}, .timeout = options_.wait_max};
  MARQUEE_ASSIGN_OR_RETURN(wait.position, LogPosition::Decode(*position));
  if (timeout) {
    std::optional<uint64_t> milliseconds = ParseDecimal(*timeout);
    if (!milliseconds)
      return absl::InvalidArgumentError("'timeout' has to be a whole number of milliseconds");
    wait.timeout = std::min(wait.timeout, absl::Milliseconds(static_cast<int64_t>(*milliseconds)));
  }
  task->wait = std::move(wait);
  return absl::OkStatus();
}

std::variant<Reply, Task> Api::UnderstandMovie(const Request& request, const Target& target) {
  if (!parts_.catalogue || !parts_.visibility) return NotServedHere("movies", "moviedatasink");
  Task task;
  task.route = Route::kMovie;
  if (request.if_none_match) task.if_none_match = *request.if_none_match;
  std::optional<uint64_t> id = ParseDecimal(target.id);
  if (!id || *id == 0)
    return ReplyOf(Make(400, "a movie's id is a whole number from 1 to 9223372036854775807"));
  task.movie = domain::MovieId(*id);
  if (target.query.empty()) return task;
  absl::StatusOr<QueryParameters> parameters =
      QueryParameters::Parse(target.query, {"wait-for", "timeout"});
  if (!parameters.ok()) return ReplyOfBadRequest(parameters.status());
  if (absl::Status status = ReadWait(*parameters, &task); !status.ok())
    return ReplyOfBadRequest(status);
  return task;
}

absl::Status Api::ReadList(const QueryParameters& parameters, Task* task) const {
  catalogue::ListQuery& list = task->list;
  list.prior.weight = options_.bayesian_weight;
  if (auto text = parameters.Find("query")) list.text = *text;
  if (auto genre = parameters.Find("genre")) list.genre = *genre;
  if (list.text.size() > kSearchBytesMax || list.genre.size() > kGenreBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("'query' may have ", kSearchBytesMax, " bytes and 'genre' ", kGenreBytesMax));
  }
  std::string_view sort = parameters.Find("sort").value_or("bayesian_mean");
  auto found = std::find_if(kSorts.begin(), kSorts.end(),
                            [&](const SortName& each) { return each.name == sort; });
  if (found == kSorts.end()) {
    return absl::InvalidArgumentError(
        "'sort' has to be bayesian_mean, mean, count, title, year or id");
  }
  list.sort = found->sort;
  list.descending = found->descending;
  if (auto order = parameters.Find("order")) {
    if (*order != "asc" && *order != "desc")
      return absl::InvalidArgumentError("'order' has to be asc or desc");
    list.descending = *order == "desc";
  }
  if (auto limit = parameters.Find("limit")) {
    std::optional<uint64_t> number = ParseDecimal(*limit);
    if (!number || *number < 1 || *number > catalogue::kListLimitMax) {
      return absl::InvalidArgumentError(
          absl::StrCat("'limit' has to be a whole number from 1 to ", catalogue::kListLimitMax));
    }
    list.limit = *number;
  }
  if (auto cursor = parameters.Find("cursor")) {
    task->cursor = *cursor;
    MARQUEE_RETURN_IF_ERROR(ApplyCursor(*cursor, &list));
  }
  return ReadWait(parameters, task);
}

std::variant<Reply, Task> Api::UnderstandList(const Request& request, const Target& target) {
  if (!parts_.catalogue || !parts_.visibility) return NotServedHere("movies", "moviedatasink");
  Task task;
  task.route = target.route;
  task.list.rated_only = target.route == Route::kTop;
  if (request.if_none_match) task.if_none_match = *request.if_none_match;
  std::vector<std::string_view> known = {"query", "genre",  "sort",     "order",
                                         "limit", "cursor", "wait-for", "timeout"};
  if (target.route == Route::kTop) known = {"genre", "limit", "cursor", "wait-for", "timeout"};
  absl::StatusOr<QueryParameters> parameters = QueryParameters::Parse(target.query, known);
  if (!parameters.ok()) return ReplyOfBadRequest(parameters.status());
  if (absl::Status status = ReadList(*parameters, &task); !status.ok())
    return ReplyOfBadRequest(status);
  return task;
}

std::variant<Reply, Task> Api::UnderstandRatings(const Request& request, const Target& target) {
  if (!parts_.intake || !parts_.scale)
    return NotServedHere("POST /api/v1/ratings", "ratingproducer --listen");
  if (!target.query.empty()) return ReplyOf(Make(400, "this route takes no parameters"));
  if (!request.content_type || !IsJson(*request.content_type)) {
    return ReplyOf(Make(415, "expected Content-Type: application/json"));
  }
  if (request.content_encoding &&
      !absl::EqualsIgnoreCase(
          absl::string_view(request.content_encoding->data(), request.content_encoding->size()),
          "identity")) {
    return ReplyOf(Make(415, "expected no Content-Encoding"));
  }
  if (request.idempotency_key && !IsIdempotencyKey(*request.idempotency_key)) {
    return ReplyOf(
        Make(400, absl::StrCat("an Idempotency-Key is 1 to ", domain::kIdempotencyKeyBytesMax,
                               " visible ASCII characters")));
  }
  auto parsed = ParseRatingsBody(request.body, *parts_.scale, options_.ratings_per_request_max,
                                 absl::ToUnixSeconds(parts_.clock->Now()));
  if (auto* problem = std::get_if<Problem>(&parsed)) return ReplyOf(*problem);
  Task task;
  task.route = Route::kRatings;
  task.posted = std::move(std::get<PostedRatings>(parsed));
  if (request.idempotency_key) task.posted->idempotency_key = std::string(*request.idempotency_key);
  return task;
}

Reply Api::Answer(const Task& task, catalogue::Reader* reader) {
  switch (task.route) {
    case Route::kMovie:
      MARQUEE_CHECK(reader != nullptr);
      return AnswerMovie(task, *reader);
    case Route::kMovies:
    case Route::kTop:
      MARQUEE_CHECK(reader != nullptr);
      return AnswerList(task, *reader);
    default:
      return AnswerProcess(task.route);
  }
}

Reply Api::AnswerMovie(const Task& task, catalogue::Reader& reader) {
  absl::StatusOr<catalogue::Prior> prior = prior_.Current(reader);
  if (!prior.ok()) return ReplyOfFailure(prior.status());
  if (SharedBody cached = movies_.Find(task.movie, prior->number)) {
    return ReplyOf(std::move(cached), task.if_none_match);
  }
  ChangedMovies& changed = parts_.visibility->changed_movies();
  uint64_t read_after = changed.told();
  absl::StatusOr<std::optional<catalogue::Entry>> entry = reader.Get(task.movie);
  if (!entry.ok()) return ReplyOfFailure(entry.status());
  changed.Observe(reader.SeenCommitNumber());
  if (!*entry) {
    return ReplyOf(
        Make(404, absl::StrCat("there is no movie ", task.movie.value()), "no-such-movie"));
  }
  std::string body;
  AppendMovieJson(**entry, *prior, &body);
  body += '\n';
  SharedBody rendered =
      Render(std::move(body), (*entry)->as_of.value_or(-1), read_after, prior->number);
  movies_.Put(task.movie, rendered);
  return ReplyOf(std::move(rendered), task.if_none_match);
}

Reply Api::AnswerList(const Task& task, catalogue::Reader& reader) {
  catalogue::ListQuery query = task.list;
  if (!query.after) {
    absl::StatusOr<catalogue::Prior> prior = prior_.Current(reader);
    if (!prior.ok()) return ReplyOfFailure(prior.status());
    query.prior = *prior;
  }
  std::string key = KeyOf(task);
  if (SharedBody cached = pages_.Find(key, query.prior.number)) {
    return ReplyOf(std::move(cached), task.if_none_match);
  }
  ChangedMovies& changed = parts_.visibility->changed_movies();
  uint64_t read_after = changed.told();
  absl::StatusOr<catalogue::ListPage> page = reader.List(query);
  if (absl::IsInvalidArgument(page.status())) return ReplyOfBadRequest(page.status());
  if (!page.ok()) return ReplyOfFailure(page.status());
  changed.Observe(reader.SeenCommitNumber());
  std::optional<std::string> next;
  if (page->end) next = EncodeCursor(query, *page->end);
  SharedBody rendered =
      Render(PageJson(*page, query.prior, next), -1, read_after, query.prior.number);
  pages_.Put(key, rendered);
  return ReplyOf(std::move(rendered), task.if_none_match);
}

Reply Api::AnswerHealth(const Health::Report& report, std::string_view detail) const {
  Reply reply;
  if (report.ok) {
    reply.body = "{\"status\":\"ok\"}\n";
    return reply;
  }
  Problem problem = Make(503, std::string(detail));
  problem.reasons.assign(report.reasons.begin(), report.reasons.end());
  reply = ReplyOf(problem);
  reply.retry_after_seconds = kRetryAfterSeconds;
  return reply;
}

Reply Api::AnswerProcess(Route route) const {
  Reply reply;
  switch (route) {
    case Route::kLivez:
      return AnswerHealth(parts_.health->Alive(), "a component is stuck");
    case Route::kReadyz:
      return AnswerHealth(parts_.health->Ready(), "a component is not ready");
    case Route::kMetrics: {
      std::ostringstream text;
      prometheus::TextSerializer().Serialize(text, parts_.metrics->Collect());
      reply.content_type = "text/plain; version=0.0.4; charset=utf-8";
      reply.body = std::move(text).str();
      return reply;
    }
    case Route::kLag: {
      int64_t total = 0;
      reply.body = "{\"shards\":[";
      for (const ShardLag& lag : parts_.health->Lags()) {
        if (reply.body.back() == '}') reply.body += ',';
        reply.body += "{\"group\":";
        AppendJsonString(lag.group, &reply.body);
        reply.body += ",\"topic\":";
        AppendJsonString(lag.topic, &reply.body);
        absl::StrAppend(&reply.body, ",\"shard\":", lag.shard, ",\"records\":", lag.records, "}");
        total += lag.records;
      }
      absl::StrAppend(&reply.body, "],\"records\":", total, "}\n");
      return reply;
    }
    case Route::kVersion:
      reply.body = "{\"name\":\"marquee\",\"version\":";
      AppendJsonString(parts_.version, &reply.body);
      reply.body += "}\n";
      return reply;
    default:
      MARQUEE_CHECK(route == Route::kOpenApi);
      reply.body = OpenApiText();
      return reply;
  }
}

Reply Api::AnswerPosted(size_t ratings, const absl::StatusOr<LogPosition>& position) {
  if (position.ok()) {
    Reply reply;
    reply.status = 202;
    reply.body =
        absl::StrCat("{\"position\":\"", position->Encode(), "\",\"accepted\":", ratings, "}\n");
    return reply;
  }
  std::string detail(position.status().message());
  switch (position.status().code()) {
    case absl::StatusCode::kFailedPrecondition:
      return ReplyOf(Make(422, std::move(detail), "idempotency-key-reused"));
    case absl::StatusCode::kInvalidArgument:
      return ReplyOf(Make(400, std::move(detail)));
    case absl::StatusCode::kResourceExhausted: {
      Reply reply = ReplyOf(Make(429, std::move(detail)));
      reply.retry_after_seconds = kRetryAfterSeconds;
      return reply;
    }
    case absl::StatusCode::kDeadlineExceeded:
      return ReplyOf(Make(504, std::move(detail), "outcome-unknown"));
    default: {
      if (!absl::IsUnavailable(position.status())) {
        spdlog::error("http: ratings were not taken: {}", detail);
        detail = "the ratings could not be stored";
      }
      Reply reply = ReplyOf(Make(503, std::move(detail)));
      reply.retry_after_seconds = kRetryAfterSeconds;
      return reply;
    }
  }
}

Reply Api::AnswerLate(const Wait& wait) {
  return ReplyOf(
      Make(504,
           absl::StrCat("the position was not visible after ",
                        absl::ToInt64Milliseconds(wait.timeout), " ms; ask again, it is not lost"),
           "not-visible-yet"));
}

Reply Api::AnswerAnotherLog() {
  return ReplyOf(Make(
      409,
      "the position is of another log than the one this catalogue was made from; it will never be "
      "visible here",
      "another-log"));
}

Reply Api::AnswerBusy(std::string detail) {
  Reply reply = ReplyOf(Make(503, std::move(detail)));
  reply.retry_after_seconds = kRetryAfterSeconds;
  return reply;
}

}  // namespace marquee::http
