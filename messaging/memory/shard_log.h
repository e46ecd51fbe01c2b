// The log of one shard of a topic in memory, with compaction and retention.
//
// Threads: one at a time (the server's lock). Records are shared, so that a reader's batch outlives
// compaction.
#ifndef MARQUEE_MESSAGING_MEMORY_SHARD_LOG_H_
#define MARQUEE_MESSAGING_MEMORY_SHARD_LOG_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/random.h"
#include "messaging/broker.h"
#include "messaging/memory/memory_broker.h"

namespace marquee::messaging::memory {

// A record that owns its bytes.
struct StoredRecord {
  StoredRecord(const NewRecord& record, absl::Time published);
  // What `view` borrows lives in this object, so it does not move.
  StoredRecord(const StoredRecord&) = delete;
  StoredRecord& operator=(const StoredRecord&) = delete;

  size_t bytes() const;

  std::string key;
  std::optional<std::string> value;
  std::vector<std::pair<std::string, std::string>> header_bytes;
  std::vector<Header> headers;
  Record view;  // its offset is set when it is stored
};

using RecordPtr = std::shared_ptr<const StoredRecord>;

class ShardLog {
 public:
  ShardLog(TopicKind kind, const MemoryWorldOptions& options) : kind_(kind), options_(options) {}

  // Stores `record` at the next offset, after a gap that `random` may draw.
  Offset Append(std::shared_ptr<StoredRecord> record, Random& random);

  // Drops the oldest records, those published before `time`, up to the first that was not.
  void DropBefore(absl::Time time);

  Extent extent() const;
  int64_t bytes() const { return bytes_; }

  // Whether one may read from `offset`: kOutOfRange, with the gap, where retention dropped
  // something at or after it, or where it lies beyond the end.
  absl::Status CheckReadable(Offset offset) const;

  Offset FirstSince(absl::Time time) const;
  int64_t CountFrom(Offset offset) const;
  // Whether nothing at or above it was ever taken away.
  bool IsWholeFrom(Offset offset) const { return offset.value() >= erased_end_; }

  // Where to begin so that up to `records` records below `offset`, none below `floor`, are read
  // again.
  Offset Back(Offset offset, uint64_t records, Offset floor) const;

  // Appends to `out` the records at or after `from`, until `records_max` of them are at or after
  // `fresh_from`.
  void Read(Offset from, Offset fresh_from, uint64_t records_max,
            std::vector<RecordPtr>* out) const;

 private:
  using Records = std::map<int64_t, RecordPtr>;

  void Compact(const StoredRecord& record);
  void ExpireTombstones();
  void Erase(Records::iterator at);

  const TopicKind kind_;
  const MemoryWorldOptions options_;
  Records records_;
  int64_t end_ = 0;
  int64_t dropped_end_ = 0;  // retention dropped nothing at or above it
  int64_t erased_end_ = 0;   // nor did compaction at or above this
  int64_t bytes_ = 0;
  int64_t appended_ = 0;
  // Entity topics: the newest record of each key, and when tombstones go (by `appended_`).
  absl::flat_hash_map<std::string, int64_t> newest_;
  std::deque<std::pair<int64_t, int64_t>> tombstones_;  // due, offset
};

}  // namespace marquee::messaging::memory

#endif  // MARQUEE_MESSAGING_MEMORY_SHARD_LOG_H_
