// The two halves of ParseRating: reading the bytes, and checking what was read. Private to domain/:
// the shard state takes a message's stamp even where the rest of it is wrong.
#ifndef MARQUEE_DOMAIN_RATING_WIRE_H_
#define MARQUEE_DOMAIN_RATING_WIRE_H_

#include <string_view>

#include "absl/status/status.h"
#include "domain/rating.h"

namespace marquee::domain {

// False where `bytes` are no protobuf message of this type, as libprotobuf judges it. Checks
// nothing else.
bool ReadRating(std::string_view bytes, Rating* rating);

// kInvalidArgument. A sequence of 0 is the shard state's to refuse.
absl::Status ValidateStamp(const Stamp& stamp);
// All but the stamp. kInvalidArgument.
absl::Status ValidateRating(const Rating& rating);

}  // namespace marquee::domain

#endif  // MARQUEE_DOMAIN_RATING_WIRE_H_
