// The rows of the catalogue's file, and how damage to them is found.
//
// Each row carries a checksum of its own fields. The one row of `state` carries the totals, and the
// sum (modulo 2^64) of the checksums of all rows of the other tables: a row that vanished,
// appeared, or came back from an older page is noticed by whoever reads everything
// (Reader::ForEach, and each opening of a catalogue).
//
// Threads: pure functions, and functions on a connection of the caller's.
#ifndef MARQUEE_CATALOGUE_SQLITE_ROWS_H_
#define MARQUEE_CATALOGUE_SQLITE_ROWS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/sqlite/database.h"
#include "catalogue/catalogue.h"

namespace marquee::catalogue {

inline constexpr int32_t kApplicationId = 0x4d515543;  // "MQUC"
inline constexpr int kSchemaVersion = 1;
extern const char kSchema[];

// A row of `movies`. `words` and `genre_keys` follow from the title and the genres; searches read
// them.
struct MovieRow {
  domain::MovieId id;
  std::string title;
  std::optional<int> year;
  std::string genres;      // joined by '|', with '\' before a '|' or '\' of a genre
  std::string words;       // JoinWords(WordsOf(title))
  std::string genre_keys;  // "\ncrime\ndrama\n"
};
MovieRow RowOf(const domain::Movie& movie);
uint64_t ChecksumOf(const MovieRow& row);
std::string GenreKey(std::string_view genre);  // "\ncrime\n"
std::vector<std::string> SplitGenres(std::string_view joined);

uint64_t ChecksumOf(const domain::MeanRating& mean);
uint64_t ChecksumOf(const domain::Watermark& watermark);
uint64_t ChecksumOf(const TopicPosition& position);

// Ten counts as varints, without the zeros at the end.
std::string EncodeHistogram(const domain::Aggregate& aggregate);
// False where `bytes` is not such an encoding.
bool DecodeHistogram(std::string_view bytes, domain::Aggregate* aggregate);

// The row of `state`.
struct State {
  uint64_t commit_number = 0;
  Totals totals;
  uint64_t contents = 0;
};
uint64_t ChecksumOf(const State& state);

// Reading, each with its checksum verified: kDataLoss names the row, the file and what to do.
absl::Status DamagedRow(const sqlite::Database& database, std::string_view row);
// Columns from `column` on: kMeanColumns. The id comes from the caller.
inline constexpr char kMeanColumns[] = "as_of, shard, count, sum_thousandths, histogram, checksum";
absl::StatusOr<domain::MeanRating> ReadMean(const sqlite::Database& database,
                                            const sqlite::Statement& row, domain::MovieId id,
                                            int column);
inline constexpr char kMovieColumns[] = "title, year, genres, words, genre_keys, checksum";
absl::StatusOr<MovieRow> ReadMovie(const sqlite::Database& database, const sqlite::Statement& row,
                                   domain::MovieId id, int column);

absl::StatusOr<State> ReadState(sqlite::Database& database);
absl::StatusOr<std::vector<domain::Watermark>> ReadWatermarks(sqlite::Database& database);
absl::StatusOr<std::vector<TopicPosition>> ReadPositions(sqlite::Database& database);

}  // namespace marquee::catalogue

#endif  // MARQUEE_CATALOGUE_SQLITE_ROWS_H_
