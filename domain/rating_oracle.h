// What ParseRating must say of any bytes, by libprotobuf's own class. For the differential test and
// the fuzzer.
#ifndef MARQUEE_DOMAIN_RATING_ORACLE_H_
#define MARQUEE_DOMAIN_RATING_ORACLE_H_

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "domain/rating.h"
#include "google/protobuf/stubs/logging.h"
#include "marquee/v1/rating.pb.h"

namespace marquee::domain {

inline bool IsGoodSource(const std::string& source) {
  return !source.empty() && source.size() <= 64 &&
         std::all_of(source.begin(), source.end(), [](char c) {
           return std::string_view(
                      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
                      .find(c) != std::string_view::npos;
         });
}

inline bool IsGoodKey(const std::string& key) {
  return !key.empty() && key.size() <= 255 &&
         std::all_of(key.begin(), key.end(), [](char c) { return c >= 33 && c <= 126; });
}

// Borrows from `message`. nullopt where a field's value is not allowed.
inline std::optional<Rating> RatingFrom(const v1::Rating& message) {
  Rating rating;
  rating.movie = MovieId(message.movie_id());
  rating.user = UserId(message.user_id());
  rating.value = Thousandths(message.value_thousandths());
  rating.time_seconds = message.time_seconds();
  if (message.movie_id() < 1 || message.movie_id() > INT64_MAX || message.user_id() > INT64_MAX)
    return std::nullopt;
  if (message.has_stamp()) {
    const v1::Stamp& stamp = message.stamp();
    if (!IsGoodSource(stamp.source()) || stamp.incarnation() == 0) return std::nullopt;
    rating.stamp = Stamp{.source = stamp.source(),
                         .incarnation = Incarnation(stamp.incarnation()),
                         .sequence = Sequence(stamp.sequence()),
                         .flushed_through = Sequence(stamp.flushed_through())};
  }
  if (message.has_idempotency()) {
    const v1::Idempotency& idempotency = message.idempotency();
    if (!IsGoodKey(idempotency.key())) return std::nullopt;
    rating.idempotency = Idempotency{.key = idempotency.key(),
                                     .index = idempotency.index(),
                                     .body_digest = idempotency.body_digest()};
  }
  return rating;
}

// An empty text where ParseRating and libprotobuf agree on `bytes`, otherwise how they differ.
inline std::string DifferenceOn(std::string_view bytes) {
  google::protobuf::LogSilencer silencer;
  v1::Rating message;
  std::optional<Rating> expected;
  if (message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    expected = RatingFrom(message);
  Rating parsed;
  absl::Status status = ParseRating(bytes, &parsed);
  if (status.ok() != expected.has_value())
    return "libprotobuf and ParseRating: " + status.ToString();
  if (status.ok() && parsed != *expected)
    return "another rating than " + message.ShortDebugString();
  return "";
}

}  // namespace marquee::domain

#endif  // MARQUEE_DOMAIN_RATING_ORACLE_H_
