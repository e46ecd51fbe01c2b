#include "catalogue/sqlite/sqlite_reader.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "catalogue/sqlite/entry_order.h"
#include "catalogue/sqlite/rows.h"
#include "catalogue/sqlite/title_words.h"

namespace marquee::catalogue {
namespace {

constexpr size_t kSearchWordsMax = 16;
constexpr uint64_t kNoMovie = ~uint64_t{0};

// A statement whose rows come in the order of their first column, an id: steps along two of them
// side by side.
class IdCursor {
 public:
  explicit IdCursor(sqlite::Statement statement) : statement_(std::move(statement)) {}

  absl::Status Next() {
    MARQUEE_ASSIGN_OR_RETURN(bool row, statement_.Step());
    uint64_t before = id_;
    id_ = row ? static_cast<uint64_t>(statement_.Int(0)) : kNoMovie;
    if (row && started_ && id_ <= before)
      return absl::DataLossError("the ids of a table are out of order");
    started_ = true;
    return absl::OkStatus();
  }
  uint64_t id() const { return id_; }
  const sqlite::Statement& row() const { return statement_; }
  sqlite::Statement& statement() { return statement_; }

 private:
  sqlite::Statement statement_;
  uint64_t id_ = kNoMovie;
  bool started_ = false;
};

// Visits the ids of both in order; a null row where one does not have the id.
absl::Status Merge(IdCursor& movies, IdCursor& means,
                   const std::function<absl::Status(domain::MovieId, const sqlite::Statement* movie,
                                                    const sqlite::Statement* mean)>& visit) {
  MARQUEE_RETURN_IF_ERROR(movies.Next());
  MARQUEE_RETURN_IF_ERROR(means.Next());
  while (movies.id() != kNoMovie || means.id() != kNoMovie) {
    uint64_t id = std::min(movies.id(), means.id());
    bool has_movie = movies.id() == id;
    bool has_mean = means.id() == id;
    MARQUEE_RETURN_IF_ERROR(visit(domain::MovieId(id), has_movie ? &movies.row() : nullptr,
                                  has_mean ? &means.row() : nullptr));
    if (has_movie) MARQUEE_RETURN_IF_ERROR(movies.Next());
    if (has_mean) MARQUEE_RETURN_IF_ERROR(means.Next());
  }
  return absl::OkStatus();
}

void Fill(const MovieRow& row, Entry* entry) {
  entry->title = row.title;
  entry->year = row.year;
  entry->genres = SplitGenres(row.genres);
}

void Fill(const domain::MeanRating& mean, Entry* entry) {
  entry->aggregate = mean.aggregate;
  entry->as_of = mean.as_of.value();
}

// What a search is made of: the movies' part, filtered, and how each row sorts.
class Search {
 public:
  static absl::StatusOr<Search> Make(const ListQuery& query) {
    if (query.limit < 1 || query.limit > kListLimitMax) {
      return absl::InvalidArgumentError(
          absl::StrCat("limit is ", query.limit, ", expected 1 to ", kListLimitMax));
    }
    Search search(query);
    search.words_ = WordsOf(query.text);
    if (search.words_.size() > kSearchWordsMax) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the search has ", search.words_.size(), " words, at most ", kSearchWordsMax, " may be"));
    }
    for (std::string& word : search.words_) word.insert(0, " ");
    if (!query.genre.empty()) search.genre_key_ = GenreKey(query.genre);
    return search;
  }

  bool filters() const { return !words_.empty() || !genre_key_.empty(); }

  absl::StatusOr<IdCursor> OpenMovies(sqlite::Database& database) const {
    std::string sql = "SELECT id";
    if (query_.sort == SortBy::kTitle) sql += ", words";
    if (query_.sort == SortBy::kYear) sql += ", year";
    sql += " FROM movies";
    const char* glue = " WHERE ";
    for (size_t i = 0; i < words_.size(); ++i) {
      absl::StrAppend(&sql, glue, "instr(words, ?", i + 1, ")");
      glue = " AND ";
    }
    if (!genre_key_.empty())
      absl::StrAppend(&sql, glue, "instr(genre_keys, ?", words_.size() + 1, ")");
    sql += " ORDER BY id";
    MARQUEE_ASSIGN_OR_RETURN(sqlite::Statement statement, database.Prepare(sql));
    int parameter = 0;
    for (const std::string& word : words_) statement.BindText(++parameter, word);
    if (!genre_key_.empty()) statement.BindText(++parameter, genre_key_);
    return IdCursor(std::move(statement));
  }

  static absl::StatusOr<IdCursor> OpenMeans(sqlite::Database& database) {
    MARQUEE_ASSIGN_OR_RETURN(
        sqlite::Statement statement,
        database.Prepare("SELECT id, count, sum_thousandths FROM means ORDER BY id"));
    return IdCursor(std::move(statement));
  }

