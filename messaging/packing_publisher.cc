#include "messaging/packing_publisher.h"

#include <optional>
#include <string>
#include <utility>

#include "base/status.h"
#include "messaging/checks.h"

namespace marquee::messaging {

PackingPublisher::PackingPublisher(TopicSpec topic, const PackLimits& limits,
                                   std::unique_ptr<PackSink> sink, Clock& clock)
    : topic_(std::move(topic)),
      sink_(std::move(sink)),
      clock_(clock),
      gatherer_(topic_.shards, limits) {}

PackingPublisher::~PackingPublisher() {
  {
    MutexLock lock(mutex_);
    stop_ = true;
    work_.SignalAll();
  }
  sink_->Interrupt();
  if (thread_.joinable()) thread_.join();
}

absl::Status PackingPublisher::Publish(std::span<const NewRecord> records) {
  for (const NewRecord& record : records) MARQUEE_RETURN_IF_ERROR(CheckRecord(topic_, record));
  int64_t now_ms = absl::ToUnixMillis(clock_.Now());
  absl::Duration now = clock_.Uptime();
  MutexLock lock(mutex_);
  if (!error_.ok()) return TakeError();
  if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
  for (const NewRecord& record : records) {
    Shard shard = record.shard ? *record.shard : ShardOfKey(record.key, topic_.shards);
    bool had_open = gatherer_.HasOpen(), had_sealed = gatherer_.HasSealed();
    gatherer_.Add(shard, record, now_ms, now);
    // It waits for the one or the other.
    if (had_open != gatherer_.HasOpen() || had_sealed != gatherer_.HasSealed()) work_.Signal();
    // The sink ends its waiting at the deadline, with an error.
    while (gatherer_.sealed_bytes() > kSealedBytesMax && error_.ok()) done_.Wait(mutex_);
    if (!error_.ok()) return TakeError();
  }
  return absl::OkStatus();
}

absl::StatusOr<FlushedThrough> PackingPublisher::Flush() {
  MutexLock lock(mutex_);
  if (!error_.ok()) return TakeError();
  if (!thread_.joinable()) return through_;
  gatherer_.SealAll();
  flush_waits_ = true;
  work_.Signal();
  while (flush_waits_ && error_.ok()) done_.Wait(mutex_);
  if (!error_.ok()) return TakeError();
  return through_;
}

absl::Status PackingPublisher::TakeError() {
  gatherer_.Clear();
  flush_waits_ = false;
  return std::exchange(error_, absl::OkStatus());
}

void PackingPublisher::Run() {
  while (true) {
    {
      MutexLock lock(mutex_);
      AwaitWork();
      if (stop_) return;
    }
    if (absl::Status status = Turn(); !status.ok()) Fail(std::move(status));
  }
}

void PackingPublisher::AwaitWork() {
  while (!stop_) {
    absl::Duration now = clock_.Uptime();
    if (error_.ok()) {
      gatherer_.SealLingered(now);
      if (gatherer_.HasSealed() || flush_waits_) return;
    }
    absl::Duration until = error_.ok() ? gatherer_.LingersUntil() : absl::InfiniteDuration();
    if (until == absl::InfiniteDuration()) {
      work_.Wait(mutex_);
    } else {
      work_.WaitFor(mutex_, until - now);
    }
  }
}

// Sends all that is sealed, then flushes where that is waited for.
absl::Status PackingPublisher::Turn() {
  std::optional<SealedPack> sealed;
  while (true) {
    {
      MutexLock lock(mutex_);
      if (stop_) return absl::OkStatus();
      if (sealed) gatherer_.Reuse(std::move(sealed->encoder));
      sealed = gatherer_.TakeSealed();
      done_.Signal();
      if (!sealed && !flush_waits_) return absl::OkStatus();
    }
    if (!sealed) return FlushSink();
    MARQUEE_RETURN_IF_ERROR(Send(*sealed));
  }
}

absl::Status PackingPublisher::Send(SealedPack& sealed) {
  absl::Time newest = absl::FromUnixMillis(sealed.encoder.newest_ms());
  pack_.clear();
  sealed.encoder.Finish(compressor_, &pack_);
  return sink_->Send(sealed.shard, newest, pack_);
}

absl::Status PackingPublisher::FlushSink() {
  MARQUEE_ASSIGN_OR_RETURN(FlushedThrough through, sink_->Flush());
  MutexLock lock(mutex_);
  through_ = std::move(through);
  flush_waits_ = false;
  done_.Signal();
  return absl::OkStatus();
}

void PackingPublisher::Fail(absl::Status status) {
  MutexLock lock(mutex_);
  gatherer_.Clear();
  error_ = std::move(status);
  done_.Signal();
}

}  // namespace marquee::messaging
