// Gathers a publisher's records into packs, of each shard one that is open. A pack is sealed when
// it is full, when all open ones together are too large, when it has lingered, or when it is told
// to. Sealed ones wait in the order in which they were sealed, which is each shard's order of
// records.
//
// Memory: limits.open_bytes of open packs, and the sealed ones, which the owner bounds.
// Threads: one at a time; the owner's lock guards it where there are several.
#ifndef MARQUEE_MESSAGING_PACK_GATHERER_H_
#define MARQUEE_MESSAGING_PACK_GATHERER_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "absl/time/time.h"
#include "messaging/broker.h"
#include "messaging/pack.h"
#include "messaging/packed_log.h"

namespace marquee::messaging {

// Half of kLinger, what records may linger in all: the rest is for whatever sends the packs.
inline constexpr absl::Duration kPackLinger = absl::Milliseconds(50);

struct PackLimits {
  // No pack has more columns' bytes, before compression, but for one of a single larger record.
  size_t pack_bytes = size_t{256} << 10;
  uint32_t pack_records = kPackRecordsMax;
  // Of all open packs together.
  size_t open_bytes = size_t{8} << 20;
};

struct SealedPack {
  Shard shard;
  PackEncoder encoder;  // not empty
};

class PackGatherer {
 public:
  PackGatherer(uint32_t shards, const PackLimits& limits);

  // Copies the record. `now` is the clock's uptime. REQUIRES: the shard is one of them.
  void Add(Shard shard, const NewRecord& record, int64_t published_ms, absl::Duration now);
  void SealAll();
  // So that so many bytes of records, as BytesTogether counts, are not divided where they are added
  // to an empty pack. REQUIRES: at most TogetherBytesMax.
  void MakeRoom(size_t bytes);
  static size_t TogetherBytesMax(size_t pack_bytes) {
    return std::min(pack_bytes, kRecordBytes * kPackRecordsMax);
  }
  // SealAll, where the oldest record of the open packs has lingered.
  void SealLingered(absl::Duration now);
  // When that is: infinite where no pack is open.
  absl::Duration LingersUntil() const;

  bool HasOpen() const { return open_bytes_ > 0; }
  bool HasSealed() const { return !sealed_.empty(); }
  // About the memory of the sealed packs.
  size_t sealed_bytes() const { return sealed_bytes_; }
  // The next of the sealed packs; none where there is none.
  std::optional<SealedPack> TakeSealed();
  // Takes the buffers of one that was finished, for another pack.
  void Reuse(PackEncoder encoder);
  // Forgets all records.
  void Clear();

 private:
  void Seal(size_t shard);

  const PackLimits limits_;
  std::vector<PackEncoder> open_;  // by shard
  size_t open_bytes_ = 0;          // at least one for each record
  absl::Duration open_since_;      // where any is open
  std::deque<SealedPack> sealed_;
  size_t sealed_bytes_ = 0;
  std::vector<PackEncoder> spare_;
};

}  // namespace marquee::messaging

#endif  // MARQUEE_MESSAGING_PACK_GATHERER_H_
