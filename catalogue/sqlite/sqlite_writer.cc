#include "catalogue/sqlite/sqlite_writer.h"

#include <algorithm>
#include <span>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "base/crash_point.h"
#include "base/sqlite/checkpoint.h"
#include "base/status.h"

namespace marquee::catalogue {
namespace {

int64_t Signed(uint64_t value) { return static_cast<int64_t>(value); }

}  // namespace

absl::StatusOr<std::unique_ptr<SqliteWriter>> SqliteWriter::Open(sqlite::Database database,
                                                                 WriterLock lock,
                                                                 int log_pages_max) {
  std::unique_ptr<SqliteWriter> writer(
      new SqliteWriter(std::move(database), std::move(lock), log_pages_max));
  // The checkpoints are made by Commit: SQLite's own would hide their failures.
  MARQUEE_RETURN_IF_ERROR(
      writer->database_.Execute("PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0; PRAGMA "
                                "secure_delete=0; PRAGMA cache_size=-16000"));
  sqlite3_wal_hook(writer->database_.handle(), &CountLogPages, writer.get());
  MARQUEE_ASSIGN_OR_RETURN(writer->state_, ReadState(writer->database_));
  MARQUEE_ASSIGN_OR_RETURN(std::vector<domain::Watermark> watermarks,
                           ReadWatermarks(writer->database_));
  for (domain::Watermark& watermark : watermarks) {
    writer->watermarks_[watermark.shard] = std::move(watermark);
  }
  MARQUEE_ASSIGN_OR_RETURN(std::vector<TopicPosition> positions, ReadPositions(writer->database_));
  for (TopicPosition& position : positions) {
    writer->positions_[{position.topic, position.shard}] = std::move(position);
  }
  MARQUEE_RETURN_IF_ERROR(writer->Prepare());
  return writer;
}

absl::Status SqliteWriter::Prepare() {
  const std::pair<sqlite::Statement*, std::string> statements[] = {
      {&find_movie_, absl::StrCat("SELECT ", kMovieColumns, " FROM movies WHERE id = ?1")},
      {&insert_movie_,
       "INSERT OR REPLACE INTO movies(id, title, year, genres, words, genre_keys, checksum) "
       "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)"},
      {&delete_movie_, "DELETE FROM movies WHERE id = ?1"},
      {&find_mean_, absl::StrCat("SELECT ", kMeanColumns, " FROM means WHERE id = ?1")},
      {&insert_mean_,
       "INSERT INTO means(id, as_of, shard, count, sum_thousandths, histogram, checksum) "
       "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)"},
      {&update_mean_,
       "UPDATE means SET as_of = ?2, shard = ?3, count = ?4, sum_thousandths = ?5, "
       "histogram = ?6, checksum = ?7 WHERE id = ?1"},
      {&insert_watermark_,
       "INSERT OR REPLACE INTO watermarks(shard, ratings_through, ratings_identity, checksum) "
       "VALUES(?1, ?2, ?3, ?4)"},
      {&insert_position_,
       "INSERT OR REPLACE INTO positions(topic, shard, identity, next, checksum) "
       "VALUES(?1, ?2, ?3, ?4, ?5)"},
      {&update_state_,
       "UPDATE state SET commit_number = ?1, movies = ?2, ratings = ?3, sum_thousandths = ?4, "
       "contents = ?5, checksum = ?6"},
  };
  for (const auto& [statement, sql] : statements) {
    MARQUEE_ASSIGN_OR_RETURN(*statement, database_.Prepare(sql));
  }
  return absl::OkStatus();
}

absl::Status SqliteWriter::Commit(const Changes& changes) {
  if (!failure_.ok()) {
    return absl::FailedPreconditionError(absl::StrCat(
        database_.path(),
        ": an earlier commit failed, so nothing more is written; open a new writer. It was: ",
        failure_.message()));
  }
  failure_ = WriteAll(changes);
  return failure_;
}

absl::Status SqliteWriter::WriteAll(const Changes& changes) {
  MARQUEE_ASSIGN_OR_RETURN(sqlite::Transaction transaction, sqlite::Transaction::Begin(database_));
  MARQUEE_RETURN_IF_ERROR(WriteMovies(changes.movies));
  MARQUEE_RETURN_IF_ERROR(WriteMeans(changes.means));
  MARQUEE_RETURN_IF_ERROR(WriteWatermarks(changes.watermarks));
  MARQUEE_RETURN_IF_ERROR(WritePositions(changes.positions));
  ++state_.commit_number;
  MARQUEE_RETURN_IF_ERROR(WriteState());
  MARQUEE_CRASH_POINT("catalogue.before_commit");
  MARQUEE_RETURN_IF_ERROR(transaction.Commit());
  MARQUEE_CRASH_POINT("catalogue.after_commit");
  return MoveLogIntoFile();
}

absl::StatusOr<bool> SqliteWriter::Has(sqlite::Statement& query, domain::MovieId id) {
  MARQUEE_ASSIGN_OR_RETURN(bool found, query.Bind(1, Signed(id.value())).Step());
  if (found) query.Reset();
  return found;
}

absl::Status SqliteWriter::WriteMovies(const std::vector<Changes::MovieChange>& movies) {
  absl::flat_hash_map<domain::MovieId, const Changes::MovieChange*> last;
  if (movies.size() > 1) {
    for (const Changes::MovieChange& change : movies) last[change.id] = &change;
  }
  for (const Changes::MovieChange& change : movies) {
    if (movies.size() > 1 && last[change.id] != &change) continue;
    MARQUEE_RETURN_IF_ERROR(WriteMovie(change));
  }
  return absl::OkStatus();
}

absl::Status SqliteWriter::WriteMovie(const Changes::MovieChange& change) {
  MARQUEE_ASSIGN_OR_RETURN(bool stored, find_movie_.Bind(1, Signed(change.id.value())).Step());
  uint64_t old_checksum = 0;
  if (stored) {
    absl::StatusOr<MovieRow> old = ReadMovie(database_, find_movie_, change.id, 0);
    find_movie_.Reset();
    if (!old.ok()) return old.status();
    old_checksum = ChecksumOf(*old);
  }
  if (!stored && !change.movie) return absl::OkStatus();
  MARQUEE_ASSIGN_OR_RETURN(bool rated, Has(find_mean_, change.id));
  if (!change.movie) {
    state_.contents -= old_checksum;
    if (!rated) --state_.totals.movies;
    return delete_movie_.Bind(1, Signed(change.id.value())).Run();
  }
  MovieRow row = RowOf(*change.movie);
  row.id = change.id;
  uint64_t checksum = ChecksumOf(row);
  if (stored && checksum == old_checksum) return absl::OkStatus();
  state_.contents += checksum - old_checksum;
  if (!stored && !rated) ++state_.totals.movies;
  insert_movie_.Bind(1, Signed(row.id.value())).BindText(2, row.title);
  row.year ? insert_movie_.Bind(3, *row.year) : insert_movie_.BindNull(3);
  return insert_movie_.BindText(4, row.genres)
      .BindText(5, row.words)
      .BindText(6, row.genre_keys)
      .Bind(7, Signed(checksum))
      .Run();
}

absl::Status SqliteWriter::WriteMeans(const std::vector<domain::MeanRating>& means) {
  // By id, so that the pages of the table are visited in order; of each movie the newest alone.
  std::vector<const domain::MeanRating*> order;
  order.reserve(means.size());
  for (const domain::MeanRating& mean : means) order.push_back(&mean);
  std::sort(order.begin(), order.end(),
            [](const domain::MeanRating* a, const domain::MeanRating* b) {
              if (a->movie != b->movie) return a->movie < b->movie;
              return a->as_of != b->as_of ? a->as_of > b->as_of : a < b;
            });
  const domain::MeanRating* before = nullptr;
  for (const domain::MeanRating* mean : order) {
    if (before == nullptr || before->movie != mean->movie)
      MARQUEE_RETURN_IF_ERROR(WriteMean(*mean));
    before = mean;
  }
  return absl::OkStatus();
}

absl::Status SqliteWriter::WriteMean(const domain::MeanRating& mean) {
  int64_t id = Signed(mean.movie.value());
  MARQUEE_ASSIGN_OR_RETURN(bool stored, find_mean_.Bind(1, id).Step());
  if (stored) {
    absl::StatusOr<domain::MeanRating> old = ReadMean(database_, find_mean_, mean.movie, 0);
    find_mean_.Reset();
    if (!old.ok()) return old.status();
    if (mean.as_of <= old->as_of) return absl::OkStatus();
    state_.contents -= ChecksumOf(*old);
    state_.totals.ratings -= old->aggregate.count;
    state_.totals.sum_thousandths -= old->aggregate.sum_thousandths;
  } else {
    MARQUEE_ASSIGN_OR_RETURN(bool titled, Has(find_movie_, mean.movie));
    if (!titled) ++state_.totals.movies;
  }
  uint64_t checksum = ChecksumOf(mean);
  state_.contents += checksum;
  state_.totals.ratings += mean.aggregate.count;
  state_.totals.sum_thousandths += mean.aggregate.sum_thousandths;
  std::string histogram = EncodeHistogram(mean.aggregate);
  sqlite::Statement& write = stored ? update_mean_ : insert_mean_;
  return write.Bind(1, id)
      .Bind(2, mean.as_of.value())
      .Bind(3, mean.shard)
      .Bind(4, Signed(mean.aggregate.count))
      .Bind(5, mean.aggregate.sum_thousandths)
      .BindBlob(6, histogram)
      .Bind(7, Signed(checksum))
      .Run();
}

absl::Status SqliteWriter::WriteWatermarks(const std::vector<domain::Watermark>& watermarks) {
  for (const domain::Watermark& watermark : watermarks) {
    auto stored = watermarks_.find(watermark.shard);
    if (stored != watermarks_.end()) {
      if (stored->second.ratings_identity == watermark.ratings_identity &&
          stored->second.ratings_through >= watermark.ratings_through) {
        continue;
      }
      state_.contents -= ChecksumOf(stored->second);
    }
    uint64_t checksum = ChecksumOf(watermark);
    state_.contents += checksum;
    watermarks_[watermark.shard] = watermark;
    MARQUEE_RETURN_IF_ERROR(insert_watermark_.Bind(1, watermark.shard)
                                .Bind(2, watermark.ratings_through.value())
                                .BindText(3, watermark.ratings_identity)
                                .Bind(4, Signed(checksum))
                                .Run());
  }
  return absl::OkStatus();
}

absl::Status SqliteWriter::WritePositions(const std::vector<TopicPosition>& positions) {
  for (const TopicPosition& position : positions) {
    auto stored = positions_.find({position.topic, position.shard});
    if (stored != positions_.end()) state_.contents -= ChecksumOf(stored->second);
    uint64_t checksum = ChecksumOf(position);
    state_.contents += checksum;
    positions_[{position.topic, position.shard}] = position;
    MARQUEE_RETURN_IF_ERROR(insert_position_.BindText(1, position.topic)
                                .Bind(2, position.shard)
                                .BindText(3, position.identity)
                                .Bind(4, position.next)
                                .Bind(5, Signed(checksum))
                                .Run());
  }
  return absl::OkStatus();
}

absl::Status SqliteWriter::WriteState() {
  return update_state_.Bind(1, Signed(state_.commit_number))
      .Bind(2, Signed(state_.totals.movies))
      .Bind(3, Signed(state_.totals.ratings))
      .Bind(4, state_.totals.sum_thousandths)
      .Bind(5, Signed(state_.contents))
      .Bind(6, Signed(ChecksumOf(state_)))
      .Run();
}

absl::Status SqliteWriter::MoveLogIntoFile() {
  if (log_pages_ < checkpoint_at_pages_) return absl::OkStatus();
  checkpoint_at_pages_ = log_pages_ + log_pages_max_;
  // Where readers still need the log, it is tried again when it has grown.
  return sqlite::CheckpointWal(database_, sqlite::CheckpointMode::kPassive).status();
}

int SqliteWriter::CountLogPages(void* writer, sqlite3*, const char*, int pages) {
  auto* self = static_cast<SqliteWriter*>(writer);
  // The log began anew.
  if (pages < self->log_pages_) self->checkpoint_at_pages_ = self->log_pages_max_;
  self->log_pages_ = pages;
  return SQLITE_OK;
}

absl::StatusOr<std::vector<TopicPosition>> SqliteWriter::Positions() {
  std::vector<TopicPosition> all;
  for (const auto& [key, position] : positions_) all.push_back(position);
  return all;
}

absl::StatusOr<std::vector<domain::Watermark>> SqliteWriter::Watermarks() {
  std::vector<domain::Watermark> all;
  for (const auto& [shard, watermark] : watermarks_) all.push_back(watermark);
  return all;
}

}  // namespace marquee::catalogue
