#include "http/connection.h"

#include <fmt/format.h>

#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/string.hpp>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace marquee::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using beast::http::field;
using boost::system::error_code;

constexpr size_t kReadBytes = 4 << 10;
constexpr size_t kBodyReadBytes = 64 << 10;
constexpr size_t kKeptBufferBytes = 64 << 10;
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

std::string_view View(beast::string_view text) { return {text.data(), text.size()}; }

Problem Make(int status, std::string detail) {
  Problem problem;
  problem.status = status;
  problem.detail = std::move(detail);
  return problem;
}

// What of a request must be there while it is understood on another thread.
struct RequestCopy {
  explicit RequestCopy(const Request& request, std::string taken_body)
      : method(request.method), target(request.target), body(std::move(taken_body)) {
    auto copy = [](std::optional<std::string_view> from, std::optional<std::string>* to) {
      if (from) *to = std::string(*from);
    };
    copy(request.content_type, &content_type);
    copy(request.content_encoding, &content_encoding);
    copy(request.idempotency_key, &idempotency_key);
  }
  Request request() const {
    return {.method = method,
            .target = target,
            .body = body,
            .if_none_match = std::nullopt,
            .content_type = content_type,
            .content_encoding = content_encoding,
            .idempotency_key = idempotency_key};
  }

  std::string method, target, body;
  std::optional<std::string> content_type, content_encoding, idempotency_key;
};

}  // namespace

Connection::Connection(asio::ip::tcp::socket socket, std::shared_ptr<IoThread> thread,
                       std::shared_ptr<ServerState> server)
    : socket_(std::move(socket)),
      thread_holder_(thread),
      thread_(*thread),
      server_(std::move(server)) {
  ++server_->connections;
  server_->metrics.connections().Increment();
}

Connection::~Connection() {
  --server_->connections;
  if (refused_) --server_->refused;
  server_->metrics.connections().Decrement();
  server_->connection_closed();
}

void Connection::Start() {
  thread_.Add(shared_from_this());
  error_code ignored;
  socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
  if (server_->stopping) return Close();
  Work();
}

void Connection::StartRefused() {
  refused_ = true;
  ++server_->refused;
  server_->metrics.connections_refused().Increment();
  thread_.Add(shared_from_this());
  if (server_->stopping) return Close();
  RespondAndClose(Api::AnswerBusy(absl::StrCat("more than ", server_->options.connections_max,
                                               " connections are open; try again later")));
}

void Connection::SetDeadline(absl::Duration timeout) {
  deadline_ = timeout == absl::InfiniteDuration() ? timeout : thread_.clock().Uptime() + timeout;
  thread_.ExpectDeadline(deadline_);
}

void Connection::CheckDeadline(absl::Duration now) {
  if (now < deadline_) return thread_.ExpectDeadline(deadline_);
  deadline_ = absl::InfiniteDuration();
  switch (state_) {
    case State::kReading:
      if (progress_ == Progress::kIdle) return Close();
      return RespondAndClose(
          ReplyOf(Make(408, progress_ == Progress::kBody ? "the body did not come in time"
                                                         : "the header did not come in time")));
    case State::kAnswering:
      if (!wait_) {
        return Respond(Api::AnswerPosted(
            0, absl::DeadlineExceededError(
                   "whether the ratings were stored is not known; send them again with the "
                   "same Idempotency-Key")));
      }
      // False: it has become visible, and the answer is on its way.
      if (waiter_ && server_->parts.visibility->Cancel(*waiter_)) {
        waiter_.reset();
        Respond(Api::AnswerLate(*std::exchange(wait_, std::nullopt)));
      }
      return;
    default:
      return Close();
  }
}

void Connection::CloseWhenAnswered() {
  if (state_ == State::kReading && progress_ != Progress::kHeader && progress_ != Progress::kBody)
    Close();
}

// --- Reading
// -----------------------------------------------------------------------------------------------

void Connection::Read() {
  if (read_under_way_) return;
  read_under_way_ = true;
  if (buffer_.size() == 0 && buffer_.capacity() > kKeptBufferBytes) buffer_.shrink_to_fit();
  size_t room =
      progress_ == Progress::kBody || state_ == State::kLingering ? kBodyReadBytes : kReadBytes;
  socket_.async_read_some(
      buffer_.prepare(room),
      [self = shared_from_this()](const error_code& ec, size_t bytes) { self->OnRead(ec, bytes); });
}

