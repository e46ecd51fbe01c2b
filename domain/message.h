// Reading a message of marquee.v1 from bytes, with the error that every such reader gives. Private
// to domain/.
#ifndef MARQUEE_DOMAIN_MESSAGE_H_
#define MARQUEE_DOMAIN_MESSAGE_H_

#include <climits>
#include <limits>
#include <string_view>

#include "absl/status/status.h"
#include "domain/text.h"

namespace marquee::domain {

inline constexpr uint64_t kMovieIdMax = std::numeric_limits<int64_t>::max();

// kInvalidArgument.
template <typename Message>
absl::Status ReadMessageFrom(std::string_view bytes, Message* message) {
  if (bytes.size() <= INT_MAX &&
      message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      Concat("not a ", message->GetTypeName(), ": ", bytes.size(), " bytes of malformed protobuf"));
}

}  // namespace marquee::domain

#endif  // MARQUEE_DOMAIN_MESSAGE_H_
