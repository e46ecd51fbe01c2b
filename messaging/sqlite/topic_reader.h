// Reads a topic's file for one subscription, on a connection of its own. Holds no transaction
// between calls, so it never keeps a WAL from beginning anew.
//
// Threads: one at a time.
#ifndef MARQUEE_MESSAGING_SQLITE_TOPIC_READER_H_
#define MARQUEE_MESSAGING_SQLITE_TOPIC_READER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/sqlite/database.h"
#include "messaging/broker.h"
#include "messaging/pack.h"
#include "messaging/sqlite/topic_file.h"
#include "messaging/sqlite/topic_layout.h"

namespace marquee::messaging {

class TopicReader {
 public:
  static absl::StatusOr<std::unique_ptr<TopicReader>> Open(std::shared_ptr<TopicFile> file);

  const TopicFile& file() const { return *file_; }
  const std::shared_ptr<TopicFile>& shared_file() const { return file_; }

  // Looks whether anything was committed since the last look. kFailedPrecondition: the topic is
  // another by now.
  absl::Status Refresh();
  // As of the last Refresh. REQUIRES: the shard is there.
  absl::StatusOr<ShardState> State(Shard shard);

  // Where to read from, as of now. kOutOfRange: gone or beyond the end; kFailedPrecondition: of
  // another topic.
  absl::StatusOr<Offset> Resolve(Shard shard, const StartPosition& start);
  // Puts the records at and after `position` into `decoder`, a batch of them, and returns where the
  // next batch begins: `position` itself where there is nothing. Records before `position` may come
  // first. kOutOfRange: retention overtook.
  absl::StatusOr<Offset> Read(Shard shard, Offset position, PackDecoder* decoder);

 private:
  TopicReader(std::shared_ptr<TopicFile> file, sqlite::Database database,
              TopicStatements statements, sqlite::Statement data_version);
  absl::Status CheckWithin(Shard shard, Offset offset, const ShardState& state) const;
  absl::StatusOr<Offset> FirstSince(Shard shard, absl::Time time, const ShardState& state);
  absl::Status AddRow(const PackRow& row, PackDecoder* decoder) const;
  // Why there is no row at `position`.
  absl::Status ExplainGap(Shard shard, Offset position);

  const std::shared_ptr<TopicFile> file_;
  sqlite::Database database_;
  TopicStatements statements_;
  sqlite::Statement data_version_;
  int64_t seen_version_ = -1;
  std::vector<std::optional<ShardState>> states_;
};

}  // namespace marquee::messaging

#endif  // MARQUEE_MESSAGING_SQLITE_TOPIC_READER_H_
