// Takes superseded records out of a shard of an entity topic: of each key the newest record stays,
// with its offset. A deletion (a record without a value) stays for a while, so that a reader with
// an old position learns of it.
//
// Threads: as the connection that it works on.
#ifndef MARQUEE_MESSAGING_SQLITE_COMPACTION_H_
#define MARQUEE_MESSAGING_SQLITE_COMPACTION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "messaging/pack.h"
#include "messaging/sqlite/topic_layout.h"

namespace marquee::messaging {

// A shard is compacted when it holds more than twice what the last compaction left, and this much
// more.
inline constexpr int64_t kCompactionSlackRecords = 1024;
inline constexpr int64_t kCompactionSlackBytes = int64_t{1} << 20;

bool NeedsCompaction(const ShardState& state);

class Compaction {
 public:
  Compaction(TopicStatements& statements, PackCompressor& compressor)
      : statements_(statements), compressor_(compressor) {}

  // Within the caller's transaction. Deletions published before `tombstones_before_ms` go as well.
  // Changes `state`, which the caller writes.
  absl::Status Run(Shard shard, int64_t tombstones_before_ms, ShardState* state);

 private:
  class SeenKeys;
  struct Group;

  absl::Status CompactGroup(const Group& group, int64_t tombstones_before_ms, SeenKeys& seen);
  absl::Status ReadGroup(const Group& group);
  absl::Status WriteGroup(const Group& group, const std::vector<bool>& keeps);
  absl::Status WritePack(Shard shard, Offset from, Offset until);

  TopicStatements& statements_;
  PackCompressor& compressor_;
  PackDecoder decoder_;
  PackEncoder encoder_;
  std::string pack_;
  int64_t records_ = 0;
  int64_t bytes_ = 0;
};

}  // namespace marquee::messaging

#endif  // MARQUEE_MESSAGING_SQLITE_COMPACTION_H_
