// The conformance suite: the nine sentences of messaging/broker.h as tests, run whole against any
// backend. No feature flags, nothing is skipped.
//
// A backend's test is a program of its own, with its own main:
//
//   class SqliteBackend final : public Backend { ... };
//
//   int main(int argc, char** argv) {
//     return ConformanceMain(argc, argv, {
//         .make_backend = [] { return std::make_unique<SqliteBackend>(); },
//         .open = [](std::string_view url, const BrokerOptions& options, Clock& clock) {
//           return OpenSqliteBroker(url, options, clock);  // as StatusOr<unique_ptr<Broker>>
//         }});
//   }
//
// and in its CMakeLists.txt:
//
//   include("${PROJECT_SOURCE_DIR}/messaging/conformance/Conformance.cmake")
//   marquee_conformance_test(sqlite_conformance_test BACKEND sqlite
//     SOURCES conformance_test.cc DEPS marquee_messaging_sqlite [LABELS threaded])
//
// which adds each test to ctest as `sqlite.Owned.EveryShardHasOneOwner...`. Each test has a Backend
// of its own, and topics and groups with names that no other test has, so a backend may as well
// connect to one server that all share. Members and publishers in other processes are this same
// program, started again with `--peer`.
//
// One rule goes beyond the words of broker.h, so that an owner may answer events before it looks at
// the batch: a delivery that says that a shard is revoked holds no batch of that shard.
//
// The seed is printed; MARQUEE_SEED=N in the environment repeats a run.
#ifndef MARQUEE_MESSAGING_CONFORMANCE_CONFORMANCE_H_
#define MARQUEE_MESSAGING_CONFORMANCE_CONFORMANCE_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "messaging/broker.h"
#include "messaging/conformance/peer.h"

namespace marquee::messaging::conformance {

// How patient the suite is. None of them is waited out where all is well, but session_timeout.
struct Timings {
  // Members of the suite's groups are taken for dead after this long.
  absl::Duration session_timeout = absl::Seconds(1);
  // Within this time a group must have settled after members came, went or died, beyond the session
  // timeout.
  absl::Duration settle = absl::Seconds(10);
  // Within this time the shards of a member whose process was killed are others'.
  absl::Duration take_over = absl::Seconds(11);
  // What must happen "soon" (a read, retention, compaction) happens within this time.
  absl::Duration soon = absl::Seconds(30);
  // The deadline of the brokers that meet an unreachable server.
  absl::Duration short_deadline = absl::Seconds(1);
  // The most that a publisher may queue while its server is away.
  size_t queue_bytes_max = size_t{256} << 20;
};

// A server of the backend under test, and ways to reach it. Threads: one, but Open may be called by
// several.
class Backend {
 public:
  virtual ~Backend() = default;

  virtual Timings timings() const { return {}; }

  // Called first, once: for what the backend draws, if it draws anything.
  virtual void UseSeed(uint64_t) {}

  // A new connection, as another client has it. Outlived by this backend and by `clock`.
  virtual absl::StatusOr<std::unique_ptr<Broker>> Open(const BrokerOptions& options,
                                                       Clock& clock) = 0;

  // Stops the server as hard as can be and starts it again. No broker from Open and no peer is
  // there when it is called. (An embedded backend: nothing is kept in this process afterwards.)
  virtual void RestartServer() = 0;

  // While false, nothing can be published from any connection, whatever other calls do. True when
  // made. (Network: cut it. sqlite: another connection holds the write locks of all topics that are
  // there.)
  virtual void SetReachable(bool reachable) = 0;

  // Another process that does what `script` says. SpawnProcess(url, script) does it for every
  // backend that opens from a URL in other processes too.
  virtual std::unique_ptr<Peer> SpawnPeer(const PeerScript& script) = 0;
};

struct Suite {
  std::function<std::unique_ptr<Backend>()> make_backend;
  // Opens a broker in a peer process. Not needed where SpawnPeer makes no processes.
  BrokerOpener open = nullptr;
};

// The main of a backend's test. Takes googletest's flags.
int ConformanceMain(int argc, char** argv, const Suite& suite);

}  // namespace marquee::messaging::conformance

#endif  // MARQUEE_MESSAGING_CONFORMANCE_CONFORMANCE_H_
