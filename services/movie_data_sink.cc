#include "services/movie_data_sink.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/crash_point.h"
#include "base/status.h"
#include "domain/rating.h"

namespace marquee::services {
namespace {

using messaging::Batch;
using messaging::Delivery;
using messaging::Offset;
using messaging::Position;
using messaging::Record;
using messaging::Shard;
using messaging::StartPosition;
using messaging::TopicShard;

constexpr absl::Duration kPositionReportInterval = absl::Seconds(1);

}  // namespace

absl::StatusOr<std::unique_ptr<MovieDataSink>> MovieDataSink::Open(
    const World& world, const MovieDataSinkOptions& options, catalogue::Catalogue& catalogue,
    http::Visibility& visibility) {
  std::unique_ptr<MovieDataSink> sink(new MovieDataSink(world, options, visibility));
  sink->group_ = world.topics.group(absl::StrCat("moviedatasink-", options.region));
  MARQUEE_ASSIGN_OR_RETURN(sink->writer_, catalogue.OpenWriter());
  MARQUEE_ASSIGN_OR_RETURN(
      sink->reader_,
      world.broker.OpenReader({.group = sink->group_, .member = world.instance, .headers = false}));
  MARQUEE_ASSIGN_OR_RETURN(std::vector<catalogue::TopicPosition> positions,
                           sink->writer_->Positions());
  MARQUEE_RETURN_IF_ERROR(
      Annotate(sink->StartTopic("movies", world.topics.movies(), positions), catalogue.name()));
  MARQUEE_RETURN_IF_ERROR(Annotate(
      sink->StartTopic("mean-ratings", world.topics.mean_ratings(), positions), catalogue.name()));
  MARQUEE_ASSIGN_OR_RETURN(std::vector<domain::Watermark> watermarks, sink->writer_->Watermarks());
  visibility.Advance(watermarks, sink->writer_->CommitNumber());
  sink->gathering_since_ = sink->reported_at_ = world.clock.Uptime();
  return sink;
}

absl::Status MovieDataSink::StartTopic(const std::string& name, const std::string& topic,
                                       const std::vector<catalogue::TopicPosition>& positions) {
  MARQUEE_ASSIGN_OR_RETURN(messaging::TopicInfo info, world_.broker.DescribeTopic(topic));
  topics_[topic] = {name, info.identity};
  for (uint32_t i = 0; i < info.spec.shards; ++i) {
    TopicShard shard{topic, Shard(i)};
    StartPosition start = StartPosition::AtEarliest();
    for (const catalogue::TopicPosition& position : positions) {
      if (position.topic != name || position.shard != i) continue;
      start = StartPosition::At(Position{position.identity, Offset(position.next)});
      positions_[shard] = Offset(position.next);
    }
    absl::Status started = reader_->Start(shard, start);
    if (absl::IsFailedPrecondition(started) || absl::IsOutOfRange(started)) {
      return absl::FailedPreconditionError(
          absl::StrCat("the catalogue was filled from another log than the one at the broker: ",
                       started.message(),
                       ". If the log was replaced on purpose, delete the catalogue: it is built "
                       "again from the log"));
    }
    MARQUEE_RETURN_IF_ERROR(started);
  }
  return absl::OkStatus();
}

absl::StatusOr<Turn> MovieDataSink::Step(absl::Duration wait) {
  bool gathering = !uncommitted_positions_.empty();
  MARQUEE_ASSIGN_OR_RETURN(Delivery delivery,
                           reader_->Poll(gathering ? absl::ZeroDuration() : wait));
  if (delivery.batch) {
    if (!gathering) gathering_since_ = world_.clock.Uptime();
    MARQUEE_RETURN_IF_ERROR(Take(*delivery.batch));
  }
  bool full = changes_.means.size() + changes_.movies.size() >= options_.changes_per_commit_max ||
              world_.clock.Uptime() - gathering_since_ >= options_.commit_interval;
  if (!delivery.batch || full) MARQUEE_RETURN_IF_ERROR(Commit());
  MARQUEE_RETURN_IF_ERROR(ReportPositionsNowAndThen());
  return delivery.batch ? Turn::kWorked : Turn::kIdle;
}

absl::Status MovieDataSink::Take(const Batch& batch) {
  bool is_movies = batch.shard.topic == world_.topics.movies();
  Offset& position = positions_[batch.shard];
  if (!batch.whole) known_whole_.erase(batch.shard);
  for (const Record& record : batch.records) {
    if (record.offset < position) continue;  // delivered again
    absl::Status taken = is_movies ? TakeMovie(record) : TakeMean(batch.shard, record);
    if (!taken.ok()) MARQUEE_RETURN_IF_ERROR(Bury(batch, record, taken));
  }
  world_.metrics.Consumed("moviedatasink", batch.shard.topic)
      .Increment(static_cast<double>(batch.records.size()));
  position = std::max(position, batch.next);
  uncommitted_positions_[batch.shard] = position;
  return absl::OkStatus();
}

absl::Status MovieDataSink::Bury(const Batch& batch, const Record& record,
                                 const absl::Status& why) {
  std::unique_ptr<DeadLetters>& letters = dead_letters_[batch.shard.topic];
  if (!letters) {
    MARQUEE_ASSIGN_OR_RETURN(letters,
                             DeadLetters::Open(world_, batch.shard.topic, "moviedatasink"));
  }
  domain::DeadLetter letter;
  letter.message = domain::DeadLetter::Message{
      batch.shard.topic, topics_.at(batch.shard.topic).identity, batch.shard.shard.value(),
      domain::LogOffset(record.offset.value())};
  letter.key = std::string(record.key);
  if (record.value)
    letter.value = std::string(record.value->substr(0, domain::kDeadLetterBytesMax));
  letter.error = std::string(why.message());
  return letters->Add(std::move(letter));
}

absl::Status MovieDataSink::TakeMovie(const Record& record) {
  std::optional<domain::MovieId> id = domain::ParseMovieKey(record.key);
  if (!id) return absl::InvalidArgumentError("expected the id of a movie as the key");
  if (!record.value) {
    changes_.movies.push_back({*id, std::nullopt});
    return absl::OkStatus();
  }
  MARQUEE_ASSIGN_OR_RETURN(domain::Movie movie, domain::DecodeMovie(*record.value));
  if (movie.id != *id) {
    return absl::InvalidArgumentError(
        absl::StrCat("the key is ", id->value(), ", the movie's id ", movie.id.value()));
  }
  changes_.movies.push_back({*id, std::move(movie)});
  return absl::OkStatus();
}

absl::Status MovieDataSink::TakeMean(const TopicShard& shard, const Record& record) {
  if (!record.value) return absl::OkStatus();
  if (domain::ParseWatermarkKey(record.key)) {
    MARQUEE_ASSIGN_OR_RETURN(domain::Watermark watermark, domain::DecodeWatermark(*record.value));
    Held& held = held_.try_emplace(shard, Held{record.offset, watermark}).first->second;
    if (watermark.ratings_through > held.watermark.ratings_through) held.watermark = watermark;
    return absl::OkStatus();
  }
  MARQUEE_ASSIGN_OR_RETURN(domain::MeanRating mean, domain::DecodeMean(*record.value));
  auto [at, fresh] = mean_index_.emplace(mean.movie, changes_.means.size());
  if (fresh) {
    changes_.means.push_back(std::move(mean));
  } else if (changes_.means[at->second].as_of < mean.as_of) {
    changes_.means[at->second] = std::move(mean);
  }
  return absl::OkStatus();
}

// A watermark says that the means before it are complete, and compaction takes a mean away when a
// newer one follows: so it holds only together with everything up to the shard's end. Until that is
// read it is held back, and the position with it, so that a restart reads it again. It holds at
// once where nothing was taken away since the shard was last read to its end. (docs/design/0008)
absl::Status MovieDataSink::ReleaseWatermarks() {
  std::vector<TopicShard> release, ask;
  for (const auto& [shard, held] : held_)
    (options_.mutilation_watermark_at_once || known_whole_.contains(shard) ? release : ask)
        .push_back(shard);
  for (const TopicShard& shard : release) Release(shard);
  if (ask.empty()) return absl::OkStatus();
  MARQUEE_ASSIGN_OR_RETURN(std::vector<messaging::Extent> extents,
                           world_.broker.DescribeShards(ask));
  for (size_t i = 0; i < ask.size(); ++i) {
    MARQUEE_ASSIGN_OR_RETURN(Offset next, reader_->Next(ask[i]));
    if (next < extents[i].end) continue;
    known_whole_.insert(ask[i]);
    Release(ask[i]);
  }
  return absl::OkStatus();
}

void MovieDataSink::Release(const TopicShard& shard) {
  const domain::Watermark& watermark = held_.at(shard).watermark;
  if (watermark.last_published_ms > 0) fresh_ms_.push_back(watermark.last_published_ms);
  changes_.watermarks.push_back(watermark);
  uncommitted_positions_[shard] = positions_.at(shard);
  held_.erase(shard);
}

// Does nothing where nothing has come since the last one.
absl::Status MovieDataSink::Commit() {
  MARQUEE_RETURN_IF_ERROR(ReleaseWatermarks());
  if (uncommitted_positions_.empty()) return absl::OkStatus();
  for (const auto& [shard, next] : uncommitted_positions_) {
    const Topic& topic = topics_.at(shard.topic);
    auto held = held_.find(shard);
    Offset position = held == held_.end() ? next : std::min(next, held->second.offset);
    changes_.positions.push_back(
        {topic.name, topic.identity, shard.shard.value(), position.value()});
  }
  // What cannot be stored is on record before the position says that it was passed.
  for (auto& [topic, letters] : dead_letters_) MARQUEE_RETURN_IF_ERROR(letters->Flush());
  MARQUEE_CRASH_POINT("moviedatasink.before-commit");
  MARQUEE_RETURN_IF_ERROR(WriteChanges());
  MARQUEE_CRASH_POINT("moviedatasink.after-commit");
  TellVisibility();
  ObserveFreshness();
  changes_ = catalogue::Changes();
  mean_index_.clear();
  uncommitted_positions_.clear();
  return absl::OkStatus();
}

// Who waits for a position is answered, and what was rendered of the changed movies is forgotten.
void MovieDataSink::TellVisibility() {
  std::vector<domain::MovieId> changed;
  changed.reserve(changes_.movies.size() + changes_.means.size());
  for (const catalogue::Changes::MovieChange& movie : changes_.movies) changed.push_back(movie.id);
  for (const domain::MeanRating& mean : changes_.means) changed.push_back(mean.movie);
  visibility_.Advance(changes_.watermarks, writer_->CommitNumber(), changed);
}

absl::Status MovieDataSink::WriteChanges() {
  if (!options_.mutilation_position_before_rows) return writer_->Commit(changes_);
  catalogue::Changes positions;
  positions.positions.swap(changes_.positions);
  MARQUEE_RETURN_IF_ERROR(writer_->Commit(positions));
  return writer_->Commit(changes_);
}

void MovieDataSink::ObserveFreshness() {
  int64_t now_ms = absl::ToUnixMillis(world_.clock.Now());
  for (int64_t published_ms : fresh_ms_) {
    world_.metrics.Freshness().Observe(
        static_cast<double>(std::max<int64_t>(0, now_ms - published_ms)) / 1e3);
  }
  fresh_ms_.clear();
}

absl::Status MovieDataSink::Drain() {
  MARQUEE_RETURN_IF_ERROR(Commit());
  return ReportPositions();
}

absl::StatusOr<std::vector<MovieDataSink::TopicLag>> MovieDataSink::Lags() {
  std::vector<TopicLag> lags;
  for (const auto& [topic, described] : topics_) {
    for (uint32_t i = 0; i < world_.rules.shards; ++i) {
      MARQUEE_ASSIGN_OR_RETURN(int64_t lag, reader_->Lag({topic, Shard(i)}));
      lags.push_back({topic, i, lag});
    }
  }
  return lags;
}

absl::Status MovieDataSink::ReportPositionsNowAndThen() {
  absl::Duration now = world_.clock.Uptime();
  if (now - reported_at_ < kPositionReportInterval) return absl::OkStatus();
  reported_at_ = now;
  return ReportPositions();
}

absl::Status MovieDataSink::ReportPositions() {
  for (const auto& [shard, next] : positions_)
    MARQUEE_RETURN_IF_ERROR(reader_->ReportPosition(shard, next));
  MARQUEE_ASSIGN_OR_RETURN(std::vector<TopicLag> lags, Lags());
  for (const TopicLag& lag : lags) {
    world_.metrics.LagRecords(group_, lag.topic, lag.shard).Set(static_cast<double>(lag.records));
  }
  return absl::OkStatus();
}

}  // namespace marquee::services
