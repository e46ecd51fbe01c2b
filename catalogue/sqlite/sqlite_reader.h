// Reads a catalogue's file on a connection of its own.
#ifndef MARQUEE_CATALOGUE_SQLITE_SQLITE_READER_H_
#define MARQUEE_CATALOGUE_SQLITE_SQLITE_READER_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/sqlite/database.h"
#include "catalogue/catalogue.h"

namespace marquee::catalogue {

class SqliteReader final : public Reader {
 public:
  // REQUIRES: `database` has this build's schema.
  static absl::StatusOr<std::unique_ptr<SqliteReader>> Open(sqlite::Database database);

  absl::StatusOr<std::optional<Entry>> Get(domain::MovieId id) override;
  absl::StatusOr<ListPage> List(const ListQuery& query) override;
  absl::StatusOr<Totals> ReadTotals() override;
  absl::StatusOr<std::vector<domain::Watermark>> Watermarks() override;
  absl::StatusOr<std::vector<TopicPosition>> Positions() override;
  // Reads every row of every table, and verifies all checksums and totals: kDataLoss where anything
  // is damaged.
  absl::Status ForEach(const std::function<void(const Entry&)>& visit) override;
  absl::StatusOr<uint64_t> CommitNumber() override;
  uint64_t SeenCommitNumber() const override { return seen_commit_number_; }

 private:
  explicit SqliteReader(sqlite::Database database) : database_(std::move(database)) {}

  // Runs `read` in one read transaction.
  absl::Status InOneState(const std::function<absl::Status()>& read);
  absl::StatusOr<std::optional<Entry>> GetInState(domain::MovieId id);
  absl::StatusOr<ListPage> ListInState(const ListQuery& query);
  absl::Status VisitAll(const std::function<void(const Entry&)>& visit);

  sqlite::Database database_;
  sqlite::Statement get_;
  uint64_t seen_commit_number_ = 0;
};

}  // namespace marquee::catalogue

#endif  // MARQUEE_CATALOGUE_SQLITE_SQLITE_READER_H_
