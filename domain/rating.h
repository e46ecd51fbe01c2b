// One rating as it goes through the topic `ratings` (message marquee.v1.Rating), with the stamp
// that identifies it.
#ifndef MARQUEE_DOMAIN_RATING_H_
#define MARQUEE_DOMAIN_RATING_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "domain/ids.h"

namespace marquee::domain {

inline constexpr size_t kSourceNameBytesMax = 64;       // [A-Za-z0-9._-], not empty
inline constexpr size_t kIdempotencyKeyBytesMax = 255;  // visible ASCII, not empty

// Identifies one rating: (source, incarnation, shard, sequence). The shard is the one it is
// published to.
struct Stamp {
  std::string_view source;
  Incarnation incarnation;
  Sequence sequence;
  Sequence flushed_through;  // the producer knew this shard's sequences up to here to be durable
  friend bool operator==(const Stamp&, const Stamp&) = default;
};

// One rating of a request that its client may send again.
struct Idempotency {
  std::string_view key;
  uint32_t index = 0;        // of the rating in the request
  uint64_t body_digest = 0;  // of the whole request
  friend bool operator==(const Idempotency&, const Idempotency&) = default;
};

// Borrows its texts.
struct Rating {
  UserId user;
  MovieId movie;
  Thousandths value;
  int64_t time_seconds = 0;  // when the user rated, seconds since 1970
  std::optional<Stamp> stamp;
  std::optional<Idempotency> idempotency;
  friend bool operator==(const Rating&, const Rating&) = default;
};

// Appends the message's bytes. The constant fields (source, incarnation, flushed_through) come
// first, so that packed ratings compress well.
void AppendRating(const Rating& rating, std::string* out);
// Writes them to `at`, where there is room for kRatingBytesMax; the place after them.
char* WriteRating(const Rating& rating, char* at);
inline constexpr size_t kRatingBytesMax = 421;

// Reads the message; borrows from `bytes`. kInvalidArgument: what is malformed or missing. Knows
// nothing of the scale; unknown fields are passed over, as protobuf has it.
absl::Status ParseRating(std::string_view bytes, Rating* rating);

// The message key of a movie: its decimal id. Writes into `buffer` (at least kMovieKeyBytesMax).
inline constexpr size_t kMovieKeyBytesMax = 20;
std::string_view FormatMovieKey(MovieId movie, char* buffer);
std::string MovieKey(MovieId movie);
// nullopt where `key` is not the canonical decimal id of a movie.
std::optional<MovieId> ParseMovieKey(std::string_view key);

// kInvalidArgument: what is wrong with the name.
absl::Status ValidateSourceName(std::string_view source);

}  // namespace marquee::domain

#endif  // MARQUEE_DOMAIN_RATING_H_
