// What a MemoryWorld is inside: topics, groups, and the server's view of its clients with their
// publishers and subscriptions, which the client objects name by number. Each public method that is
// a call of the seam first meets the faults that were set for its client.
//
// Threads: any. One lock guards all.
#ifndef MARQUEE_MESSAGING_MEMORY_SERVER_H_
#define MARQUEE_MESSAGING_MEMORY_SERVER_H_

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "base/random.h"
#include "messaging/broker.h"
#include "messaging/memory/group.h"
#include "messaging/memory/memory_broker.h"
#include "messaging/memory/shard_log.h"

namespace marquee::messaging::memory {

using ClientId = uint64_t;
using PublisherId = uint64_t;
using SubscriptionId = uint64_t;

// What one publisher may hold that is not stored yet.
inline constexpr size_t kQueueBytesMax = 8 << 20;
inline constexpr size_t kQueueRecordsMax = 65'536;

// What Poll brings, before the client lends it out as a Delivery.
struct Fetched {
  std::vector<OwnershipEvent> events;
  bool has_batch = false;
  bool held_back = false;  // there was something to read: nobody waits for it
  TopicShard shard;
  std::vector<RecordPtr> records;
  Offset next;
  bool whole = false;
};

struct Topic {
  TopicSpec spec;
  TopicIdentity identity;
  std::vector<ShardLog> shards;
};

class Server {
 public:
  Server(const MemoryWorldOptions& options, Clock& clock);

  // World and client faults; see memory_broker.h.
  void SetReachable(bool reachable);
  bool HandOver(std::string_view group);
  ClientId Connect(const BrokerOptions& options, Clock& clock);
  void Disconnect(ClientId id);
  void Crash(ClientId id, bool leave_at_once);
  void CrashAtCall(ClientId id, uint64_t n);
  void FailAtCall(ClientId id, uint64_t n, absl::Status status);
  uint64_t Calls(ClientId id);
  bool Crashed(ClientId id);
  void SetReachable(ClientId id, bool reachable);

  absl::StatusOr<TopicInfo> DeclareTopic(ClientId id, const TopicSpec& spec);
  absl::StatusOr<TopicInfo> DescribeTopic(ClientId id, std::string_view name);
  absl::StatusOr<std::vector<TopicInfo>> ListTopics(ClientId id);
  absl::Status DeleteTopic(ClientId id, std::string_view name);
  absl::StatusOr<Extent> DescribeShard(ClientId id, const TopicShard& shard);
  absl::StatusOr<std::vector<GroupInfo>> ListGroups(ClientId id);

  absl::StatusOr<PublisherId> OpenPublisher(ClientId id, std::string_view topic);
  void ClosePublisher(PublisherId id);
  absl::Status Publish(PublisherId id, std::span<const NewRecord> records);
  absl::StatusOr<FlushedThrough> Flush(PublisherId id);
  size_t TogetherBytesMax(PublisherId id);

  absl::StatusOr<SubscriptionId> OpenReader(ClientId id, const SubscriptionOptions& options);
  absl::StatusOr<SubscriptionId> JoinGroup(ClientId id, std::span<const std::string> topics,
                                           const SubscriptionOptions& options);
  void CloseSubscription(SubscriptionId id);
  absl::StatusOr<Fetched> Poll(SubscriptionId id, absl::Duration wait);
  absl::Status Start(SubscriptionId id, const TopicShard& shard, const StartPosition& position);
  absl::Status Release(SubscriptionId id, const TopicShard& shard);
  absl::StatusOr<Offset> Next(SubscriptionId id, const TopicShard& shard);
  absl::StatusOr<int64_t> Lag(SubscriptionId id, const TopicShard& shard);
  absl::Status ReportPosition(SubscriptionId id, const TopicShard& shard, Offset next);