void Connection::OnRead(const error_code& ec, size_t bytes) {
  read_under_way_ = false;
  if (state_ == State::kClosed) return;
  if (close_after_write_) {
    lingered_bytes_ += bytes;
    if (state_ != State::kLingering) return;
    if (ec || lingered_bytes_ > kLingerBytesMax) return Close();
    return Read();
  }
  if (ec) return Close();
  buffer_.commit(bytes);
  Work();
}

void Connection::Work() {
  working_ = true;
  while (state_ == State::kReading && out_.size() < kAnswerBytesGathered && ParseSome()) {
  }
  working_ = false;
  if (state_ == State::kClosed || state_ == State::kAnswering) return;
  if (!out_.empty()) return Write();
  WatchProgress();
  Read();
}

void Connection::BeginRequest() {
  parser_.emplace();
  // HasWholeHeader has seen to the limit.
  parser_->header_limit(std::numeric_limits<uint32_t>::max());
  parser_->body_limit(server_->options.body_bytes_max);
  parser_->eager(true);
  header_seen_ = false;
  route_ = Route::kUnknown;
}

// Starts the clock of what the client is at, when it gets there.
void Connection::WatchProgress() {
  Progress progress = Progress::kIdle;
  if (parser_ && header_seen_) {
    progress = Progress::kBody;
  } else if (buffer_.size() > 0) {
    progress = Progress::kHeader;
  }
  if (progress == progress_) return;
  progress_ = progress;
  const ServerOptions& options = server_->options;
  SetDeadline(progress == Progress::kIdle     ? options.idle_timeout
              : progress == Progress::kHeader ? options.header_timeout
                                              : options.body_timeout);
}

bool Connection::ParseSome() {
  if (buffer_.size() == 0) return false;
  if (!parser_) BeginRequest();
  auto data = buffer_.data();
  std::string_view raw(static_cast<const char*>(data.data()), data.size());
  // The parser gets a header whole: what it has taken can be looked at no more.
  if (!header_seen_ && !HasWholeHeader(raw)) return state_ != State::kReading;
  error_code ec;
  size_t used = parser_->put(data, ec);
  if (ec && ec != beast::http::error::need_more) {
    OnParseError(ec);
    return true;
  }
  if (!header_seen_ && parser_->is_header_done()) {
    header_seen_ = true;
    if (!OnHeader(raw)) return true;
  }
  buffer_.consume(used);
  if (parser_->is_done()) {
    Handle();
    return true;
  }
  return used > 0;
}

bool Connection::HasWholeHeader(std::string_view raw) {
  size_t limit = server_->options.header_bytes_max;
  size_t end = raw.find("\r\n\r\n");
  if (end != std::string_view::npos && end <= limit) return true;
  if (raw.size() <= limit) return false;
  // Nothing but a request line so far: it is the target that is too long.
  if (raw.find('\n') > limit) {
    RespondAndClose(
        ReplyOf(Make(414, absl::StrCat("the target is longer than ", kTargetBytesMax, " bytes"))));
  } else {
    RespondAndClose(
        ReplyOf(Make(431, absl::StrCat("the header is longer than ", limit, " bytes"))));
  }
  return false;
}

void Connection::OnParseError(const error_code& ec) {
  using beast::http::error;
  const ServerOptions& options = server_->options;
  if (ec == error::body_limit) {
    return RespondAndClose(ReplyOf(
        Make(413, absl::StrCat("the body is longer than ", options.body_bytes_max, " bytes"))));
  }
  if (ec == error::bad_version)
    return RespondAndClose(ReplyOf(Make(505, "expected HTTP/1.1 or HTTP/1.0")));
  RespondAndClose(ReplyOf(Make(400, absl::StrCat("the request is malformed: ", ec.message()))));
}

std::string Connection::FaultOfHeader(std::string_view raw) const {
  const auto& message = parser_->get();
  std::string_view header = raw.substr(0, raw.find("\r\n\r\n"));
  if (header.find("\r\n ") != std::string_view::npos ||
      header.find("\r\n\t") != std::string_view::npos) {
    return "a field goes over more than one line";
  }
  size_t hosts = message.count(field::host);
  if (hosts > 1 || (hosts == 0 && message.version() == 11)) return "expected exactly one Host";
  size_t lengths = message.count(field::content_length);
  if (lengths > 1 || View(message[field::content_length]).find(',') != std::string_view::npos) {
    return "more than one Content-Length";
  }
  if (size_t encodings = message.count(field::transfer_encoding); encodings > 0) {
    if (lengths > 0) return "Content-Length and Transfer-Encoding";
    if (encodings > 1 || message.version() != 11 ||
        !beast::iequals(message[field::transfer_encoding], "chunked")) {
      return "the only Transfer-Encoding that is known is chunked, in HTTP/1.1";
    }
  }
  if (message.count("Idempotency-Key") > 1) return "more than one Idempotency-Key";
  return {};
}

