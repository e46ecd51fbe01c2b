// Writes a catalogue's file: one transaction and one sync for each commit.
#ifndef MARQUEE_CATALOGUE_SQLITE_SQLITE_WRITER_H_
#define MARQUEE_CATALOGUE_SQLITE_SQLITE_WRITER_H_

#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/sqlite/database.h"
#include "catalogue/catalogue.h"
#include "catalogue/sqlite/rows.h"
#include "catalogue/sqlite/writer_lock.h"

namespace marquee::catalogue {

class SqliteWriter final : public Writer {
 public:
  // REQUIRES: `database` has this build's schema.
  static absl::StatusOr<std::unique_ptr<SqliteWriter>> Open(sqlite::Database database,
                                                            WriterLock lock, int log_pages_max);

  absl::Status Commit(const Changes& changes) override;
  absl::StatusOr<std::vector<TopicPosition>> Positions() override;
  absl::StatusOr<std::vector<domain::Watermark>> Watermarks() override;
  uint64_t CommitNumber() const override { return state_.commit_number; }

 private:
  SqliteWriter(sqlite::Database database, WriterLock lock, int log_pages_max)
      : lock_(std::move(lock)),
        database_(std::move(database)),
        log_pages_max_(log_pages_max),
        checkpoint_at_pages_(log_pages_max) {}

  absl::Status Prepare();
  absl::Status WriteAll(const Changes& changes);
  absl::Status WriteMovies(const std::vector<Changes::MovieChange>& movies);
  absl::Status WriteMovie(const Changes::MovieChange& change);
  absl::Status WriteMeans(const std::vector<domain::MeanRating>& means);
  absl::Status WriteMean(const domain::MeanRating& mean);
  absl::Status WriteWatermarks(const std::vector<domain::Watermark>& watermarks);
  absl::Status WritePositions(const std::vector<TopicPosition>& positions);
  absl::Status WriteState();
  absl::StatusOr<bool> Has(sqlite::Statement& query, domain::MovieId id);
  absl::Status MoveLogIntoFile();
  static int CountLogPages(void* writer, sqlite3* handle, const char* schema, int pages);

  WriterLock lock_;
  sqlite::Database database_;
  const int log_pages_max_;
  int log_pages_ = 0;
  int checkpoint_at_pages_;
  sqlite::Statement find_movie_, insert_movie_, delete_movie_;
  sqlite::Statement find_mean_, insert_mean_, update_mean_;
  sqlite::Statement insert_watermark_, insert_position_, update_state_;
  // As the file has them, or will when the transaction under way is committed.
  State state_;
  std::map<uint32_t, domain::Watermark> watermarks_;
  std::map<std::pair<std::string, uint32_t>, TopicPosition> positions_;
  absl::Status failure_;
};

}  // namespace marquee::catalogue

#endif  // MARQUEE_CATALOGUE_SQLITE_SQLITE_WRITER_H_
