// What every function that can fail returns, and how its callers pass a failure on.
//
// The code says what the caller should do:
//   kInvalidArgument      fix the call or the input; trying again will not help
//   kFailedPrecondition   something is set up differently than expected; a person decides
//   kOutOfRange           the position asked for is gone or beyond the end; the message names the
//                         gap
//   kNotFound, kAlreadyExists   as their names say
//   kUnavailable          not reachable now; try again later
//   kDeadlineExceeded     tried until the deadline; what it waited for is in the message
//   kResourceExhausted    a limit was reached (queue, size, disk)
//   kDataLoss             what is stored is damaged or missing; nothing more is written; a person
//                         decides
//   kAborted              somebody else took over (a lost shard, a lost lock): drop the work, start
//                         anew
//   kCancelled            the caller's own end was asked for
//
// The message says what was expected, what was found, where, and what to try.
#ifndef MARQUEE_BASE_STATUS_H_
#define MARQUEE_BASE_STATUS_H_

#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace marquee {

// Puts `where: ` before the message, keeps the code.
absl::Status Annotate(const absl::Status& status, std::string_view where);

// Prints what was broken and aborts, in release builds too.
[[noreturn]] void CheckFailed(const char* expression, const char* file, int line);

}  // namespace marquee

// A broken invariant or precondition is a bug: it aborts, in every build.
#define MARQUEE_CHECK(condition) \
  (static_cast<bool>(condition) ? void(0) : ::marquee::CheckFailed(#condition, __FILE__, __LINE__))

#define MARQUEE_RETURN_IF_ERROR(expression)                                              \
  do {                                                                                   \
    if (::absl::Status marquee_status = (expression); !marquee_status.ok()) [[unlikely]] \
      return marquee_status;                                                             \
  } while (false)

#define MARQUEE_STATUS_CONCAT_INNER(a, b) a##b
#define MARQUEE_STATUS_CONCAT(a, b) MARQUEE_STATUS_CONCAT_INNER(a, b)
#define MARQUEE_ASSIGN_OR_RETURN(lhs, expression) \
  MARQUEE_ASSIGN_OR_RETURN_IMPL(MARQUEE_STATUS_CONCAT(marquee_statusor_, __LINE__), lhs, expression)
#define MARQUEE_ASSIGN_OR_RETURN_IMPL(statusor, lhs, expression) \
  auto statusor = (expression);                                  \
  if (!statusor.ok()) [[unlikely]]                               \
    return std::move(statusor).status();                         \
  lhs = std::move(statusor).value()

#endif  // MARQUEE_BASE_STATUS_H_
