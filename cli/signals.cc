#include "cli/signals.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>

namespace marquee::cli {
namespace {

std::atomic<int> stops{0};
static_assert(std::atomic<int>::is_always_lock_free, "used in a signal handler");

void OnSignal(int signal) {
  if (stops.fetch_add(1) > 0) _exit(128 + signal);
}

}  // namespace

void HandleSignals() {
  struct sigaction action {};
  action.sa_handler = OnSignal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  signal(SIGPIPE, SIG_IGN);
}

bool StopRequested() { return stops.load() > 0; }
void RequestStop() { stops.store(1); }

}  // namespace marquee::cli