bool Connection::OnHeader(std::string_view raw) {
  const auto& message = parser_->get();
  if (message.target().size() > kTargetBytesMax) {
    RespondAndClose(
        ReplyOf(Make(414, absl::StrCat("the target is longer than ", kTargetBytesMax, " bytes"))));
    return false;
  }
  if (std::string fault = FaultOfHeader(raw); !fault.empty()) {
    RespondAndClose(ReplyOf(Make(400, absl::StrCat("the request is malformed: ", fault))));
    return false;
  }
  if (message.count(field::expect) > 0) {
    if (!beast::iequals(message[field::expect], "100-continue")) {
      RespondAndClose(ReplyOf(Make(417, "the only expectation that is known is 100-continue")));
      return false;
    }
    if (!parser_->is_done() && message.version() == 11) out_ += kContinue;
  }
  return true;
}

// --- Answering
// ---------------------------------------------------------------------------------------------

Request Connection::MakeRequest() const {
  const auto& message = parser_->get();
  auto find = [&](auto name) -> std::optional<std::string_view> {
    auto found = message.find(name);
    if (found == message.end()) return std::nullopt;
    return View(found->value());
  };
  return {.method = View(message.method_string()),
          .target = View(message.target()),
          .body = message.body(),
          .if_none_match = find(field::if_none_match),
          .content_type = find(field::content_type),
          .content_encoding = find(field::content_encoding),
          .idempotency_key = find("Idempotency-Key")};
}

void Connection::Handle() {
  ++request_number_;
  request_began_ = thread_.clock().Uptime();
  progress_ = Progress::kNone;
  Request request = MakeRequest();
  route_ = ParseTarget(request.target).route;
  if (request.body.size() > kBodyReadInPlaceBytesMax) return HandleApart();
  Proceed(server_->api.Understand(request));
}

void Connection::HandleApart() {
  auto copy = std::make_shared<RequestCopy>(MakeRequest(), std::move(parser_->get().body()));
  DoApart<std::variant<Reply, Task>>(
      [server = server_, copy](catalogue::Reader*) {
        return server->api.Understand(copy->request());
      },
      [this](std::variant<Reply, Task> understood) { Proceed(std::move(understood)); });
}

void Connection::Proceed(std::variant<Reply, Task> understood) {
  if (auto* reply = std::get_if<Reply>(&understood)) return Respond(*reply);
  Task task = std::move(std::get<Task>(understood));
  bool at_once = !task.wait && !task.posted && !task.IsSlow();
  if (!at_once && !out_.empty()) {
    // The answers of the requests before are not held up by this one.
    held_ = std::move(task);
    return Write();
  }
  if (task.wait) return WaitForPosition(std::move(task));
  if (task.posted) return Submit(std::move(task));
  AnswerFrom(std::move(task));
}

void Connection::Await(absl::Duration timeout) {
  state_ = State::kAnswering;
  SetDeadline(timeout);
}

template <typename Result>
std::function<void(Result)> Connection::Later(std::function<void(Result)> then) {
  return [thread = thread_holder_.lock(), weak = weak_from_this(), number = request_number_,
          then = std::move(then)](Result result) {
    asio::post(thread->context(), [weak, number, then, result = std::move(result)]() mutable {
      std::shared_ptr<Connection> self = weak.lock();
      if (!self || self->request_number_ != number || self->state_ != State::kAnswering) return;
      then(std::move(result));
    });
  };
}

template <typename Result>
void Connection::DoApart(std::function<Result(catalogue::Reader*)> work,
                         std::function<void(Result)> then) {
  if (server_->slow_queued >= kSlowAnswersQueuedMax) {
    return Respond(Api::AnswerBusy("too many requests are waiting; try again later"));
  }
  ++server_->slow_queued;
  Await(absl::InfiniteDuration());
  asio::post(server_->slow->context(),
             [server = server_, work = std::move(work), done = Later<Result>(std::move(then))] {
               --server->slow_queued;
               done(work(server->slow->reader()));
             });
}

void Connection::WaitForPosition(Task task) {
  wait_ = std::exchange(task.wait, std::nullopt);
  Await(wait_->timeout);
  std::function<void(int)> resume = Later<int>([this, task](int) {
    waiter_.reset();
    wait_.reset();
    AnswerFrom(task);
  });
  Visibility::WaiterId id = 0;
  switch (server_->parts.visibility->Wait(
      wait_->position, [resume] { resume(0); }, &id)) {
    case Visibility::Answer::kWaiting:
      waiter_ = id;
      return;
    case Visibility::Answer::kVisible:
      wait_.reset();
      return AnswerFrom(std::move(task));
    case Visibility::Answer::kAnotherLog:
      wait_.reset();
      return Respond(Api::AnswerAnotherLog());
    case Visibility::Answer::kTooManyWaiters:
      wait_.reset();
      return Respond(Api::AnswerBusy("too many requests wait for positions; try again later"));
  }
}

