// Publishes ratings with stamps: gives each its number in its shard, and knows up to which number
// each shard is durable. Threads: one at a time.
#ifndef MARQUEE_SERVICES_RATING_PUBLISHER_H_
#define MARQUEE_SERVICES_RATING_PUBLISHER_H_

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "domain/rating.h"
#include "messaging/broker.h"
#include "services/service.h"

namespace marquee::services {

class RatingPublisher {
 public:
  // `next_sequence`: by shard, the number of the next rating; empty: all 1. What is below is
  // durable.
  static absl::StatusOr<std::unique_ptr<RatingPublisher>> Open(const World& world,
                                                               std::string source,
                                                               domain::Incarnation incarnation,
                                                               std::vector<uint64_t> next_sequence);

  // Gives `rating` a stamp, in place of the one it has, and takes it; sends when kRatingsPerPublish
  // were taken.
  absl::Status Add(domain::Rating& rating);

  // Sends and flushes; all that was added is durable then.
  absl::StatusOr<messaging::FlushedThrough> Flush();

  // After an error of Add or Flush: takes back what was added since the last flush. Added again, in
  // the same order, each rating gets the stamp that it had: what was stored nevertheless is a
  // repeat.
  void Rewind();

  const std::vector<uint64_t>& next_sequence() const { return next_sequence_; }
  uint64_t added() const { return added_; }

 private:
  RatingPublisher(const World& world, std::string source, domain::Incarnation incarnation,
                  std::vector<uint64_t> next_sequence,
                  std::unique_ptr<messaging::Publisher> publisher);
  absl::Status Send();

  std::string source_;
  domain::Incarnation incarnation_;
  std::vector<uint64_t> next_sequence_;
  std::vector<uint64_t> flushed_through_;
  std::unique_ptr<messaging::Publisher> publisher_;
  prometheus::Counter& published_;

  // What was added and not sent yet. The records point into `bytes_`, which never grows.
  std::unique_ptr<char[]> bytes_;
  size_t bytes_used_ = 0;
  std::vector<messaging::NewRecord> records_;
  uint64_t added_ = 0;
  uint64_t unflushed_ = 0;
};

inline constexpr size_t kRatingsPerPublish = 1024;

}  // namespace marquee::services

#endif  // MARQUEE_SERVICES_RATING_PUBLISHER_H_
