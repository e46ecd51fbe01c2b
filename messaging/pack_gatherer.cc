#include "messaging/pack_gatherer.h"

#include <algorithm>
#include <utility>

#include "base/status.h"

namespace marquee::messaging {
namespace {

// More are freed.
constexpr size_t kSpareMax = 16;

size_t BytesOf(const NewRecord& record) {
  size_t bytes = record.key.size() + (record.value ? record.value->size() : 0);
  for (const Header& header : record.headers) bytes += header.name.size() + header.value.size();
  return bytes;
}

}  // namespace

PackGatherer::PackGatherer(uint32_t shards, const PackLimits& limits)
    : limits_(limits), open_(shards) {}

void PackGatherer::Add(Shard shard, const NewRecord& record, int64_t published_ms,
                       absl::Duration now) {
  MARQUEE_CHECK(shard.value() < open_.size());
  PackEncoder& encoder = open_[shard.value()];
  if (!encoder.empty() && encoder.raw_bytes() + BytesOf(record) > limits_.pack_bytes)
    Seal(shard.value());
  if (open_bytes_ == 0) open_since_ = now;
  size_t before = encoder.raw_bytes();
  encoder.Add(record.key, record.value, record.headers, published_ms);
  open_bytes_ += encoder.raw_bytes() - before;
  if (encoder.raw_bytes() >= limits_.pack_bytes || encoder.records() >= limits_.pack_records)
    Seal(shard.value());
  if (open_bytes_ >= limits_.open_bytes) SealAll();
}

void PackGatherer::MakeRoom(size_t bytes) {
  if (open_bytes_ + bytes >= limits_.open_bytes) SealAll();
}

void PackGatherer::Seal(size_t shard) {
  PackEncoder next;
  if (!spare_.empty()) {
    next = std::move(spare_.back());
    spare_.pop_back();
  }
  std::swap(next, open_[shard]);
  open_bytes_ -= next.raw_bytes();
  sealed_bytes_ += next.raw_bytes();
  sealed_.push_back({Shard(static_cast<uint32_t>(shard)), std::move(next)});
}

void PackGatherer::SealAll() {
  if (open_bytes_ == 0) return;
  for (size_t shard = 0; shard < open_.size(); ++shard) {
    if (!open_[shard].empty()) Seal(shard);
  }
}

void PackGatherer::SealLingered(absl::Duration now) {
  if (now >= LingersUntil()) SealAll();
}

absl::Duration PackGatherer::LingersUntil() const {
  return HasOpen() ? open_since_ + kPackLinger : absl::InfiniteDuration();
}

std::optional<SealedPack> PackGatherer::TakeSealed() {
  if (sealed_.empty()) return std::nullopt;
  SealedPack sealed = std::move(sealed_.front());
  sealed_.pop_front();
  sealed_bytes_ -= sealed.encoder.raw_bytes();
  return sealed;
}

void PackGatherer::Reuse(PackEncoder encoder) {
  if (spare_.size() >= kSpareMax) return;
  encoder.Clear();
  spare_.push_back(std::move(encoder));
}

void PackGatherer::Clear() {
  for (PackEncoder& encoder : open_) encoder.Clear();
  open_bytes_ = 0;
  sealed_.clear();
  sealed_bytes_ = 0;
}

}  // namespace marquee::messaging
