// What a sink writes and the API reads: movies with their means, and how far the topics were read.
// One writer, any number of readers.
//
// Rows and the positions they came from are written in one transaction: a reader sees both or
// neither.
#ifndef MARQUEE_CATALOGUE_CATALOGUE_H_
#define MARQUEE_CATALOGUE_CATALOGUE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "domain/aggregate.h"
#include "domain/movie.h"

namespace marquee::catalogue {

// How far a shard of a topic has been read into the catalogue.
struct TopicPosition {
  std::string topic;     // "movies", "mean-ratings" (without the tenant's prefix)
  std::string identity;  // of the topic
  uint32_t shard = 0;
  int64_t next = 0;  // the first offset that is not in the catalogue
  friend bool operator==(const TopicPosition&, const TopicPosition&) = default;
};

// What one transaction writes. Borrowed during Commit.
struct Changes {
  struct MovieChange {
    domain::MovieId id;
    std::optional<domain::Movie> movie;  // none: the movie's record was deleted; its ratings stay
  };
  std::vector<MovieChange> movies;        // in order: the last of an id holds
  std::vector<domain::MeanRating> means;  // taken only where as_of is higher than the one stored
  std::vector<domain::Watermark> watermarks;  // the highest holds
  std::vector<TopicPosition> positions;       // replace those of the same topic and shard
};

// A movie as it is served: known by its record, by its ratings, or both.
struct Entry {
  domain::MovieId id;
  std::optional<std::string> title;
  std::optional<int> year;
  std::vector<std::string> genres;
  domain::Aggregate aggregate;  // count 0: unrated
  std::optional<int64_t> as_of;
  friend bool operator==(const Entry&, const Entry&) = default;
};

struct Totals {
  uint64_t movies = 0;  // entries, rated or titled
  uint64_t ratings = 0;
  int64_t sum_thousandths = 0;
};

enum class SortBy { kBayesianMean, kMean, kCount, kTitle, kYear, kId };

// The prior of the Bayesian mean, taken at one moment, with a number.
struct Prior {
  uint64_t number = 0;
  double mean = 0;  // stars; 0 where there is no rating at all
  double weight = domain::kBayesianWeightDefault;
};

struct ListQuery {
  std::string text;   // words that the title holds, in any case; empty: all
  std::string genre;  // exactly, in any case; empty: all
  SortBy sort = SortBy::kBayesianMean;
  bool descending = true;
  bool rated_only = false;
  size_t limit = 20;  // 1 .. kListLimitMax
  Prior prior;
  // Where the last page ended: entries strictly after this one in the order (sort value, then id
  // ascending). The sort value as ListPage::end gave it.
  struct After {
    std::string sort_value;
    domain::MovieId id;
  };
  std::optional<After> after;
};

inline constexpr size_t kListLimitMax = 500;

struct ListPage {
  std::vector<Entry> entries;
  std::optional<ListQuery::After> end;  // none: this was the last page
};

// Reads. Threads: one at a time for each reader; several readers at once. Sees what was committed
// before the call. Errors: kUnavailable (busy beyond the limit), kDataLoss (damaged).
class Reader {
 public:
  virtual ~Reader() = default;

  virtual absl::StatusOr<std::optional<Entry>> Get(domain::MovieId id) = 0;
  virtual absl::StatusOr<ListPage> List(const ListQuery& query) = 0;
  virtual absl::StatusOr<Totals> ReadTotals() = 0;
  virtual absl::StatusOr<std::vector<domain::Watermark>> Watermarks() = 0;  // by shard
  virtual absl::StatusOr<std::vector<TopicPosition>> Positions() = 0;
  // Every entry, by id, to `visit`, from one consistent state.
  virtual absl::Status ForEach(const std::function<void(const Entry&)>& visit) = 0;
  // Grows with every commit, restarts included: equal numbers, equal contents.
  virtual absl::StatusOr<uint64_t> CommitNumber() = 0;
  // The commit number of the state that the last successful Get, List, ReadTotals or CommitNumber
  // saw; 0 before.
  virtual uint64_t SeenCommitNumber() const = 0;
};

// The one writer. Threads: one at a time. After an error of Commit nothing is known of what was
// stored: the writer refuses everything else (kFailedPrecondition), and a new one is opened, which
// reads what is there.
class Writer {
 public:
  virtual ~Writer() = default;

  virtual absl::Status Commit(const Changes& changes) = 0;
  virtual absl::StatusOr<std::vector<TopicPosition>> Positions() = 0;
  virtual absl::StatusOr<std::vector<domain::Watermark>> Watermarks() = 0;
  // Of the last successful commit, or of what was there when the writer was opened. Each commit
  // adds 1.
  virtual uint64_t CommitNumber() const = 0;
};

class Catalogue {
 public:
  virtual ~Catalogue() = default;
  // kAborted: another process has this catalogue open for writing.
  virtual absl::StatusOr<std::unique_ptr<Writer>> OpenWriter() = 0;
  virtual absl::StatusOr<std::unique_ptr<Reader>> OpenReader() = 0;
  // The path or URL, for messages.
  virtual std::string name() const = 0;
};

}  // namespace marquee::catalogue

#endif  // MARQUEE_CATALOGUE_CATALOGUE_H_
