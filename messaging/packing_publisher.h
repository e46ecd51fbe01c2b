// A publisher that gathers records into packs and has them sent by somebody else: a thread of its
// own makes the packs and hands them over, so that whoever publishes waits for neither.
//
// Memory: the limits' open packs, kSealedBytesMax of sealed ones, and what the sink holds.
// Threads: the caller's, one at a time, and one of its own, which alone calls the sink.
// Errors: the sink's, and those of records over a limit.
#ifndef MARQUEE_MESSAGING_PACKING_PUBLISHER_H_
#define MARQUEE_MESSAGING_PACKING_PUBLISHER_H_

#include <memory>
#include <span>
#include <string_view>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "messaging/broker.h"
#include "messaging/pack_gatherer.h"

namespace marquee::messaging {

inline constexpr size_t kSealedBytesMax = size_t{4} << 20;

// Where packs go. Used by one thread at a time, but for Interrupt.
class PackSink {
 public:
  virtual ~PackSink() = default;
  // Takes a copy of the shard's next pack; `newest` is when the youngest of its records was
  // published. Waits while its queue is full, at most the broker's deadline. After an error nothing
  // of what was sent is sent any more, and it may be used again.
  virtual absl::Status Send(Shard shard, absl::Time newest, std::string_view pack) = 0;
  // As Publisher's.
  virtual absl::StatusOr<FlushedThrough> Flush() = 0;
  // Whatever it waits for, it waits no more: it is about to be destroyed. From any thread.
  virtual void Interrupt() = 0;
};

class PackingPublisher final : public Publisher {
 public:
  // `clock` outlives it.
  PackingPublisher(TopicSpec topic, const PackLimits& limits, std::unique_ptr<PackSink> sink,
                   Clock& clock);
  // What was not flushed may not be stored. Waits for the sink to notice.
  ~PackingPublisher() override;

  absl::Status Publish(std::span<const NewRecord> records) override;
  absl::StatusOr<FlushedThrough> Flush() override;

 private:
  // Of the caller's thread.
  absl::Status TakeError() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Of the other.
  void Run();
  void AwaitWork() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Send(SealedPack& sealed);
  absl::Status Turn();
  absl::Status FlushSink();
  void Fail(absl::Status status);

  const TopicSpec topic_;
  const std::unique_ptr<PackSink> sink_;
  Clock& clock_;
  PackCompressor compressor_;  // of the other thread, as is pack_
  std::string pack_;

  Mutex mutex_;
  CondVar work_;  // there is some, for the thread
  CondVar done_;  // something is, for the caller
  PackGatherer gatherer_ ABSL_GUARDED_BY(mutex_);
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  bool flush_waits_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status error_ ABSL_GUARDED_BY(mutex_);  // not told yet; until then the thread rests
  FlushedThrough through_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;  // from the first record on
};

}  // namespace marquee::messaging

#endif  // MARQUEE_MESSAGING_PACKING_PUBLISHER_H_
