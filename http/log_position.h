// A position in `ratings` that covers every shard a request touched; opaque text for clients.
#ifndef MARQUEE_HTTP_LOG_POSITION_H_
#define MARQUEE_HTTP_LOG_POSITION_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "domain/ids.h"

namespace marquee::http {

struct LogPosition {
  std::string ratings_identity;
  std::map<uint32_t, domain::LogOffset>
      through;  // by shard: visible when the shard's watermark is at least this

  // URL-safe text, and back. kInvalidArgument: not such a text.
  std::string Encode() const;
  static absl::StatusOr<LogPosition> Decode(std::string_view text);
  friend bool operator==(const LogPosition&, const LogPosition&) = default;
};

}  // namespace marquee::http

#endif  // MARQUEE_HTTP_LOG_POSITION_H_
