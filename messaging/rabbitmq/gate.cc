#include "messaging/rabbitmq/gate.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "base/status.h"

namespace marquee::messaging::rabbitmq {
namespace {

constexpr size_t kReadBytes = 64 << 10;
constexpr int kBacklog = 128;

sockaddr_in Loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  return address;
}

void Prepare(int fd) {
  int on = 1;
  (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  MARQUEE_CHECK(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
}

}  // namespace

Gate::Gate(std::vector<int> targets)
    : targets_(std::move(targets)), wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  for (size_t i = 0; i < targets_.size(); ++i) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = Loopback(0);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    MARQUEE_CHECK(listener >= 0 && bind(listener, generic, size) == 0);
    MARQUEE_CHECK(listen(listener, kBacklog) == 0 && getsockname(listener, generic, &size) == 0);
    Prepare(listener);
    listeners_.push_back(listener);
    ports_.push_back(ntohs(address.sin_port));
  }
  thread_ = std::thread([this] { Run(); });
}

Gate::~Gate() {
  stop_ = true;
  uint64_t one = 1;
  (void)!write(wake_, &one, sizeof one);
  thread_.join();
  for (Pair& pair : pairs_) Cut(&pair);
  for (int listener : listeners_) close(listener);
  close(wake_);
}

void Gate::SetOpen(bool open) {
  open_ = open;
  uint64_t one = 1;
  (void)!write(wake_, &one, sizeof one);
  is_open_.wait(!open);
}

void Gate::MuteConsumers() {
  mute_ = true;
  uint64_t one = 1;
  (void)!write(wake_, &one, sizeof one);
}

// At once, with a reset: what is on its way is lost.
void Gate::Cut(Pair* pair) {
  for (int fd : {pair->client, pair->server}) {
    if (fd < 0) continue;
    linger hard{.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(fd);
  }
  pair->client = pair->server = -1;
}

void Gate::Accept(size_t which) {
  Pair pair;
  pair.client = accept4(listeners_[which], nullptr, nullptr, SOCK_CLOEXEC);
  if (pair.client < 0) return;
  sockaddr_in address = Loopback(targets_[which]);
  pair.server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (!open_ || connect(pair.server, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    Cut(&pair);
    return;
  }
  Prepare(pair.client);
  Prepare(pair.server);
  pairs_.push_back(std::move(pair));
}

bool Gate::Read(int from, Way* way) {
  if (!way->bytes.empty() || way->ended) return true;
  char bytes[kReadBytes];
  ssize_t size = recv(from, bytes, sizeof bytes, 0);
  if (size > 0) way->bytes = way->frames.Pass({bytes, static_cast<size_t>(size)});
  if (size == 0) way->ended = true;
  return size >= 0 || errno == EAGAIN || errno == EINTR;
}

bool Gate::Write(int to, Way* way) {
  if (way->bytes.empty()) return true;
  ssize_t size = send(to, way->bytes.data(), way->bytes.size(), MSG_NOSIGNAL);
  if (size > 0) way->bytes.erase(0, static_cast<size_t>(size));
  return size >= 0 || errno == EAGAIN || errno == EINTR;
}

// False: it is at its end.
bool Gate::Forward(Pair* pair, short client_events, short server_events) {
  bool ok = true;
  int64_t consumers = pair->up.frames.consumers();
  if ((client_events & (POLLIN | POLLHUP | POLLERR)) != 0) ok = ok && Read(pair->client, &pair->up);
  if ((server_events & (POLLIN | POLLHUP | POLLERR)) != 0)
    ok = ok && Read(pair->server, &pair->down);
  ok = ok && Write(pair->server, &pair->up) && Write(pair->client, &pair->down);
  consumers_ += pair->up.frames.consumers() - consumers;
  bool ended =
      (pair->up.ended && pair->up.bytes.empty()) || (pair->down.ended && pair->down.bytes.empty());
  return ok && !ended;
}

void Gate::Run() {
  while (!stop_) {
    if (!open_) {
      for (Pair& pair : pairs_) Cut(&pair);
      pairs_.clear();
    }
    if (mute_.exchange(false)) {
      for (Pair& pair : pairs_) pair.down.frames.MuteThoseServed();
    }
    if (is_open_ != open_) {
      is_open_ = open_.load();
      is_open_.notify_all();
    }
    std::vector<pollfd> waiting = {{.fd = wake_, .events = POLLIN, .revents = 0}};
    for (int listener : listeners_) {
      waiting.push_back({.fd = listener, .events = POLLIN, .revents = 0});
    }
    for (const Pair& pair : pairs_) {
      auto events = [](const Way& from, const Way& to) {
        return static_cast<short>((from.bytes.empty() && !from.ended ? POLLIN : 0) |
                                  (to.bytes.empty() ? 0 : POLLOUT));
      };
      waiting.push_back({.fd = pair.client, .events = events(pair.up, pair.down), .revents = 0});
      waiting.push_back({.fd = pair.server, .events = events(pair.down, pair.up), .revents = 0});
    }
    if (poll(waiting.data(), waiting.size(), -1) < 0) continue;
    uint64_t count = 0;
    (void)!read(wake_, &count, sizeof count);
    size_t at = 1 + listeners_.size();
    for (auto pair = pairs_.begin(); pair != pairs_.end(); at += 2) {
      if (Forward(&*pair, waiting[at].revents, waiting[at + 1].revents)) {
        ++pair;
        continue;
      }
      Cut(&*pair);
      pair = pairs_.erase(pair);
    }
    for (size_t i = 0; i < listeners_.size(); ++i) {
      if ((waiting[1 + i].revents & POLLIN) != 0) Accept(i);
    }
  }
}

}  // namespace marquee::messaging::rabbitmq