 private:
  // What was set to happen at one call.
  struct Fault {
    bool crash = false;
    absl::Status status;  // OK: none
    bool after = false;   // the call has its effect first
  };
  enum class CallKind {
    kOrdinary,
    kPublish,  // needs the server only when its queue is full
    kPoll,  // must not fail after its effect, or events would be lost; waits for the server itself
  };
  struct Client {
    Clock* clock = nullptr;
    absl::Duration deadline;
    uint64_t calls = 0;
    std::map<uint64_t, Fault> faults;  // by number of call
    bool crashed = false;
    bool reachable = true;
  };
  struct Pending {
    Shard shard;
    std::shared_ptr<StoredRecord> record;
    absl::Duration since;   // uptime
    uint64_t together = 0;  // with which others; 0: none
  };
  struct PublisherState {
    ClientId client = 0;
    std::string topic;
    TopicIdentity identity;
    size_t together_bytes_max = 0;
    uint64_t calls = 0;
    std::deque<Pending> pending;
    size_t pending_bytes = 0;
    FlushedThrough through;
  };
  struct Cursor {
    TopicIdentity identity;
    Offset floor;  // where it was started
    Offset next;
  };
  struct SubscriptionState {
    ClientId client = 0;
    std::string group;
    MemberId member = 0;                          // 0: reads without a group
    std::map<std::string, TopicIdentity> topics;  // of the group
    std::map<TopicShard, Cursor> cursors;
  };

  // Makes a call of the seam: `body`, and what was set to happen before or after it.
  template <typename Result, typename Body>
  Result Call(ClientId id, CallKind kind, Body body) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    absl::StatusOr<Fault> fault = Begin(id, kind);
    if (!fault.ok()) return fault.status();
    Result result = body();
    absl::Status status = End(id, *fault);
    if (!status.ok()) return status;
    return result;
  }
  // Begin fails where a fault hits before the effect; End where it hits after it.
  absl::StatusOr<Fault> Begin(ClientId id, CallKind kind) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status End(ClientId id, const Fault& fault) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Hit(ClientId id, const Fault& fault) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool CanReach(const Client& client) const ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return reachable_ && client.reachable;
  }
  absl::Status AwaitServer(const Client& client, absl::Duration wait)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void CrashLocked(ClientId id, bool leave_at_once) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // What time has brought since the last call, and what is drawn to happen now.
  void Tick() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Duration NextDeadline() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  size_t DrawTogetherBytesMax() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void StoreSomethingEarly() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  absl::StatusOr<Topic*> FindTopic(std::string_view name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // kFailedPrecondition where the topic is another by now.
  absl::StatusOr<Topic*> FindSameTopic(std::string_view name, const TopicIdentity& identity)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<ShardLog*> FindShard(const TopicShard& shard)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  absl::Status Enqueue(PublisherState& publisher, std::span<const NewRecord> records)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Stores the oldest record that is pending.
  void Store(PublisherState& publisher, Topic& topic) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void StoreAll(PublisherState& publisher) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Stores a drawn subset of what is pending and forgets the rest.
  void StoreAny(PublisherState& publisher) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  absl::Status Join(ClientId id, SubscriptionId subscription_id,
                    std::span<const std::string> topics, const SubscriptionOptions& options)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Fetched> PollMember(SubscriptionState& subscription, absl::Duration wait)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Fetched> Fetch(SubscriptionState& subscription)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<std::vector<TopicShard>> FindReadable(const SubscriptionState& subscription)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Fetched> AwaitNews(SubscriptionState& subscription, absl::Duration wait)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ReadBatch(const TopicShard& shard, Cursor& cursor, Fetched* fetched)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Group& GroupOf(const std::string& name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  bool Drawn(uint32_t one_in) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return one_in > 0 && random_.OneIn(one_in);
  }

  const MemoryWorldOptions options_;
  Clock& clock_;
  Mutex mutex_;
  CondVar news_;
  Random random_ ABSL_GUARDED_BY(mutex_);
  bool reachable_ ABSL_GUARDED_BY(mutex_) = true;
  uint64_t last_id_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<std::string, Topic, std::less<>> topics_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, Group, std::less<>> groups_ ABSL_GUARDED_BY(mutex_);
  std::map<ClientId, Client> clients_ ABSL_GUARDED_BY(mutex_);
  std::map<PublisherId, PublisherState> publishers_ ABSL_GUARDED_BY(mutex_);
  std::map<SubscriptionId, SubscriptionState> subscriptions_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace marquee::messaging::memory

#endif  // MARQUEE_MESSAGING_MEMORY_SERVER_H_