  bool Selects(const sqlite::Statement* movie, const sqlite::Statement* mean) const {
    if (filters() && movie == nullptr) return false;
    return !query_.rated_only || CountOf(mean) > 0;
  }

  SortKey KeyOf(domain::MovieId id, const sqlite::Statement* movie,
                const sqlite::Statement* mean) const {
    SortKey key{.none = false, .number = 0, .text = {}, .id = id};
    uint64_t count = CountOf(mean);
    switch (query_.sort) {
      case SortBy::kId:
        break;
      case SortBy::kCount:
        key.number = static_cast<double>(count);
        break;
      case SortBy::kTitle:
        key.none = movie == nullptr;
        if (movie != nullptr) key.text = movie->Text(1);
        break;
      case SortBy::kYear:
        key.none = movie == nullptr || movie->IsNull(1);
        if (!key.none) key.number = static_cast<double>(movie->Int(1));
        break;
      case SortBy::kMean:
      case SortBy::kBayesianMean:
        key.none = count == 0;
        if (!key.none) {
          bool plain = query_.sort == SortBy::kMean;
          key.number = domain::BayesianMeanOf(count, mean->Int(2), plain ? 0 : query_.prior.mean,
                                              plain ? 0 : query_.prior.weight);
        }
        break;
    }
    return key;
  }

 private:
  explicit Search(const ListQuery& query) : query_(query) {}
  static uint64_t CountOf(const sqlite::Statement* mean) {
    return mean == nullptr ? 0 : static_cast<uint64_t>(mean->Int(1));
  }

