#include "messaging/sqlite/sqlite_publisher.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/status.h"

namespace marquee::messaging {
namespace {

constexpr size_t kSparesMax = 8;
// Beyond this multiple of the wanted size a WAL is emptied while publishers wait.
constexpr int64_t kWalBytesFactorMax = 3;

}  // namespace

SqlitePublisher::SqlitePublisher(Store& store, std::shared_ptr<TopicFile> file)
    : store_(store), file_(std::move(file)), open_(file_->spec().shards) {}

SqlitePublisher::~SqlitePublisher() {
  {
    MutexLock lock(mutex_);
    stop_ = true;
    work_.SignalAll();
  }
  if (thread_.joinable()) thread_.join();
}

absl::Status SqlitePublisher::Check(const NewRecord& record) const {
  size_t bytes = record.key.size() + (record.value.has_value() ? record.value->size() : 0);
  for (const Header& header : record.headers) bytes += header.name.size() + header.value.size();
  const std::string& topic = file_->spec().name;
  if (bytes > kMessageBytesMax) {
    return absl::InvalidArgumentError(
        fmt::format("topic {}: a message has {} bytes of key, value and headers; the limit is {}",
                    topic, bytes, kMessageBytesMax));
  }
  if (record.key.size() > kKeyBytesMax) {
    return absl::InvalidArgumentError(fmt::format("topic {}: a key has {} bytes; the limit is {}",
                                                  topic, record.key.size(), kKeyBytesMax));
  }
  if (record.headers.size() > kHeadersMax) {
    return absl::InvalidArgumentError(
        fmt::format("topic {}: a message has {} headers; the limit is {}", topic,
                    record.headers.size(), kHeadersMax));
  }
  if (record.shard.has_value() && record.shard->value() >= file_->spec().shards) {
    return absl::InvalidArgumentError(
        fmt::format("topic {} has shards 0 to {}; a message names shard {}", topic,
                    file_->spec().shards - 1, record.shard->value()));
  }
  return absl::OkStatus();
}

absl::Status SqlitePublisher::Publish(std::span<const NewRecord> records) {
  for (const NewRecord& record : records) MARQUEE_RETURN_IF_ERROR(Check(record));
  int64_t now_ms = absl::ToUnixMillis(store_.clock.Now());
  MutexLock lock(mutex_);
  if (!error_.ok()) return TakeError();
  if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
  if (open_bytes_ == 0) {
    open_since_ = store_.clock.Uptime();
    if (rests_long_) work_.Signal();
  }
  for (const NewRecord& record : records) {
    Shard shard =
        record.shard.has_value() ? *record.shard : ShardOfKey(record.key, file_->spec().shards);
    PackEncoder& encoder = open_[shard.value()];
    size_t before = encoder.raw_bytes();
    encoder.Add(record.key, record.value, record.headers, now_ms);
    open_bytes_ += encoder.raw_bytes() - before;
    if (encoder.raw_bytes() < kPackFullBytes && open_bytes_ < kOpenBytesMax) continue;
    if (open_bytes_ < kOpenBytesMax) {
      Seal(shard.value());
    } else {
      SealAll();
    }
    MARQUEE_RETURN_IF_ERROR(WaitForRoom());
  }
  return absl::OkStatus();
}

// A writing thread that falls behind gets help: compressing takes most of the time. It gives up at
// the deadline, so this ends.
absl::Status SqlitePublisher::WaitForRoom() {
  while (error_.ok()) {
    if (queue_bytes_ > kQueueBytesMax / 2 && CompressOne(callers_compressor_)) continue;
    if (queue_bytes_ <= kQueueBytesMax) return absl::OkStatus();
    done_.Wait(mutex_);
  }
  return TakeError();
}

absl::StatusOr<FlushedThrough> SqlitePublisher::Flush() {
  MutexLock lock(mutex_);
  if (!error_.ok()) return TakeError();
  MARQUEE_RETURN_IF_ERROR(WriterIsIdle() ? FlushHere() : FlushThere());
  return through_;
}

absl::Status SqlitePublisher::FlushHere() {
  if (open_bytes_ == 0) return absl::OkStatus();
  writing_ = true;
  std::vector<CompressedPack> packs;
  for (uint32_t shard = 0; shard < open_.size(); ++shard) {
    if (open_[shard].empty()) continue;
    packs.push_back(
        Compress(Shard(static_cast<uint32_t>(shard)), open_[shard], callers_compressor_));
  }
  open_bytes_ = 0;
  FlushedThrough through;
  mutex_.Unlock();
  absl::Status status = Write(packs, &through);
  mutex_.Lock();
  writing_ = false;
  for (const auto& [shard, offset] : through) through_[shard] = offset;
  if (writer_ != nullptr && writer_->wal_bytes() >= store_.settings.wal_bytes) {
    checkpoint_wanted_ = true;
    work_.Signal();
  }
  return status;
}

absl::Status SqlitePublisher::FlushThere() {
  SealAll();
  flush_waits_ = true;
  work_.Signal();
  while (!WriterIsIdle() && error_.ok()) {
    if (!CompressOne(callers_compressor_)) done_.Wait(mutex_);
  }
  flush_waits_ = false;
  return error_.ok() ? absl::OkStatus() : TakeError();
}

absl::Status SqlitePublisher::TakeError() {
  Discard();
  return std::exchange(error_, absl::OkStatus());
}

void SqlitePublisher::Discard() {
  for (PackEncoder& encoder : open_) encoder.Clear();
  open_bytes_ = 0;
  for (const auto& queued : queue_) queued->state = QueuedPack::State::kDiscarded;
  queue_.clear();
  queue_bytes_ = 0;
  batch_.clear();
  batch_bytes_ = 0;
}

void SqlitePublisher::Seal(size_t shard) {
  PackEncoder spare;
  if (!spare_.empty()) {
    spare = std::move(spare_.back());
    spare_.pop_back();
  }
  std::swap(spare, open_[shard]);
  auto queued = std::make_shared<QueuedPack>();
  queued->shard = Shard(static_cast<uint32_t>(shard));
  queued->bytes = spare.raw_bytes();
  open_bytes_ -= queued->bytes;
  queue_bytes_ += queued->bytes;
  queued->encoder = std::move(spare);
  queue_.push_back(std::move(queued));
  work_.Signal();
}

void SqlitePublisher::SealAll() {
  for (size_t shard = 0; shard < open_.size(); ++shard) {
    if (!open_[shard].empty()) Seal(shard);
  }
}

bool SqlitePublisher::CompressOne(PackCompressor& compressor) {
  auto at = std::find_if(queue_.begin(), queue_.end(), [](const auto& queued) {
    return queued->state == QueuedPack::State::kSealed;
  });
  if (at == queue_.end()) return false;
  std::shared_ptr<QueuedPack> queued = *at;
  queued->state = QueuedPack::State::kBusy;
  mutex_.Unlock();
  CompressedPack pack = Compress(queued->shard, queued->encoder, compressor);
  mutex_.Lock();
  if (spare_.size() < kSparesMax) spare_.push_back(std::move(queued->encoder));
  if (queued->state == QueuedPack::State::kDiscarded) return true;
  queued->state = QueuedPack::State::kCompressed;
  queued->pack = std::move(pack);
  work_.Signal();
  done_.Signal();
  return true;
}

SqlitePublisher::CompressedPack SqlitePublisher::Compress(Shard shard, PackEncoder& encoder,
                                                          PackCompressor& compressor) {
  CompressedPack pack{
      .shard = shard, .records = encoder.records(), .newest_ms = encoder.newest_ms(), .bytes = {}};
  encoder.Finish(compressor, &pack.bytes);
  pack.bytes.shrink_to_fit();  // the compressor needs more room than it fills
  return pack;
}

absl::Status SqlitePublisher::Write(std::span<const CompressedPack> packs,
                                    FlushedThrough* through) {
  std::vector<PackToWrite> to_write;
  to_write.reserve(packs.size());
  for (const CompressedPack& pack : packs) {
    to_write.push_back({pack.shard, pack.records, pack.newest_ms, pack.bytes});
  }
  if (writer_ == nullptr) {
    MARQUEE_ASSIGN_OR_RETURN(writer_, TopicWriter::Open(store_, file_));
  }
  absl::Status status = writer_->Write(to_write, through);
  if (status.ok()) {
    store_.notifier.Notify();
    if (writer_->wal_bytes() < kWalBytesFactorMax * store_.settings.wal_bytes)
      return absl::OkStatus();
    // What was written is durable whatever becomes of the checkpoint.
    if (writer_->CheckpointWal(/*wait_for_readers=*/true).ok()) return absl::OkStatus();
  }
  writer_.reset();
  return status;
}

void SqlitePublisher::Run() {
  MutexLock lock(mutex_);
  while (!stop_) {
    // NOLINTNEXTLINE(bugprone-branch-clone): the first branch that is due, in this order.
    if (!error_.ok()) {
      Rest();  // nothing more is sent until the caller knows
    } else if (!queue_.empty() && queue_.front()->state == QueuedPack::State::kCompressed) {
      TakeCompressed();
    } else if (CompressOne(writers_compressor_)) {
    } else if (!queue_.empty()) {
      work_.Wait(mutex_);  // the caller compresses the last of them
    } else if (BatchIsDue()) {
      CommitBatch();
    } else if (open_bytes_ > 0 && !writing_ && Lingered(open_since_)) {
      send_now_ = true;
      SealAll();
    } else if (checkpoint_wanted_) {
      CheckpointBeside();
    } else {
      Rest();
    }
  }
}

bool SqlitePublisher::Lingered(absl::Duration since) const {
  return store_.clock.IsManual() ? rest_timed_out_ : store_.clock.Uptime() - since >= kLinger / 2;
}

bool SqlitePublisher::BatchIsDue() const {
  if (batch_.empty()) return false;
  return send_now_ || flush_waits_ || Lingered(batch_since_);
}

void SqlitePublisher::TakeCompressed() {
  std::shared_ptr<QueuedPack> queued = std::move(queue_.front());
  queue_.pop_front();
  queue_bytes_ -= queued->bytes;
  if (batch_.empty()) batch_since_ = store_.clock.Uptime();
  batch_bytes_ += queued->pack.bytes.size();
  batch_.push_back(std::move(queued->pack));
  done_.Signal();
  if (batch_.size() >= kTransactionPacksMax || batch_bytes_ >= kTransactionBytesMax) CommitBatch();
}

void SqlitePublisher::CommitBatch() {
  std::vector<CompressedPack> packs = std::move(batch_);
  batch_.clear();
  batch_bytes_ = 0;
  if (queue_.empty()) send_now_ = false;
  writing_ = true;
  mutex_.Unlock();
  FlushedThrough through;
  absl::Status status = Write(packs, &through);
  if (status.ok() && writer_ != nullptr && writer_->wal_bytes() >= store_.settings.wal_bytes &&
      !writer_->CheckpointWal(/*wait_for_readers=*/false).ok()) {
    writer_.reset();
  }
  mutex_.Lock();
  writing_ = false;
  for (const auto& [shard, offset] : through) through_[shard] = offset;
  if (!status.ok()) {
    Discard();
    error_ = status;
  }
  done_.Signal();
}

// On a connection of its own, so that no flush waits for it.
void SqlitePublisher::CheckpointBeside() {
  checkpoint_wanted_ = false;
  mutex_.Unlock();
  if (checkpointer_ == nullptr) {
    absl::StatusOr<std::unique_ptr<TopicWriter>> opened = TopicWriter::Open(store_, file_);
    if (opened.ok()) checkpointer_ = *std::move(opened);
  }
  // One that fails is tried again after the next flush; a writer that meets the same trouble tells
  // its caller.
  if (checkpointer_ != nullptr && !checkpointer_->CheckpointWal(/*wait_for_readers=*/false).ok()) {
    checkpointer_.reset();
  }
  mutex_.Lock();
}

void SqlitePublisher::Rest() {
  if (batch_.empty() && open_bytes_ == 0) {
    rests_long_ = true;
    rest_timed_out_ = false;
    work_.Wait(mutex_);
    rests_long_ = false;
  } else {
    rest_timed_out_ = !work_.WaitFor(mutex_, kLinger / 2);
  }
}

}  // namespace marquee::messaging
