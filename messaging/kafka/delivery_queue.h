// What a fetcher has handed over, as batches of one shard each, whose records borrow their bytes
// from librdkafka's messages until those are freed.
//
// Threads: one.
#ifndef MARQUEE_MESSAGING_KAFKA_DELIVERY_QUEUE_H_
#define MARQUEE_MESSAGING_KAFKA_DELIVERY_QUEUE_H_

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <vector>

#include "messaging/broker.h"
#include "messaging/kafka/fetcher.h"

namespace marquee::messaging::kafka {

// Of one shard, in order: records, then where its reading stands, or what befell it.
struct Portion {
  TopicShard shard;
  std::vector<Record> records;
  std::optional<Offset> next;  // none: nothing that moves the position
  rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR_NO_ERROR;
  std::string error_text;
};

class DeliveryQueue {
 public:
  // Without `headers` every record's are left out.
  explicit DeliveryQueue(bool headers);
  ~DeliveryQueue();
  DeliveryQueue(const DeliveryQueue&) = delete;
  DeliveryQueue& operator=(const DeliveryQueue&) = delete;

  // Takes what `fetcher` has; frees what was taken before. REQUIRES: empty().
  void Fill(Fetcher& fetcher);
  bool empty() const { return first_ == used_; }
  // Valid until the next Fill. REQUIRES: not empty().
  Portion& Pop() { return portions_[first_++]; }
  void Drop(const TopicShard& shard);
  // Frees all.
  void Clear();

 private:
  Portion& PortionOf(const TopicShard& shard);
  void Add(Portion& portion, rd_kafka_message_t* message);
  std::span<const Header> HeadersOf(rd_kafka_message_t* message);

  const bool wants_headers_;
  std::vector<rd_kafka_message_t*> messages_;
  size_t taken_ = 0;               // of messages_
  std::vector<Portion> portions_;  // the first `used_`; kept with their memory for the next Fill
  size_t used_ = 0;
  size_t first_ = 0;  // that was not popped
  std::deque<std::vector<Header>> headers_;
};

}  // namespace marquee::messaging::kafka

#endif  // MARQUEE_MESSAGING_KAFKA_DELIVERY_QUEUE_H_