  const ListQuery& query_;
  std::vector<std::string> words_;  // each with a space before it
  std::string genre_key_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<SqliteReader>> SqliteReader::Open(sqlite::Database database) {
  std::unique_ptr<SqliteReader> reader(new SqliteReader(std::move(database)));
  MARQUEE_RETURN_IF_ERROR(
      reader->database_.Execute("PRAGMA query_only=1; PRAGMA cache_size=-8000"));
  MARQUEE_ASSIGN_OR_RETURN(
      reader->get_,
      reader->database_.Prepare(absl::StrCat(
          "SELECT (SELECT commit_number FROM state), m.id IS NOT NULL, r.id IS NOT NULL, ",
          "m.title, m.year, m.genres, m.words, m.genre_keys, m.checksum, ",
          "r.as_of, r.shard, r.count, r.sum_thousandths, r.histogram, r.checksum ",
          "FROM (SELECT ?1 AS id) AS k LEFT JOIN movies AS m ON m.id = k.id LEFT JOIN means AS r "
          "ON r.id = k.id")));
  return reader;
}

absl::Status SqliteReader::InOneState(const std::function<absl::Status()>& read) {
  MARQUEE_ASSIGN_OR_RETURN(auto transaction, sqlite::Transaction::BeginReading(database_));
  MARQUEE_ASSIGN_OR_RETURN(int64_t commit_number,
                           database_.QueryInt("SELECT commit_number FROM state"));
  MARQUEE_RETURN_IF_ERROR(read());
  seen_commit_number_ = static_cast<uint64_t>(commit_number);
  return absl::OkStatus();
}

absl::StatusOr<std::optional<Entry>> SqliteReader::Get(domain::MovieId id) {
  return GetInState(id);
}

absl::StatusOr<std::optional<Entry>> SqliteReader::GetInState(domain::MovieId id) {
  get_.Bind(1, static_cast<int64_t>(id.value()));
  MARQUEE_ASSIGN_OR_RETURN(bool row, get_.Step());
  if (!row) return absl::InternalError("a query of one row gave none");
  auto read = [&]() -> absl::StatusOr<std::optional<Entry>> {
    bool has_movie = get_.Int(1) != 0;
    bool has_mean = get_.Int(2) != 0;
    if (!has_movie && !has_mean) return std::nullopt;
    Entry entry;
    entry.id = id;
    if (has_movie) {
      MARQUEE_ASSIGN_OR_RETURN(MovieRow movie, ReadMovie(database_, get_, id, 3));
      Fill(movie, &entry);
    }
    if (has_mean) {
      MARQUEE_ASSIGN_OR_RETURN(domain::MeanRating mean, ReadMean(database_, get_, id, 9));
      Fill(mean, &entry);
    }
    return entry;
  };
  absl::StatusOr<std::optional<Entry>> entry = read();
  seen_commit_number_ = static_cast<uint64_t>(get_.Int(0));
  get_.Reset();
  return entry;
}

absl::StatusOr<ListPage> SqliteReader::List(const ListQuery& query) {
  ListPage page;
  MARQUEE_RETURN_IF_ERROR(InOneState([&]() -> absl::Status {
    MARQUEE_ASSIGN_OR_RETURN(page, ListInState(query));
    return absl::OkStatus();
  }));
  return page;
}

absl::StatusOr<ListPage> SqliteReader::ListInState(const ListQuery& query) {
  MARQUEE_ASSIGN_OR_RETURN(Search search, Search::Make(query));
  std::optional<SortKey> after;
  if (query.after) {
    MARQUEE_ASSIGN_OR_RETURN(after, DecodeSortValue(*query.after, query.sort));
  }
  FirstEntries first(EntryOrder(query.sort, query.descending), query.limit + 1, after);
  {
    MARQUEE_ASSIGN_OR_RETURN(IdCursor movies, search.OpenMovies(database_));
    MARQUEE_ASSIGN_OR_RETURN(IdCursor means, Search::OpenMeans(database_));
    MARQUEE_RETURN_IF_ERROR(Merge(
        movies, means,
        [&](domain::MovieId id, const sqlite::Statement* movie, const sqlite::Statement* mean) {
          if (search.Selects(movie, mean)) first.Offer(search.KeyOf(id, movie, mean));
          return absl::OkStatus();
        }));
  }
  std::vector<FirstEntries::Kept> kept = first.Take();
  ListPage page;
  if (kept.size() > query.limit) {
    kept.pop_back();
    SortKey last = kept.back().key;
    last.text = kept.back().text;
    page.end = ListQuery::After{.sort_value = EncodeSortValue(last, query.sort), .id = last.id};
  }
  for (const FirstEntries::Kept& each : kept) {
    MARQUEE_ASSIGN_OR_RETURN(std::optional<Entry> entry, GetInState(each.key.id));
    if (!entry)
      return DamagedRow(database_, absl::StrCat("the entry of movie ", each.key.id.value()));
    page.entries.push_back(*std::move(entry));
  }
  return page;
}

absl::StatusOr<Totals> SqliteReader::ReadTotals() {
  MARQUEE_ASSIGN_OR_RETURN(State state, ReadState(database_));
  seen_commit_number_ = state.commit_number;
  return state.totals;
}

absl::StatusOr<std::vector<domain::Watermark>> SqliteReader::Watermarks() {
  return ReadWatermarks(database_);
}

absl::StatusOr<std::vector<TopicPosition>> SqliteReader::Positions() {
  return ReadPositions(database_);
}

absl::StatusOr<uint64_t> SqliteReader::CommitNumber() {
  MARQUEE_ASSIGN_OR_RETURN(State state, ReadState(database_));
  seen_commit_number_ = state.commit_number;
  return state.commit_number;
}

absl::Status SqliteReader::ForEach(const std::function<void(const Entry&)>& visit) {
  return InOneState([&] { return VisitAll(visit); });
}

absl::Status SqliteReader::VisitAll(const std::function<void(const Entry&)>& visit) {
  State found;
  auto open = [&](const char* columns, const char* table) -> absl::StatusOr<IdCursor> {
    MARQUEE_ASSIGN_OR_RETURN(
        sqlite::Statement statement,
        database_.Prepare(absl::StrCat("SELECT id, ", columns, " FROM ", table, " ORDER BY id")));
    return IdCursor(std::move(statement));
  };
  MARQUEE_ASSIGN_OR_RETURN(IdCursor movies, open(kMovieColumns, "movies"));
  MARQUEE_ASSIGN_OR_RETURN(IdCursor means, open(kMeanColumns, "means"));
  auto visit_row = [&](domain::MovieId id, const sqlite::Statement* movie_row,
                       const sqlite::Statement* mean_row) -> absl::Status {
    Entry entry;
    entry.id = id;
    if (movie_row != nullptr) {
      MARQUEE_ASSIGN_OR_RETURN(MovieRow movie, ReadMovie(database_, *movie_row, id, 1));
      found.contents += ChecksumOf(movie);
      Fill(movie, &entry);
    }
    if (mean_row != nullptr) {
      MARQUEE_ASSIGN_OR_RETURN(domain::MeanRating mean, ReadMean(database_, *mean_row, id, 1));
      found.contents += ChecksumOf(mean);
      Fill(mean, &entry);
    }
    ++found.totals.movies;
    found.totals.ratings += entry.aggregate.count;
    found.totals.sum_thousandths += entry.aggregate.sum_thousandths;
    visit(entry);
    return absl::OkStatus();
  };
  if (absl::Status status = Merge(movies, means, visit_row); !status.ok()) {
    return Annotate(status, database_.path());
  }
  MARQUEE_ASSIGN_OR_RETURN(std::vector<domain::Watermark> watermarks, ReadWatermarks(database_));
  for (const domain::Watermark& watermark : watermarks) found.contents += ChecksumOf(watermark);
  MARQUEE_ASSIGN_OR_RETURN(std::vector<TopicPosition> positions, ReadPositions(database_));
  for (const TopicPosition& position : positions) found.contents += ChecksumOf(position);
  MARQUEE_ASSIGN_OR_RETURN(State state, ReadState(database_));
  found.commit_number = state.commit_number;
  if (ChecksumOf(found) != ChecksumOf(state)) return DamagedRow(database_, "the sum of all rows");
  return absl::OkStatus();
}

}  // namespace marquee::catalogue
