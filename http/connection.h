// One connection of a client: reads requests, has them answered one after the other, writes the
// answers. Internal to the server.
//
// While a request waits (for a position, for the intake, for a slow answer that is made apart)
// nothing more is read, and no thread waits with it.
//
// Ownership: its IoThread's until it is closed, and that of the operations under way. Others hold
// it weakly. Threads: its IoThread's alone.
#ifndef MARQUEE_HTTP_CONNECTION_H_
#define MARQUEE_HTTP_CONNECTION_H_

#include <atomic>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "http/api.h"
#include "http/http_metrics.h"
#include "http/io_thread.h"

namespace marquee::http {

// What all connections of a server share.
struct ServerState {
  ServerState(const ServerOptions& server_options, const Parts& server_parts)
      : options(server_options),
        parts(server_parts),
        api(server_options, server_parts),
        metrics(*server_parts.metrics) {}

  const ServerOptions options;
  const Parts parts;
  Api api;
  HttpMetrics metrics;
  std::shared_ptr<IoThread> slow;  // where slow answers are made
  std::atomic<size_t> slow_queued = 0;
  std::atomic<size_t> connections = 0;
  std::atomic<size_t> refused = 0;  // connections that are being told that there are too many
  std::atomic<bool> stopping = false;
  std::function<void()> connection_closed;  // any thread
};

inline constexpr size_t kTargetBytesMax = 8 << 10;
// A body of ratings larger than this is read apart from the connections.
inline constexpr size_t kBodyReadInPlaceBytesMax = 32 << 10;
inline constexpr size_t kSlowAnswersQueuedMax = 1024;
// Answers to pipelined requests are written when there are this many bytes of them.
inline constexpr size_t kAnswerBytesGathered = 128 << 10;
// How long, and for how much, a client that is being sent away may go on sending before the
// connection is cut.
inline constexpr absl::Duration kLingerMax = absl::Seconds(1);
inline constexpr size_t kLingerBytesMax = 16 << 20;
// How long the intake may take to answer.
inline constexpr absl::Duration kIntakeAnswerMax = absl::Seconds(75);

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(boost::asio::ip::tcp::socket socket, std::shared_ptr<IoThread> thread,
             std::shared_ptr<ServerState> server);
  ~Connection();

  void Start();
  // Tells the client that there are too many connections.
  void StartRefused();
  void CheckDeadline(absl::Duration now);
  void CloseWhenAnswered();
  // Now, whatever is under way.
  void Close();

 private:
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;

  enum class State {
    kReading,    // a request, or until one begins
    kAnswering,  // somebody else makes the answer
    kWriting,
    kLingering,  // the last answer was sent: reads and forgets until the client closes
    kClosed,
  };
  enum class Progress { kNone, kIdle, kHeader, kBody };  // of the request that is being read

  void SetDeadline(absl::Duration timeout);
  void Read();
  void OnRead(const boost::system::error_code& ec, size_t bytes);
  // Parses what was read, and answers, until more has to be read, something written or somebody
  // waited for.
  void Work();
  // False where more has to be read.
  bool ParseSome();
  // Where not, and it is over the limit, the request was answered.
  bool HasWholeHeader(std::string_view raw);
  void BeginRequest();
  void WatchProgress();
  void OnParseError(const boost::system::error_code& ec);
  // False where the request was refused for its header.
  bool OnHeader(std::string_view raw);
  // Why the header of the request must not be trusted; empty: it may.
  std::string FaultOfHeader(std::string_view raw) const;

  void Handle();
  void HandleApart();
  Request MakeRequest() const;
  void Proceed(std::variant<Reply, Task> understood);
  void WaitForPosition(Task task);
  void AnswerFrom(Task task);
  void Submit(Task task);
  void Await(absl::Duration timeout);
  // Does `work` on the thread for what is slow, then `then` on this one.
  template <typename Result>
  void DoApart(std::function<Result(catalogue::Reader*)> work, std::function<void(Result)> then);
  // A function for other threads: runs `then` on this one, if the request still waits for it.
  template <typename Result>
  std::function<void(Result)> Later(std::function<void(Result)> then);

  void Respond(const Reply& reply);
  // An answer after which nothing that the client sends can be understood any more.
  void RespondAndClose(const Reply& reply);
  void Append(const Reply& reply, bool keep_alive);
  void Write();
  void OnWritten(const boost::system::error_code& ec);
  void Linger();

  boost::asio::ip::tcp::socket socket_;
  const std::weak_ptr<IoThread> thread_holder_;
  IoThread& thread_;
  const std::shared_ptr<ServerState> server_;

  State state_ = State::kReading;
  Progress progress_ = Progress::kNone;
  absl::Duration deadline_ = absl::InfiniteDuration();
  boost::beast::flat_buffer buffer_;
  bool read_under_way_ = false;
  std::optional<Parser> parser_;
  bool header_seen_ = false;  // of the request that is being read
  bool working_ = false;      // in Work, which goes on where an answer was made at once
  uint64_t request_number_ = 0;
  Route route_ = Route::kUnknown;
  absl::Duration request_began_;
  std::optional<Task> held_;  // goes on when the answers before it are written
  std::optional<Visibility::WaiterId> waiter_;
  std::optional<Wait> wait_;
  std::string out_;
  bool close_after_write_ = false;
  bool refused_ = false;
  size_t lingered_bytes_ = 0;
};

}  // namespace marquee::http

#endif  // MARQUEE_HTTP_CONNECTION_H_