void Connection::AnswerFrom(Task task) {
  if (!task.IsSlow()) return Respond(server_->api.Answer(task, thread_.reader()));
  DoApart<Reply>([server = server_, task = std::move(task)](
                     catalogue::Reader* reader) { return server->api.Answer(task, reader); },
                 [this](Reply reply) { Respond(reply); });
}

void Connection::Submit(Task task) {
  Await(kIntakeAnswerMax);
  size_t ratings = task.posted->ratings.size();
  server_->parts.intake->Submit(
      *std::move(task.posted),
      Later<absl::StatusOr<LogPosition>>([this, ratings](absl::StatusOr<LogPosition> position) {
        Respond(Api::AnswerPosted(ratings, position));
      }));
}

// --- Writing
// -----------------------------------------------------------------------------------------------

void Connection::Append(const Reply& reply, bool keep_alive) {
  std::string_view body = reply.text();
  auto to = std::back_inserter(out_);
  fmt::format_to(to, "HTTP/1.1 {} {}\r\nServer: marquee\r\nDate: {}\r\n", reply.status,
                 ReasonPhrase(reply.status), thread_.Date());
  if (reply.shared)
    fmt::format_to(to, "ETag: {}\r\nCache-Control: no-cache\r\n", reply.shared->etag);
  if (reply.status != 304) {
    fmt::format_to(to,
                   "Content-Type: {}\r\nContent-Length: {}\r\nX-Content-Type-Options: nosniff\r\n",
                   reply.content_type, body.size());
  }
  if (!reply.allow.empty()) fmt::format_to(to, "Allow: {}\r\n", reply.allow);
  if (reply.retry_after_seconds > 0)
    fmt::format_to(to, "Retry-After: {}\r\n", reply.retry_after_seconds);
  if (!keep_alive) {
    out_ += "Connection: close\r\n";
  } else if (parser_ && parser_->get().version() == 10) {
    out_ += "Connection: keep-alive\r\n";
  }
  out_ += "\r\n";
  bool is_head =
      parser_ && parser_->is_header_done() && parser_->get().method() == beast::http::verb::head;
  if (!is_head && reply.status != 304) out_ += body;
}

void Connection::Respond(const Reply& reply) {
  bool keep_alive = parser_->get().keep_alive() && !server_->stopping;
  Append(reply, keep_alive);
  server_->metrics.Answered(route_, reply.status,
                            absl::ToDoubleSeconds(thread_.clock().Uptime() - request_began_));
  parser_.reset();
  progress_ = Progress::kNone;
  close_after_write_ = !keep_alive;
  if (close_after_write_) return Write();
  state_ = State::kReading;
  if (!working_) Work();
}

void Connection::RespondAndClose(const Reply& reply) {
  Append(reply, false);
  server_->metrics.Answered(route_, reply.status, 0);
  close_after_write_ = true;
  Write();
}

void Connection::Write() {
  if (state_ == State::kWriting) return;
  state_ = State::kWriting;
  progress_ = Progress::kNone;
  SetDeadline(server_->options.idle_timeout);
  asio::async_write(
      socket_, asio::buffer(out_),
      [self = shared_from_this()](const error_code& ec, size_t) { self->OnWritten(ec); });
}

void Connection::OnWritten(const error_code& ec) {
  if (state_ == State::kClosed) return;
  if (ec) return Close();
  out_.clear();
  if (out_.capacity() > kKeptBufferBytes) out_.shrink_to_fit();
  if (close_after_write_) return Linger();
  state_ = State::kReading;
  if (held_) return Proceed(*std::exchange(held_, std::nullopt));
  Work();
}

// Closing while the client still sends would reset the connection, and the client might lose the
// answer.
void Connection::Linger() {
  error_code ec;
  socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ec);
  if (ec) return Close();
  state_ = State::kLingering;
  SetDeadline(kLingerMax);
  buffer_.consume(buffer_.size());
  Read();
}

void Connection::Close() {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  if (waiter_) server_->parts.visibility->Cancel(*waiter_);
  waiter_.reset();
  error_code ignored;
  socket_.close(ignored);
  thread_.Remove(shared_from_this());
}

}  // namespace marquee::http
