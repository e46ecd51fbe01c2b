// The body of POST /api/v1/ratings: one rating, an array of them, or {"ratings": [...]}.
//
// {"user_id": 7, "movie_id": 318, "rating": 4.5, "timestamp": 1700000000}: ids and time are
// integers, the time (seconds since 1970) may be left out. The rating is read as the decimal number
// it is written as, never as a binary fraction.
//
// Threads: pure functions.
#ifndef MARQUEE_HTTP_RATINGS_BODY_H_
#define MARQUEE_HTTP_RATINGS_BODY_H_

#include <cstdint>
#include <string_view>
#include <variant>

#include "absl/status/statusor.h"
#include "domain/rules.h"
#include "http/json.h"
#include "http/rating_intake.h"

namespace marquee::http {

inline constexpr size_t kBodyErrorsMax = 20;                 // listed in one answer
inline constexpr int64_t kTimeSecondsMax = 253'402'300'799;  // the end of the year 9999

// Ratings without a time get `now_seconds`. Equal bodies (in what they say, not in how) have equal
// digests; the digest knows whether a time was given. A problem: 400 with the index and error of
// each bad rating, 413 where there are more than `ratings_max`.
std::variant<PostedRatings, Problem> ParseRatingsBody(std::string_view body,
                                                      const domain::Scale& scale,
                                                      size_t ratings_max, int64_t now_seconds);

// Thousandths of a JSON number's text ("4.5", "45e-1"), exactly. kInvalidArgument: not a multiple
// of 0.001, or beyond what a rating may be on any scale.
absl::StatusOr<domain::Thousandths> ThousandthsOfJsonNumber(std::string_view text);

}  // namespace marquee::http

#endif  // MARQUEE_HTTP_RATINGS_BODY_H_
