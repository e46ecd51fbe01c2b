// The strictest backend: topics and groups in the memory of this process. It keeps the contract of
// messaging/broker.h and uses all the freedom that the contract leaves: offsets have gaps, shards
// are handed over at bad moments, batches are small and repeat, entity topics are compacted at
// once, and what was not flushed may be lost, all of it or any part. Its clients can be crashed,
// cut off and made to fail at a chosen call. For tests, and for the simulation of the whole system.
//
// A MemoryWorld is the "server"; a MemoryBroker is one client's connection to it, as one process
// has it.
//
// Ownership: brokers share the world. The clocks outlive both.
// Threads: world and brokers may be used from any thread. Used from one thread with manual clocks,
// everything that happens is a function of the world's seed and the calls.
#ifndef MARQUEE_MESSAGING_MEMORY_MEMORY_BROKER_H_
#define MARQUEE_MESSAGING_MEMORY_MEMORY_BROKER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "messaging/broker.h"

namespace marquee::messaging {

namespace memory {
class Server;
}

// How nasty the world is. `..._one_in = N`: it happens once in N times on average; 0: never.
struct MemoryWorldOptions {
  uint64_t seed = 1;
  // Offsets are skipped before a record, 1 .. gap_max of them.
  uint32_t gap_one_in = 4;
  uint32_t gap_max = 5;
  // At a member's Poll a drawn shard of its group is handed to another live member: asked for
  // (kRevoked) or torn away (kLost), both as often.
  uint32_t handover_one_in = 0;
  // A batch begins a little before the subscription's position, with records that were delivered
  // already.
  uint32_t repeat_one_in = 8;
  // A Poll returns no batch although there is something to read.
  uint32_t empty_poll_one_in = 16;
  // Batches hold 1 .. batch_records_max records that are new.
  uint32_t batch_records_max = 64;
  // At any call, a part of what some publisher has not flushed yet is stored.
  uint32_t early_store_one_in = 8;
  // Entity topics: a record without value can be read until so many later records of its shard were
  // stored.
  uint32_t tombstone_records = 64;
  // Publisher::together_bytes_max of all; without it, each draws one, which may be 0.
  std::optional<size_t> together_bytes_max;
};

class MemoryWorld {
 public:
  // `clock`: of sessions, linger and retention.
  MemoryWorld(const MemoryWorldOptions& options, Clock& clock);
  ~MemoryWorld();

  // While false, every call of every client waits until its deadline (not at all on a manual clock)
  // and fails with kUnavailable; Publish does so only when its queue is full, then with
  // kDeadlineExceeded.
  void SetReachable(bool reachable);

  // Hands a drawn shard of `group` to another live member now. False where there is no such group,
  // fewer than two live members, or nothing to hand over.
  bool HandOver(std::string_view group);

  // For this folder alone.
  memory::Server& server() { return *server_; }

 private:
  std::unique_ptr<memory::Server> server_;
};

// One client. Beside the seam's calls, what can happen to a process or its network.
class MemoryBroker final : public Broker {
 public:
  MemoryBroker(std::shared_ptr<MemoryWorld> world, const BrokerOptions& options, Clock& clock);
  ~MemoryBroker() override;

  // The process dies. Of each publisher's unflushed records any subset, in order, is stored. Every
  // later call on this broker and on what was made from it, also one that waits now, has no effect
  // and returns kCancelled ("crashed"). Its memberships last until their session timeouts, or end
  // now with `leave_at_once`.
  void Crash(bool leave_at_once = false);

  // The same at the n-th call to the seam from now (1: the next), before or after the call's
  // effect, as drawn. Calls are those of this broker and of its publishers and subscriptions,
  // without Next and destructors.
  void CrashAtCall(uint64_t n);
  // The n-th call from now fails with `status`, before or after its effect, as drawn (Poll:
  // before). As the seam has it, a failed Publish or Flush has stored any part of what was not
  // flushed, and forgotten the rest.
  void FailAtCall(uint64_t n, absl::Status status);

  // Calls so far.
  uint64_t calls() const;
  bool crashed() const;

  // As MemoryWorld::SetReachable, for this client alone: its memberships time out meanwhile.
  void SetReachable(bool reachable);

  absl::StatusOr<TopicInfo> DeclareTopic(const TopicSpec& spec) override;
  absl::StatusOr<TopicInfo> DescribeTopic(std::string_view topic) override;
  absl::StatusOr<std::vector<TopicInfo>> ListTopics() override;
  absl::Status DeleteTopic(std::string_view topic) override;
  absl::StatusOr<Extent> DescribeShard(const TopicShard& shard) override;
  absl::StatusOr<std::unique_ptr<Publisher>> OpenPublisher(std::string_view topic) override;
  absl::StatusOr<std::unique_ptr<Subscription>> OpenReader(SubscriptionOptions options) override;
  absl::StatusOr<std::unique_ptr<Subscription>> JoinGroup(std::span<const std::string> topics,
                                                          SubscriptionOptions options) override;
  absl::StatusOr<std::vector<GroupInfo>> ListGroups() override;

 private:
  const std::shared_ptr<MemoryWorld> world_;
  const uint64_t client_;
};

// kInvalidArgument: `options` holds a setting; this backend has none. `clock`: of the client: the
// times in its records, its waits.
absl::StatusOr<std::unique_ptr<MemoryBroker>> OpenMemoryBroker(std::shared_ptr<MemoryWorld> world,
                                                               const BrokerOptions& options,
                                                               Clock& clock);

// For the URL `memory:`: a client of a fresh world of its own. kInvalidArgument: another URL.
absl::StatusOr<std::unique_ptr<MemoryBroker>> OpenMemoryBroker(std::string_view url,
                                                               const BrokerOptions& options,
                                                               Clock& clock);

}  // namespace marquee::messaging

#endif  // MARQUEE_MESSAGING_MEMORY_MEMORY_BROKER_H_
