#include "http/server.h"

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/mutex.h"
#include "base/status.h"
#include "http/connection.h"
#include "http/io_thread.h"

namespace marquee::http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

// After an accept that failed (no descriptors are left) the next one is tried this much later.
constexpr auto kAcceptPause = std::chrono::milliseconds(100);
constexpr size_t kRefusedMax = 64;  // connections that are being told to come back

absl::StatusOr<tcp::endpoint> Resolve(const ServerOptions& options) {
  error_code ec;
  auto address = asio::ip::make_address(options.address, ec);
  if (!ec) return tcp::endpoint(address, options.port);
  asio::io_context context;
  auto found = tcp::resolver(context).resolve(options.address, std::to_string(options.port), ec);
  if (ec || found.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "cannot listen on ", options.address,
        ": expected an IP address or a host name of this machine (", ec.message(), ")"));
  }
  return found.begin()->endpoint();
}

class BeastServer final : public Server {
 public:
  BeastServer(const ServerOptions& options, const Parts& parts)
      : state_(std::make_shared<ServerState>(options, parts)) {
    state_->connection_closed = [this] {
      MutexLock lock(mutex_);
      closed_.SignalAll();
    };
  }
  ~BeastServer() override { Stop(absl::ZeroDuration()); }

  absl::Status Open() {
    MARQUEE_ASSIGN_OR_RETURN(tcp::endpoint endpoint, Resolve(state_->options));
    for (int i = 0; i < std::max(1, state_->options.threads); ++i) {
      MARQUEE_ASSIGN_OR_RETURN(std::shared_ptr<IoThread> thread, MakeThread());
      threads_.push_back(std::move(thread));
    }
    MARQUEE_ASSIGN_OR_RETURN(state_->slow, MakeThread());
    MARQUEE_RETURN_IF_ERROR(TellWhatIsVisible());
    MARQUEE_RETURN_IF_ERROR(Listen(endpoint));
    Accept();
    for (const std::shared_ptr<IoThread>& thread : threads_) {
      running_.emplace_back([thread] { thread->Run(); });
    }
    running_.emplace_back([thread = state_->slow] { thread->Run(); });
    return absl::OkStatus();
  }

  uint16_t port() const override { return port_; }

  void Stop(absl::Duration grace) override {
    if (std::exchange(stopped_, true)) return;
    if (!running_.empty()) StopRunning(grace);
    pause_.reset();
    acceptor_.reset();
    for (const std::shared_ptr<IoThread>& thread : threads_) thread->CloseAll();
    // What is queued there holds the state, which holds it.
    state_->slow.reset();
    threads_.clear();
  }

 private:
  absl::StatusOr<std::shared_ptr<IoThread>> MakeThread() {
    const Parts& parts = state_->parts;
    std::unique_ptr<catalogue::Reader> reader;
    if (parts.catalogue != nullptr) {
      MARQUEE_ASSIGN_OR_RETURN(reader, parts.catalogue->OpenReader());
    }
    return std::make_shared<IoThread>(*parts.clock, std::move(reader));
  }

  // What the catalogue held before anything was committed in this process.
  absl::Status TellWhatIsVisible() {
    catalogue::Reader* reader = state_->slow->reader();
    if (reader == nullptr || state_->parts.visibility == nullptr) return absl::OkStatus();
    // The number first: a commit that comes between is told again, by who made it.
    MARQUEE_ASSIGN_OR_RETURN(uint64_t commit_number, reader->CommitNumber());
    MARQUEE_ASSIGN_OR_RETURN(std::vector<domain::Watermark> watermarks, reader->Watermarks());
    state_->parts.visibility->Advance(watermarks, commit_number);
    return absl::OkStatus();
  }

  absl::Status Listen(const tcp::endpoint& endpoint) {
    acceptor_ = std::make_unique<tcp::acceptor>(threads_[0]->context());
    std::string name = absl::StrCat(state_->options.address, ":", state_->options.port);
    error_code ec;
    acceptor_->open(endpoint.protocol(), ec);
    if (!ec) acceptor_->set_option(tcp::acceptor::reuse_address(true), ec);
    if (!ec) acceptor_->bind(endpoint, ec);
    if (!ec) acceptor_->listen(asio::socket_base::max_listen_connections, ec);
    if (!ec) port_ = acceptor_->local_endpoint(ec).port();
    if (ec == asio::error::address_in_use) {
      return absl::AlreadyExistsError(
          absl::StrCat("cannot listen on ", name,
                       ": the port is in use; stop who uses it, or name another port"));
    }
    if (ec)
      return absl::InvalidArgumentError(
          absl::StrCat("cannot listen on ", name, ": ", ec.message()));
    return absl::OkStatus();
  }

  void Accept() {
    std::shared_ptr<IoThread> thread = threads_[next_thread_++ % threads_.size()];
    acceptor_->async_accept(thread->context(),
                            [this, thread](const error_code& ec, tcp::socket socket) {
                              if (ec == asio::error::operation_aborted || !acceptor_) return;
                              if (ec) return AcceptLater();
                              Admit(thread, std::move(socket));
                              Accept();
                            });
  }

  void AcceptLater() {
    pause_.emplace(threads_[0]->context(), kAcceptPause);
    pause_->async_wait([this](const error_code& ec) {
      if (!ec && acceptor_) Accept();
    });
  }

  void Admit(const std::shared_ptr<IoThread>& thread, tcp::socket socket) {
    bool full = state_->connections - state_->refused >= state_->options.connections_max;
    if (full && state_->refused >= kRefusedMax) return;
    auto connection = std::make_shared<Connection>(std::move(socket), thread, state_);
    asio::post(thread->context(), [connection = std::move(connection), full] {
      full ? connection->StartRefused() : connection->Start();
    });
  }

  void StopRunning(absl::Duration grace) {
    state_->stopping = true;
    // Where the loop is stopped before it comes to this, Stop does the same.
    asio::post(threads_[0]->context(), [this] {
      pause_.reset();
      acceptor_.reset();
    });
    for (const std::shared_ptr<IoThread>& thread : threads_) {
      asio::post(thread->context(), [thread = thread.get()] { thread->CloseWhenAnswered(); });
    }
    WaitForConnections(grace);
    for (const std::shared_ptr<IoThread>& thread : threads_) thread->Stop();
    state_->slow->Stop();
    for (std::thread& thread : running_) thread.join();
    running_.clear();
  }

  // Of the system's clock, whatever the server's: somebody's Ctrl-C waits for it.
  void WaitForConnections(absl::Duration grace) {
    SystemClock clock;
    absl::Duration until = clock.Uptime() + grace;
    MutexLock lock(mutex_);
    while (state_->connections > 0) {
      absl::Duration left = until - clock.Uptime();
      if (left <= absl::ZeroDuration()) return;
      closed_.WaitFor(mutex_, left);
    }
  }

  std::shared_ptr<ServerState> state_;
  Mutex mutex_;  // of closed_, whose condition is state_->connections
  CondVar closed_;
  std::vector<std::shared_ptr<IoThread>> threads_;
  std::vector<std::thread> running_;
  std::unique_ptr<tcp::acceptor> acceptor_;
  std::optional<asio::steady_timer> pause_;
  size_t next_thread_ = 0;
  uint16_t port_ = 0;
  bool stopped_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerOptions& options,
                                                      const Parts& parts) {
  MARQUEE_CHECK(parts.health != nullptr && parts.metrics != nullptr && parts.clock != nullptr);
  auto server = std::make_unique<BeastServer>(options, parts);
  MARQUEE_RETURN_IF_ERROR(server->Open());
  return server;
}

}  // namespace marquee::http
