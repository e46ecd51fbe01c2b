// Publishes to one topic with an idempotent producer of its own: acks=all, order kept, no gap.
//
// A broker takes whatever sequence is a producer's first in a shard. Where it refuses a first batch
// (it has only just become the leader) and takes the second, which is on its way already,
// librdkafka takes the first for stored with it: lost. So a shard's first message goes alone, and
// nothing follows it before it is acknowledged.
//
// After an error the producer is thrown away with all that it has queued, and the next call makes a
// new one. What the old one had in flight is waited for a moment; then its connections are reset. A
// broker that stood still meanwhile and goes on later may still store what it had received, after
// what the new producer has sent: ratings have numbers and means are mended; docs/kafka.md tells.
//
// Memory: kafka.queue_bytes. Threads: one at a time; what was stored is told by librdkafka's
// threads.
#ifndef MARQUEE_MESSAGING_KAFKA_PUBLISHER_H_
#define MARQUEE_MESSAGING_KAFKA_PUBLISHER_H_

#include <atomic>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "messaging/broker.h"
#include "messaging/kafka/client.h"
#include "messaging/kafka/handle.h"
#include "messaging/kafka/settings.h"
#include "messaging/kafka/topics.h"

namespace marquee::messaging::kafka {

// Whether a topic is still the one that it was.
class TopicCheck {
 public:
  virtual ~TopicCheck() = default;
  virtual absl::Status Check(absl::Duration age) = 0;
  // Its end now: for a record whose own offset the broker does not tell any more.
  virtual absl::StatusOr<Offset> EndOf(Shard shard) = 0;
};

struct PublisherOptions {
  TopicSpec topic;
  absl::Duration deadline = absl::Seconds(60);
  // What is published are packs: few messages, and compressed already.
  bool packs = false;
};

class KafkaPublisher final : public Publisher {
 public:
  // `settings` and `clock` outlive it.
  KafkaPublisher(const KafkaSettings& settings, PublisherOptions options,
                 std::unique_ptr<TopicCheck> check, Clock& clock);
  ~KafkaPublisher() override;
  // Connects, while the caller does other things; Publish does so too. kInvalidArgument: as
  // Client::Open.
  absl::Status Open();

  absl::Status Publish(std::span<const NewRecord> records) override;
  absl::StatusOr<FlushedThrough> Flush() override;

  // As Publish, of a pack of records of which the youngest was published at `newest`.
  absl::Status PublishPack(Shard shard, absl::Time newest, std::string_view pack);
  // From any thread: what waits now or later ends with kCancelled.
  void Interrupt() { interrupted_ = true; }

  // For tests: a fault that a broker can hardly be made to show.
  rd_kafka_t* handle() { return client_ == nullptr ? nullptr : client_->handle(); }

 private:
  // Before anything is published: that nothing has failed, that the topic is the one it was, that
  // there is a client.
  absl::Status Prepare();
  absl::Status Verify(absl::Duration age);
  // What has gone wrong since the last look.
  absl::Status Failure();
  // Throws the producer away; returns `status`.
  absl::Status GiveUp(absl::Status status);
  // Takes them to pieces by shard; hands over at once what cannot go in a batch.
  absl::Status Sort(std::span<const NewRecord> records);
  // Hands over what is `sorted_` for the shard, at most so many.
  absl::Status ProduceSorted(Shard shard, size_t most);
  // Before so many are handed over: how many of them may be.
  absl::StatusOr<size_t> AwaitFirst(Shard shard, size_t wanted);
  // `key`: none for a message without one.
  absl::Status ProduceAlone(std::optional<std::string_view> key, const NewRecord& record,
                            Shard shard, absl::Time time);
  // Waits where the queue is full. Other errors are returned.
  absl::Status AfterRefusal(rd_kafka_resp_err_t error, const char* text);
  absl::Status AwaitRoom();
  absl::Status AwaitDelivery();
  absl::Status LearnOffsets();
  void Undelivered(const rd_kafka_message_t& message);
  void Acknowledged(const rd_kafka_message_t& message);

  const KafkaSettings& settings_;
  const PublisherOptions options_;
  const std::unique_ptr<TopicCheck> check_;
  Clock& clock_;

  std::atomic<bool> interrupted_{false};
  std::unique_ptr<Client> client_;  // none: made at the next Publish
  TopicPtr topic_;
  absl::Status failure_;  // of a record, not told yet
  absl::Duration verified_at_;
  FlushedThrough through_;
  // By shard, what librdkafka's threads were told since the last flush.
  struct Told {
    std::atomic<int64_t> through{0};          // Kafka's offset after the last; 0: none
    std::atomic<bool> without_offset{false};  // one was stored at an offset that was not told
  };
  std::vector<Told> told_;
  // By shard, what the broker knows of this producer.
  struct Acquaintance {
    bool first_sent = false;
    bool first_stored = false;  // then the broker knows what comes next
    absl::Duration stored_at;   // something, at least then
  };
  std::vector<Acquaintance> acquainted_;
  // By shard, of the Publish that is under way: not handed over yet.
  std::vector<std::vector<rd_kafka_message_t>> sorted_;
};

}  // namespace marquee::messaging::kafka

#endif  // MARQUEE_MESSAGING_KAFKA_PUBLISHER_H_
