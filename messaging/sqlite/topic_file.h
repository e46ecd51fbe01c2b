// One topic's file, as a broker knows it: what the topic is, whether the file is still there, and a
// connection for short questions. Publishers and subscriptions have connections of their own.
//
// Ownership: shared by the broker and what it makes.
// Threads: any; it locks.
#ifndef MARQUEE_MESSAGING_SQLITE_TOPIC_FILE_H_
#define MARQUEE_MESSAGING_SQLITE_TOPIC_FILE_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "base/sqlite/database.h"
#include "messaging/broker.h"
#include "messaging/sqlite/store.h"
#include "messaging/sqlite/topic_layout.h"

namespace marquee::messaging {

class TopicFile {
 public:
  // Makes a file, durably. Its name in the directory is returned.
  static absl::StatusOr<std::string> Make(const Store& store, const TopicSpec& spec);
  static absl::StatusOr<std::shared_ptr<TopicFile>> Open(const Store& store,
                                                         const std::string& file);

  const std::string& path() const { return path_; }
  const TopicSpec& spec() const { return spec_; }
  const TopicIdentity& identity() const { return identity_; }
  TopicInfo Info() const;

  // Another connection. kDataLoss: the path no longer leads to this topic.
  absl::StatusOr<sqlite::Database> Connect(int64_t cache_bytes) const;
  // Whether the path still leads to the file that was opened (a stat): kFailedPrecondition. Whether
  // it may still be written: what Fail was told.
  absl::Status CheckPresent() const;
  // Nothing more is written to the topic by this process: `why`, kDataLoss.
  void Fail(const absl::Status& why) const;
  // kFailedPrecondition where the topic was deleted, as a connection sees it.
  absl::Status CheckNotDeleted(TopicStatements& statements) const;

  absl::StatusOr<bool> IsDeleted();
  absl::Status MarkDeleted();
  // kNotFound: no such shard.
  absl::Status CheckShard(Shard shard) const;
  absl::StatusOr<ShardState> ReadShard(Shard shard);
  absl::StatusOr<Extent> DescribeShard(Shard shard);
  // How many records are there at `from` and beyond; a row that `from` lies in is counted in
  // proportion.
  absl::StatusOr<int64_t> CountRecords(Shard shard, Offset from);

 private:
  TopicFile(const Store& store, sqlite::Database database, TopicStatements statements,
            TopicRow row);

  const Store& store_;
  const std::string path_;
  const TopicSpec spec_;
  const TopicIdentity identity_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
  mutable Mutex failure_mutex_;
  mutable absl::Status failure_ ABSL_GUARDED_BY(failure_mutex_);
  Mutex mutex_;
  sqlite::Database database_ ABSL_GUARDED_BY(mutex_);
  TopicStatements statements_ ABSL_GUARDED_BY(mutex_);
};

// The same words wherever it is found out.
absl::Status TopicWasDeleted(const std::string& topic);

}  // namespace marquee::messaging

#endif  // MARQUEE_MESSAGING_SQLITE_TOPIC_FILE_H_
