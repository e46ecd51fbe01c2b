#include "catalogue/sqlite/rows.h"

#include "absl/strings/str_cat.h"
#include "base/digest.h"
#include "base/status.h"
#include "catalogue/sqlite/title_words.h"

namespace marquee::catalogue {

const char kSchema[] = R"sql(
CREATE TABLE movies(
  id INTEGER PRIMARY KEY, title TEXT NOT NULL, year INTEGER, genres TEXT NOT NULL,
  words TEXT NOT NULL, genre_keys TEXT NOT NULL, checksum INTEGER NOT NULL);
CREATE TABLE means(
  id INTEGER PRIMARY KEY, as_of INTEGER NOT NULL, shard INTEGER NOT NULL, count INTEGER NOT NULL,
  sum_thousandths INTEGER NOT NULL, histogram BLOB NOT NULL, checksum INTEGER NOT NULL);
CREATE TABLE watermarks(
  shard INTEGER PRIMARY KEY, ratings_through INTEGER NOT NULL, ratings_identity TEXT NOT NULL,
  checksum INTEGER NOT NULL);
CREATE TABLE positions(
  topic TEXT NOT NULL, shard INTEGER NOT NULL, identity TEXT NOT NULL, next INTEGER NOT NULL,
  checksum INTEGER NOT NULL, PRIMARY KEY(topic, shard)) WITHOUT ROWID;
CREATE TABLE state(
  id INTEGER PRIMARY KEY, commit_number INTEGER NOT NULL, movies INTEGER NOT NULL, ratings INTEGER NOT NULL,
  sum_thousandths INTEGER NOT NULL, contents INTEGER NOT NULL, checksum INTEGER NOT NULL);
)sql";

namespace {

// Fields one after the other, each text with its length, so that no two rows have the same bytes.
class RowDigest {
 public:
  explicit RowDigest(char table) { bytes_ += table; }
  RowDigest& Add(uint64_t value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof(value));
    return *this;
  }
  RowDigest& Add(std::string_view text) {
    Add(text.size());
    bytes_ += text;
    return *this;
  }
  uint64_t value() const { return DigestOf(bytes_).low; }

 private:
  std::string bytes_;
};

uint64_t Bits(int64_t value) { return static_cast<uint64_t>(value); }

uint64_t ChecksumOfMean(const domain::MeanRating& mean, std::string_view histogram) {
  return RowDigest('r')
      .Add(mean.movie.value())
      .Add(Bits(mean.as_of.value()))
      .Add(mean.shard)
      .Add(mean.aggregate.count)
      .Add(Bits(mean.aggregate.sum_thousandths))
      .Add(histogram)
      .value();
}

void AppendVarint(uint64_t value, std::string* out) {
  while (value >= 0x80) {
    *out += static_cast<char>(value | 0x80);
    value >>= 7;
  }
  *out += static_cast<char>(value);
}

