// Publishes to a topic's file. Publish copies records into a pack for each shard; full packs go
// through a bounded queue to a thread that compresses and writes many of them in one transaction. A
// Flush while that thread is idle writes in the caller's thread: one transaction, one sync.
//
// Memory: kQueueBytesMax of records in queue and open packs, and one transaction of compressed
// packs. Threads: the caller's, one at a time, and one of its own (made at the first Publish). What
// both touch is guarded.
#ifndef MARQUEE_MESSAGING_SQLITE_SQLITE_PUBLISHER_H_
#define MARQUEE_MESSAGING_SQLITE_SQLITE_PUBLISHER_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "messaging/broker.h"
#include "messaging/pack.h"
#include "messaging/sqlite/store.h"
#include "messaging/sqlite/topic_file.h"
#include "messaging/sqlite/topic_writer.h"

namespace marquee::messaging {

// A pack is closed at this size, and goes to the writing thread.
inline constexpr size_t kPackFullBytes = size_t{256} << 10;
inline constexpr size_t kQueueBytesMax = size_t{8} << 20;
inline constexpr size_t kOpenBytesMax = size_t{8} << 20;
// A transaction of the writing thread ends at either.
inline constexpr size_t kTransactionPacksMax = 64;
inline constexpr size_t kTransactionBytesMax = size_t{4} << 20;

class SqlitePublisher final : public Publisher {
 public:
  SqlitePublisher(Store& store, std::shared_ptr<TopicFile> file);
  // What was not flushed may not be stored.
  ~SqlitePublisher() override;

  absl::Status Publish(std::span<const NewRecord> records) override;
  absl::StatusOr<FlushedThrough> Flush() override;
  // Packs are written in order, and after one that could not be none is.
  size_t together_bytes_max() const override { return kPackFullBytes; }

 private:
  struct CompressedPack {
    Shard shard;
    uint32_t records = 0;
    int64_t newest_ms = 0;
    std::string bytes;
  };
  // A pack on its way to the writing thread. Either thread compresses it; the order stays.
  struct QueuedPack {
    enum class State { kSealed, kBusy, kCompressed, kDiscarded };
    State state = State::kSealed;
    Shard shard;
    PackEncoder encoder;  // of whoever has made it kBusy
    CompressedPack pack;  // where kCompressed
    size_t bytes = 0;     // before it was compressed: its share of queue_bytes_
  };

  absl::Status Check(const NewRecord& record) const;

  // Of the caller's thread.
  absl::Status WaitForRoom() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status FlushHere() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status FlushThere() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status TakeError() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool WriterIsIdle() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return queue_.empty() && batch_.empty() && !writing_;
  }

  // Of the writing thread.
  void Run();
  void TakeCompressed() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void CommitBatch() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void CheckpointBeside() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Rest() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool BatchIsDue() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool Lingered(absl::Duration since) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Of both.
  void Seal(size_t shard) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SealAll() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Discard() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The first of the queue that nobody has begun; false where there is none.
  bool CompressOne(PackCompressor& compressor) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // By whoever has set writing_, without the lock.
  absl::Status Write(std::span<const CompressedPack> packs, FlushedThrough* through);
  static CompressedPack Compress(Shard shard, PackEncoder& encoder, PackCompressor& compressor);

  Store& store_;
  const std::shared_ptr<TopicFile> file_;
  std::thread thread_;

  Mutex mutex_;
  CondVar work_;  // for the writing thread
  CondVar done_;  // for the caller
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool flush_waits_ ABSL_GUARDED_BY(mutex_) = false;
  bool send_now_ ABSL_GUARDED_BY(mutex_) = false;
  bool checkpoint_wanted_ ABSL_GUARDED_BY(mutex_) = false;
  bool rests_long_ ABSL_GUARDED_BY(mutex_) = false;
  bool rest_timed_out_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status error_ ABSL_GUARDED_BY(mutex_);  // not told yet
  FlushedThrough through_ ABSL_GUARDED_BY(mutex_);

  std::vector<PackEncoder> open_ ABSL_GUARDED_BY(mutex_);  // by shard
  size_t open_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Duration open_since_ ABSL_GUARDED_BY(mutex_);
  std::deque<std::shared_ptr<QueuedPack>> queue_ ABSL_GUARDED_BY(mutex_);
  size_t queue_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<PackEncoder> spare_ ABSL_GUARDED_BY(mutex_);
  std::vector<CompressedPack> batch_ ABSL_GUARDED_BY(mutex_);
  size_t batch_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Duration batch_since_ ABSL_GUARDED_BY(mutex_);

  // Of whoever has set writing_.
  std::unique_ptr<TopicWriter> writer_;
  PackCompressor callers_compressor_;
  PackCompressor writers_compressor_;
  std::unique_ptr<TopicWriter> checkpointer_;
};

}  // namespace marquee::messaging

#endif  // MARQUEE_MESSAGING_SQLITE_SQLITE_PUBLISHER_H_
