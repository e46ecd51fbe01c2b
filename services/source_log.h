// The topic `sources` as one producer process uses it: it reads what all producers say there, and
// writes under a key of its own. Threads: one at a time.
#ifndef MARQUEE_SERVICES_SOURCE_LOG_H_
#define MARQUEE_SERVICES_SOURCE_LOG_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "domain/source_progress.h"
#include "messaging/broker.h"
#include "services/service.h"

namespace marquee::services {

class SourceLog {
 public:
  // Reads the topic to its present end.
  static absl::StatusOr<std::unique_ptr<SourceLog>> Open(const World& world);

  // What was read so far.
  const domain::SourceClaims& claims() const { return claims_; }

  // Publishes and flushes the record, then reads on until it has been read back: `claims` then
  // knows everything that others wrote before it.
  absl::Status Write(const domain::SourceProgress& progress);

  // Claims a new incarnation of `claim.source` and reads it back. Of a repeatable input the open
  // claim with the lowest offset holds, which may be another's: the answer is the one that holds.
  absl::StatusOr<domain::SourceClaims::Claim> MakeClaim(domain::SourceProgress claim,
                                                        Random& random);

  // For an input that cannot be read again: claims an incarnation above all before, and forgets
  // those that no receiver knows any more. The record to write progress with; no number is used.
  absl::StatusOr<domain::SourceProgress> ClaimLive(const World& world, const std::string& source);

  // Deletes the records of live sources' incarnations that are older than the newest `kept` of
  // `source`.
  absl::Status ForgetOld(const std::string& source, uint32_t kept);

 private:
  SourceLog(const World& world, std::unique_ptr<messaging::Publisher> publisher,
            std::unique_ptr<messaging::Subscription> reader);
  absl::Status ReadTo(messaging::Offset end);
  absl::Status PublishAndRead(std::span<const messaging::NewRecord> records);

  messaging::TopicShard shard_;
  std::unique_ptr<messaging::Publisher> publisher_;
  std::unique_ptr<messaging::Subscription> reader_;
  domain::SourceClaims claims_;
};

}  // namespace marquee::services

#endif  // MARQUEE_SERVICES_SOURCE_LOG_H_
