// Fetches shards into one queue: a consumer of librdkafka that is in no group. Idle ones are kept
// in a pool, since services open many short readers, and a new one has to connect first.
//
// Memory: kQueuedBytesMax or kQueuedRecordsMin for each shard, whichever comes first, and one
// answer of a broker. Threads: a Fetcher by one at a time; the pool by any.
#ifndef MARQUEE_MESSAGING_KAFKA_FETCHER_H_
#define MARQUEE_MESSAGING_KAFKA_FETCHER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "messaging/broker.h"
#include "messaging/kafka/bell.h"
#include "messaging/kafka/client.h"
#include "messaging/kafka/handle.h"
#include "messaging/kafka/kafka_offset.h"
#include "messaging/kafka/settings.h"

namespace marquee::messaging::kafka {

inline constexpr int kQueuedBytesMax = 3 << 20;
inline constexpr int kQueuedRecordsMin = 24'000;

// What is fetched.
struct Source {
  TopicShard shard;
  TopicKind kind = TopicKind::kEvent;
};

class Fetcher {
 public:
  // Records wait for more at their broker for `linger`, as SubscriptionOptions has it.
  static absl::StatusOr<std::unique_ptr<Fetcher>> Open(const KafkaSettings& settings,
                                                       absl::Duration linger);
  ~Fetcher();

  // Rings `bell`, which outlives this or the next WakeBy, when there is something to take.
  void WakeBy(Bell* bell);

  // `identity` is the topic's. REQUIRES: not started; not KnowsAnother.
  absl::Status Start(const Source& source, const TopicIdentity& identity, KafkaOffset offset);
  // Whether a topic of this name and another identity was read: librdkafka keeps its leaders'
  // epochs, and would wait for ever where those of the new one are lower.
  bool KnowsAnother(const std::string& topic, const TopicIdentity& identity) const;
  // What was fetched of it is gone. Harmless where it is not started.
  void Stop(const TopicShard& shard);
  void StopAll();

  // Takes what was fetched, without waiting: records and what befell shards, to be freed with
  // rd_kafka_message_destroy.
  size_t Take(std::span<rd_kafka_message_t*> messages);
  // What a message is of, where it is started.
  const Source* SourceOf(const rd_kafka_message_t& message) const;

  // The shard's end as its last answer had it, which may be of a reading before; none where there
  // was none yet.
  std::optional<KafkaOffset> KnownEnd(const TopicShard& shard) const;

  Client& client() { return *client_; }

 private:
  explicit Fetcher(std::unique_ptr<Client> client);

  using Key = std::pair<const rd_kafka_topic_t*, int32_t>;
  const std::unique_ptr<Client> client_;
  QueuePtr queue_;
  std::map<std::string, TopicPtr> topics_;
  std::map<std::string, TopicIdentity> identities_;  // of all that was ever started
  std::map<Key, Source> started_;
  mutable Mutex mutex_;
  Bell* bell_ ABSL_GUARDED_BY(mutex_) = nullptr;
};

class FetcherPool {
 public:
  explicit FetcherPool(const KafkaSettings& settings) : settings_(settings) {}
  absl::StatusOr<std::unique_ptr<Fetcher>> Take();
  void Return(std::unique_ptr<Fetcher> fetcher);

 private:
  const KafkaSettings& settings_;
  Mutex mutex_;
  std::vector<std::unique_ptr<Fetcher>> idle_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace marquee::messaging::kafka

#endif  // MARQUEE_MESSAGING_KAFKA_FETCHER_H_