bool TakeVarint(std::string_view* bytes, uint64_t* value) {
  *value = 0;
  for (int shift = 0; shift < 64 && !bytes->empty(); shift += 7) {
    auto byte = static_cast<uint8_t>(bytes->front());
    bytes->remove_prefix(1);
    *value |= uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

}  // namespace

MovieRow RowOf(const domain::Movie& movie) {
  MovieRow row{.id = movie.id,
               .title = movie.title,
               .year = movie.year,
               .genres = {},
               .words = {},
               .genre_keys = {}};
  row.words = JoinWords(WordsOf(movie.title));
  for (const std::string& genre : movie.genres) {
    if (genre.empty()) continue;
    if (!row.genres.empty()) row.genres += '|';
    for (char c : genre) {
      if (c == '|' || c == '\\') row.genres += '\\';
      row.genres += c;
    }
    row.genre_keys += GenreKey(genre);
  }
  return row;
}

uint64_t ChecksumOf(const MovieRow& row) {
  return RowDigest('m')
      .Add(row.id.value())
      .Add(row.title)
      .Add(row.year ? Bits(*row.year) : ~uint64_t{0})
      .Add(row.genres)
      .Add(row.words)
      .Add(row.genre_keys)
      .value();
}

std::string GenreKey(std::string_view genre) {
  std::string key = "\n";
  key += FoldCase(genre);
  key += '\n';
  return key;
}

std::vector<std::string> SplitGenres(std::string_view joined) {
  if (joined.empty()) return {};
  std::vector<std::string> genres(1);
  for (size_t i = 0; i < joined.size(); ++i) {
    if (joined[i] == '|') {
      genres.emplace_back();
      continue;
    }
    if (joined[i] == '\\' && i + 1 < joined.size()) ++i;
    genres.back() += joined[i];
  }
  return genres;
}

uint64_t ChecksumOf(const domain::MeanRating& mean) {
  return ChecksumOfMean(mean, EncodeHistogram(mean.aggregate));
}

uint64_t ChecksumOf(const domain::Watermark& watermark) {
  return RowDigest('w')
      .Add(watermark.shard)
      .Add(Bits(watermark.ratings_through.value()))
      .Add(watermark.ratings_identity)
      .value();
}

uint64_t ChecksumOf(const TopicPosition& position) {
  return RowDigest('p')
      .Add(position.topic)
      .Add(position.shard)
      .Add(position.identity)
      .Add(Bits(position.next))
      .value();
}

uint64_t ChecksumOf(const State& state) {
  return RowDigest('s')
      .Add(state.commit_number)
      .Add(state.totals.movies)
      .Add(state.totals.ratings)
      .Add(Bits(state.totals.sum_thousandths))
      .Add(state.contents)
      .value();
}

std::string EncodeHistogram(const domain::Aggregate& aggregate) {
  size_t bins = aggregate.histogram.size();
  while (bins > 0 && aggregate.histogram[bins - 1] == 0) --bins;
  std::string bytes;
  for (size_t bin = 0; bin < bins; ++bin) AppendVarint(aggregate.histogram[bin], &bytes);
  return bytes;
}

bool DecodeHistogram(std::string_view bytes, domain::Aggregate* aggregate) {
  aggregate->histogram.fill(0);
  for (size_t bin = 0; !bytes.empty(); ++bin) {
    if (bin == aggregate->histogram.size() || !TakeVarint(&bytes, &aggregate->histogram[bin]))
      return false;
  }
  return true;
}

absl::Status DamagedRow(const sqlite::Database& database, std::string_view row) {
  return absl::DataLossError(absl::StrCat(database.path(), ": ", std::string(row),
                                          " is damaged: its checksum does not match. Stop the "
                                          "sink, move this file away and start again: "
                                          "the catalogue is built again from the log"));
}

absl::StatusOr<domain::MeanRating> ReadMean(const sqlite::Database& database,
                                            const sqlite::Statement& row, domain::MovieId id,
                                            int column) {
  domain::MeanRating mean;
  mean.movie = id;
  mean.as_of = domain::LogOffset(row.Int(column));
  mean.shard = static_cast<uint32_t>(row.Int(column + 1));
  mean.aggregate.count = static_cast<uint64_t>(row.Int(column + 2));
  mean.aggregate.sum_thousandths = row.Int(column + 3);
  std::string_view histogram = row.Blob(column + 4);
  if (ChecksumOfMean(mean, histogram) != static_cast<uint64_t>(row.Int(column + 5)) ||
      !DecodeHistogram(histogram, &mean.aggregate)) {
    return DamagedRow(database, absl::StrCat("the mean of movie ", id.value()));
  }
  return mean;
}

absl::StatusOr<MovieRow> ReadMovie(const sqlite::Database& database, const sqlite::Statement& row,
                                   domain::MovieId id, int column) {
  MovieRow movie;
  movie.id = id;
  movie.title = row.Text(column);
  if (!row.IsNull(column + 1)) movie.year = static_cast<int>(row.Int(column + 1));
  movie.genres = row.Text(column + 2);
  movie.words = row.Text(column + 3);
  movie.genre_keys = row.Text(column + 4);
  if (ChecksumOf(movie) != static_cast<uint64_t>(row.Int(column + 5))) {
    return DamagedRow(database, absl::StrCat("the record of movie ", id.value()));
  }
  return movie;
}

absl::StatusOr<State> ReadState(sqlite::Database& database) {
  MARQUEE_ASSIGN_OR_RETURN(
      sqlite::Statement row,
      database.Prepare(
          "SELECT commit_number, movies, ratings, sum_thousandths, contents, checksum FROM state"));
  MARQUEE_ASSIGN_OR_RETURN(bool found, row.Step());
  if (!found) return DamagedRow(database, "the row of state");
  State state;
  state.commit_number = static_cast<uint64_t>(row.Int(0));
  state.totals.movies = static_cast<uint64_t>(row.Int(1));
  state.totals.ratings = static_cast<uint64_t>(row.Int(2));
  state.totals.sum_thousandths = row.Int(3);
  state.contents = static_cast<uint64_t>(row.Int(4));
  if (ChecksumOf(state) != static_cast<uint64_t>(row.Int(5)))
    return DamagedRow(database, "the row of state");
  return state;
}

absl::StatusOr<std::vector<domain::Watermark>> ReadWatermarks(sqlite::Database& database) {
  MARQUEE_ASSIGN_OR_RETURN(sqlite::Statement row,
                           database.Prepare("SELECT shard, ratings_through, ratings_identity, "
                                            "checksum FROM watermarks ORDER BY shard"));
  std::vector<domain::Watermark> watermarks;
  while (true) {
    MARQUEE_ASSIGN_OR_RETURN(bool found, row.Step());
    if (!found) return watermarks;
    domain::Watermark watermark{.shard = static_cast<uint32_t>(row.Int(0)),
                                .ratings_through = domain::LogOffset(row.Int(1)),
                                .ratings_identity = std::string(row.Text(2))};
    if (ChecksumOf(watermark) != static_cast<uint64_t>(row.Int(3))) {
      return DamagedRow(database, absl::StrCat("the watermark of shard ", watermark.shard));
    }
    watermarks.push_back(std::move(watermark));
  }
}

absl::StatusOr<std::vector<TopicPosition>> ReadPositions(sqlite::Database& database) {
  MARQUEE_ASSIGN_OR_RETURN(
      sqlite::Statement row,
      database.Prepare(
          "SELECT topic, shard, identity, next, checksum FROM positions ORDER BY topic, shard"));
  std::vector<TopicPosition> positions;
  while (true) {
    MARQUEE_ASSIGN_OR_RETURN(bool found, row.Step());
    if (!found) return positions;
    TopicPosition position{.topic = std::string(row.Text(0)),
                           .identity = std::string(row.Text(2)),
                           .shard = static_cast<uint32_t>(row.Int(1)),
                           .next = row.Int(3)};
    if (ChecksumOf(position) != static_cast<uint64_t>(row.Int(4))) {
      return DamagedRow(database,
                        absl::StrCat("the position in ", position.topic, "/", position.shard));
    }
    positions.push_back(std::move(position));
  }
}

}  // namespace marquee::catalogue
