// A checkpoint of a shard as records of `mean-ratings-checkpoints`: parts that are never
// overwritten, since their keys carry a nonce, and that a reader puts together only where they are
// complete.
#ifndef MARQUEE_DOMAIN_CHECKPOINT_H_
#define MARQUEE_DOMAIN_CHECKPOINT_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/digest.h"
#include "domain/ids.h"

namespace marquee::domain {

inline constexpr size_t kCheckpointPartBytesMax = 512 << 10;

struct Checkpoint {
  uint32_t shard = 0;
  std::string ratings_identity;
  LogOffset next;  // the state holds everything below it
  // The last record of the log that is in the state; none for the state of an empty log.
  struct LastRecord {
    LogOffset offset;
    Digest digest;  // DigestOfLogRecord
    friend bool operator==(const LastRecord&, const LastRecord&) = default;
  };
  std::optional<LastRecord> last_record;
  std::string state;  // ShardState::Encode
  friend bool operator==(const Checkpoint&, const Checkpoint&) = default;
};

Digest DigestOfLogRecord(std::string_view key, std::optional<std::string_view> value);

struct CheckpointPart {
  std::string key;    // "SHARD/NONCE/PART", the part from 0
  std::string value;  // message marquee.v1.CheckpointPart
};

// `nonce`: random, never used before.
std::vector<CheckpointPart> SplitCheckpoint(const Checkpoint& checkpoint, uint64_t nonce);

// Collects what is read of a shard of the topic and finds the complete checkpoint with the highest
// `next`, whoever wrote it and however late it came.
class CheckpointCollector {
 public:
  explicit CheckpointCollector(uint32_t shard) : shard_(shard) {}

  // A record of the topic; no value deletes its key. kDataLoss: not a part (of this shard); it is
  // then passed over.
  absl::Status Add(std::string_view key, std::optional<std::string_view> value);

  // The complete one with the highest `next` (of several, the one with the highest nonce), its
  // parts verified against the digest of the whole; none where there is none.
  std::optional<Checkpoint> Best() const;
  // The nonce of Best().
  std::optional<uint64_t> BestNonce() const;
  // Keys of all parts with a lower `next` than Best(), complete or not: a writer that has read its
  // own back complete deletes these.
  std::vector<std::string> KeysBelowBest() const;
  // Forgets what is at `key`, as a deletion that was read does.
  void Forget(std::string_view key);

 private:
  struct Part {
    LogOffset next;
    std::string header;  // what all parts have in common, as it is digested
    Digest digest;       // of the whole
    std::string body;
  };
  using Parts = std::map<uint32_t, Part>;  // by number; never empty

  // None where the parts are not all there, are not of one checkpoint, or are damaged.
  static std::optional<Checkpoint> PutTogether(const Parts& parts);
  std::optional<std::pair<uint64_t, Checkpoint>> FindBest() const;

  uint32_t shard_;
  std::map<uint64_t, Parts> by_nonce_;
};

}  // namespace marquee::domain

#endif  // MARQUEE_DOMAIN_CHECKPOINT_H_
