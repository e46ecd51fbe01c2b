// Publishers and group members in other processes: what they are told to do (PeerScript), what is
// seen of them (PeerEvent), and how they die (Peer).
//
// Threads: a Peer by one thread at a time.
#ifndef MARQUEE_MESSAGING_CONFORMANCE_PEER_H_
#define MARQUEE_MESSAGING_CONFORMANCE_PEER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "messaging/broker.h"

namespace marquee::messaging::conformance {

using BrokerOpener = std::function<absl::StatusOr<std::unique_ptr<Broker>>(
    std::string_view url, const BrokerOptions& options, Clock& clock)>;

struct PeerScript {
  enum class Role {
    // Publishes records with values "<name>:1", "<name>:2", … to topics[0], in bursts of random
    // size, and flushes after each burst. The key of sequence n is "k<n % keys>".
    kPublisher,
    // Joins `group`; starts each shard it gains at its start, releases what is revoked.
    kMember,
  };
  Role role = Role::kPublisher;
  std::string name;
  std::vector<std::string> topics;
  std::string group;
  absl::Duration session_timeout = absl::Seconds(1);
  uint32_t keys = 10;
  uint32_t burst_max = 50;
  uint64_t seed = 1;
};

// What a peer did.
struct PeerEvent {
  absl::Duration at;  // uptime when the call began that brought it (kGained: when it had ended)
  enum class Kind {
    kReady,     // opened or joined
    kFlushed,   // a flush returned ok; number: all sequences up to it were published before
    kGained,    // number: generation
    kRevoked,   // number: generation
    kReleased,  // number: generation
    kLost,      // number: generation
    kRead,      // number: generation; offset: of the last record of the batch
    kFinished,  // the peer has ended in good order
    kFailed,    // the peer has ended; text: why
  };
  Kind kind;
  TopicShard shard;
  uint64_t number = 0;
  Offset offset;
  std::string text;

  std::string ToLine() const;
  static std::optional<PeerEvent> FromLine(std::string_view line);
};

class Peer {
 public:
  // Kills it where it still runs.
  virtual ~Peer() = default;

  // As `kill -9`: when it returns, the peer does nothing any more.
  virtual void Kill() = 0;
  // As SIGSTOP: when it returns, the peer stands still. And SIGCONT.
  virtual void Stop() = 0;
  virtual void Resume() = 0;
  // Asks it to close what it has opened and end.
  virtual void Finish() = 0;

  // What it did next; none where nothing comes within `wait`, or ever, since it is dead.
  virtual std::optional<PeerEvent> Next(absl::Duration wait) = 0;
};

// What a peer does, in whatever process or thread it lives. `go_on` is asked between steps: it may
// block (stopped), and false ends the peer (finish).
void RunPeer(const PeerScript& script, Broker& broker, Clock& clock,
             const std::function<void(const PeerEvent&)>& emit, const std::function<bool()>& go_on);

// Starts this program again as a process with `--peer url …`.
std::unique_ptr<Peer> SpawnProcess(std::string_view url, const PeerScript& script);

// Whether this process was started as a peer, and its main then.
bool IsPeer(int argc, char** argv);
int PeerMain(int argc, char** argv, const BrokerOpener& open);

}  // namespace marquee::messaging::conformance

#endif  // MARQUEE_MESSAGING_CONFORMANCE_PEER_H_
