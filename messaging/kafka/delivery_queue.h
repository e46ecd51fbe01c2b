// What a fetcher has handed over, as batches of one shard each, whose records borrow their bytes
// from librdkafka's messages until those are freed, or from the buffers that packs are unpacked to.
//
// Memory: beside the messages kUnpackedBytesMax, or one pack.
// Threads: one.
#ifndef MARQUEE_MESSAGING_KAFKA_DELIVERY_QUEUE_H_
#define MARQUEE_MESSAGING_KAFKA_DELIVERY_QUEUE_H_

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "messaging/broker.h"
#include "messaging/kafka/fetcher.h"
#include "messaging/pack.h"

namespace marquee::messaging::kafka {

// About so many bytes of packs are unpacked at once.
inline constexpr size_t kUnpackedBytesMax = size_t{256} << 10;

// Of one shard, in order: messages, then where its reading stands, or what befell it. The messages
// are records, or packs, which are unpacked when their turn comes.
struct Portion {
  Source source;
  std::vector<Record> records;
  std::vector<const rd_kafka_message_t*> packs;
  size_t pack_bytes = 0;  // unpacked
  std::optional<KafkaOffset> first;
  int64_t messages = 0;
  std::optional<KafkaOffset> next;  // none: nothing that moves the position
  rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR_NO_ERROR;
  std::string error_text;
};

// What a portion holds.
struct Unpacked {
  std::span<const Record> records;
  int64_t messages = 0;  // from the portion's first on, all of whose records these are
  std::optional<KafkaOffset> next;
  absl::Status damage;  // not ok: what is at `next` cannot be unpacked
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
  const Portion& Pop() { return portions_[first_++]; }
  // Valid until the next Unpack or Fill. REQUIRES: Pop returned it, and no Fill since.
  Unpacked Unpack(const Portion& portion);
  void Drop(const TopicShard& shard);
  // Frees all.
  void Clear();

 private:
  // The one that the next message of `source` goes to, if it fits.
  Portion& PortionOf(const Source& source);
  Portion& NewPortion(const Source& source);
  void Add(Portion& portion, rd_kafka_message_t* message, bool is_pack);
  std::span<const Header> HeadersOf(rd_kafka_message_t* message);

  const bool wants_headers_;
  std::vector<rd_kafka_message_t*> messages_;
  size_t taken_ = 0;               // of messages_
  std::vector<Portion> portions_;  // the first `used_`; kept with their memory for the next Fill
  size_t used_ = 0;
  size_t first_ = 0;  // that was not popped
  std::deque<std::vector<Header>> headers_;
  PackDecoder decoder_;
};

}  // namespace marquee::messaging::kafka

#endif  // MARQUEE_MESSAGING_KAFKA_DELIVERY_QUEUE_H_
