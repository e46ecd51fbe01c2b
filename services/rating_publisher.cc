#include "services/rating_publisher.h"

#include <utility>

#include "base/crash_point.h"
#include "base/status.h"

namespace marquee::services {

using messaging::Shard;

constexpr size_t kRecordBytesMax = domain::kMovieKeyBytesMax + domain::kRatingBytesMax;

RatingPublisher::RatingPublisher(const World& world, std::string source,
                                 domain::Incarnation incarnation,
                                 std::vector<uint64_t> next_sequence,
                                 std::unique_ptr<messaging::Publisher> publisher)
    : source_(std::move(source)),
      incarnation_(incarnation),
      next_sequence_(std::move(next_sequence)),
      publisher_(std::move(publisher)),
      published_(world.metrics.Published("ratingproducer", world.topics.ratings())),
      bytes_(std::make_unique<char[]>(kRatingsPerPublish * kRecordBytesMax)) {
  next_sequence_.resize(world.rules.shards, 1);
  flushed_through_ = next_sequence_;
  for (uint64_t& through : flushed_through_) --through;
  records_.reserve(kRatingsPerPublish);
}

absl::StatusOr<std::unique_ptr<RatingPublisher>> RatingPublisher::Open(
    const World& world, std::string source, domain::Incarnation incarnation,
    std::vector<uint64_t> next_sequence) {
  MARQUEE_ASSIGN_OR_RETURN(auto publisher, world.broker.OpenPublisher(world.topics.ratings()));
  return std::unique_ptr<RatingPublisher>(new RatingPublisher(
      world, std::move(source), incarnation, std::move(next_sequence), std::move(publisher)));
}

absl::Status RatingPublisher::Add(domain::Rating& rating) {
  char* at = bytes_.get() + bytes_used_;
  std::string_view key = domain::FormatMovieKey(rating.movie, at);
  Shard shard = messaging::ShardOfKey(key, static_cast<uint32_t>(next_sequence_.size()));
  if (!rating.stamp) rating.stamp.emplace();
  rating.stamp->source = source_;
  rating.stamp->incarnation = incarnation_;
  rating.stamp->sequence = domain::Sequence(next_sequence_[shard.value()]++);
  rating.stamp->flushed_through = domain::Sequence(flushed_through_[shard.value()]);
  char* value = at + key.size();
  char* end = domain::WriteRating(rating, value);
  // Field by field: one that is made first and then copied stalls on its own small stores.
  messaging::NewRecord& record = records_.emplace_back();
  record.key = key;
  record.value = std::string_view(value, static_cast<size_t>(end - value));
  record.shard = shard;
  bytes_used_ += static_cast<size_t>(end - at);
  ++added_;
  return records_.size() < kRatingsPerPublish ? absl::OkStatus() : Send();
}

absl::Status RatingPublisher::Send() {
  absl::Status status = publisher_->Publish(records_);
  unflushed_ += records_.size();
  records_.clear();
  bytes_used_ = 0;
  return status;
}

absl::StatusOr<messaging::FlushedThrough> RatingPublisher::Flush() {
  if (!records_.empty()) MARQUEE_RETURN_IF_ERROR(Send());
  MARQUEE_CRASH_POINT("ratings.before-flush");
  MARQUEE_ASSIGN_OR_RETURN(messaging::FlushedThrough through, publisher_->Flush());
  MARQUEE_CRASH_POINT("ratings.after-flush");
  for (size_t i = 0; i < next_sequence_.size(); ++i) flushed_through_[i] = next_sequence_[i] - 1;
  published_.Increment(static_cast<double>(unflushed_));
  unflushed_ = 0;
  return through;
}

void RatingPublisher::Rewind() {
  for (size_t i = 0; i < next_sequence_.size(); ++i) next_sequence_[i] = flushed_through_[i] + 1;
  added_ -= unflushed_ + records_.size();
  unflushed_ = 0;
  records_.clear();
  bytes_used_ = 0;
}

}  // namespace marquee::services
