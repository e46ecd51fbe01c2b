// What HTTP costs at least with Boost.Beast: a server that answers every GET with the same bytes
// from memory and does nothing else. `script/bench` compares the server of marquee with it.
//
//   beast_floor PORT THREADS BODY-BYTES        until it is killed; port 0: any, printed
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;

class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(tcp::socket socket, const std::string& body) : stream_(std::move(socket)), body_(body) {}

  void Read() {
    request_ = {};
    http::async_read(stream_, buffer_, request_,
                     [self = shared_from_this()](beast::error_code ec, size_t) {
                       if (!ec) self->Write();
                     });
  }

 private:
  void Write() {
    response_ = {http::status::ok, request_.version()};
    response_.set(http::field::server, "floor");
    response_.set(http::field::content_type, "application/json");
    response_.keep_alive(request_.keep_alive());
    response_.body() = body_;
    response_.prepare_payload();
    http::async_write(stream_, response_,
                      [self = shared_from_this()](beast::error_code ec, size_t) {
                        if (!ec && self->response_.keep_alive()) self->Read();
                      });
  }

  beast::tcp_stream stream_;
  beast::flat_buffer buffer_;
  http::request<http::empty_body> request_;
  http::response<http::string_body> response_;
  const std::string& body_;
};

class Floor {
 public:
  Floor(uint16_t port, size_t threads, size_t body_bytes) : body_(body_bytes, 'x') {
    for (size_t i = 0; i < threads; ++i) contexts_.push_back(std::make_unique<asio::io_context>(1));
    acceptor_.emplace(*contexts_[0], tcp::endpoint(asio::ip::address_v4::loopback(), port));
  }

  void Run() {
    std::printf("%d\n", acceptor_->local_endpoint().port());
    std::fflush(stdout);
    Accept();
    std::vector<std::thread> threads;
    for (auto& context : contexts_) {
      threads.emplace_back([&context] {
        auto work = asio::make_work_guard(*context);
        context->run();
      });
    }
    for (std::thread& thread : threads) thread.join();
  }

 private:
  void Accept() {
    asio::io_context& context = *contexts_[next_++ % contexts_.size()];
    acceptor_->async_accept(context, [this, &context](beast::error_code ec, tcp::socket socket) {
      if (!ec) {
        socket.set_option(tcp::no_delay(true), ec);
        auto session = std::make_shared<Session>(std::move(socket), body_);
        asio::post(context, [session] { session->Read(); });
      }
      Accept();
    });
  }

  const std::string body_;
  std::vector<std::unique_ptr<asio::io_context>> contexts_;
  std::optional<tcp::acceptor> acceptor_;
  size_t next_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  auto argument = [&](int i, int otherwise) { return i < argc ? std::atoi(argv[i]) : otherwise; };
  Floor(static_cast<uint16_t>(argument(1, 0)), static_cast<size_t>(argument(2, 1)),
        static_cast<size_t>(argument(3, 250)))
      .Run();
}
