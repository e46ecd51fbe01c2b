#include "services/rating_publisher.h"

#include <utility>

#include "base/crash_point.h"
#include "base/status.h"

namespace marquee::services {

using messaging::Shard;

RatingPublisher::RatingPublisher(const World& world, std::string source,
                                 domain::Incarnation incarnation,
                                 std::vector<uint64_t> next_sequence,
                                 std::unique_ptr<messaging::Publisher> publisher)
    : source_(std::move(source)),
      incarnation_(incarnation),
      next_sequence_(std::move(next_sequence)),
      publisher_(std::move(publisher)),
      published_(world.metrics.Published("ratingproducer", world.topics.ratings())) {
  next_sequence_.resize(world.rules.shards, 1);
  flushed_through_ = next_sequence_;
  for (uint64_t& through : flushed_through_) --through;
  pieces_.reserve(kRatingsPerPublish);
  records_.reserve(kRatingsPerPublish);
}

absl::StatusOr<std::unique_ptr<RatingPublisher>> RatingPublisher::Open(
    const World& world, std::string source, domain::Incarnation incarnation,
    std::vector<uint64_t> next_sequence) {
  MARQUEE_ASSIGN_OR_RETURN(auto publisher, world.broker.OpenPublisher(world.topics.ratings()));
  return std::unique_ptr<RatingPublisher>(new RatingPublisher(
      world, std::move(source), incarnation, std::move(next_sequence), std::move(publisher)));
}

absl::Status RatingPublisher::Add(domain::Rating rating) {
  char key_buffer[20];
  std::string_view key = domain::FormatMovieKey(rating.movie, key_buffer);
  Shard shard = messaging::ShardOfKey(key, static_cast<uint32_t>(next_sequence_.size()));
  rating.stamp =
      domain::Stamp{source_, incarnation_, domain::Sequence(next_sequence_[shard.value()]++),
                    domain::Sequence(flushed_through_[shard.value()])};
  Piece piece{.key_begin = static_cast<uint32_t>(bytes_.size()),
              .value_begin = 0,
              .value_end = 0,
              .shard = shard};
  bytes_.append(key);
  piece.value_begin = static_cast<uint32_t>(bytes_.size());
  domain::AppendRating(rating, &bytes_);
  piece.value_end = static_cast<uint32_t>(bytes_.size());
  pieces_.push_back(piece);
  ++added_;
  return pieces_.size() < kRatingsPerPublish ? absl::OkStatus() : Send();
}

absl::Status RatingPublisher::Send() {
  records_.clear();
  std::string_view bytes = bytes_;
  for (const Piece& piece : pieces_) {
    records_.push_back(
        {.key = bytes.substr(piece.key_begin, piece.value_begin - piece.key_begin),
         .value = bytes.substr(piece.value_begin, piece.value_end - piece.value_begin),
         .headers = {},
         .shard = piece.shard});
  }
  absl::Status status = publisher_->Publish(records_);
  unflushed_ += pieces_.size();
  pieces_.clear();
  bytes_.clear();
  return status;
}

absl::StatusOr<messaging::FlushedThrough> RatingPublisher::Flush() {
  if (!pieces_.empty()) MARQUEE_RETURN_IF_ERROR(Send());
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
  added_ -= unflushed_ + pieces_.size();
  unflushed_ = 0;
  pieces_.clear();
  bytes_.clear();
}

}  // namespace marquee::services
