// Text for errors. Debian builds Abseil with a string_view of its own, which std::string_view does
// not turn into. Private to domain/.
#ifndef MARQUEE_DOMAIN_TEXT_H_
#define MARQUEE_DOMAIN_TEXT_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace marquee::domain {

template <typename T>
const T& ForAbseil(const T& part) {
  return part;
}
inline absl::string_view ForAbseil(std::string_view part) { return {part.data(), part.size()}; }
inline const std::string& ForAbseil(const std::string& part) { return part; }
inline const char* ForAbseil(const char* part) { return part; }

// As absl::StrCat.
template <typename... Parts>
std::string Concat(const Parts&... parts) {
  return absl::StrCat(ForAbseil(parts)...);
}

inline std::string MessageOf(const absl::Status& status) { return std::string(status.message()); }

}  // namespace marquee::domain

#endif  // MARQUEE_DOMAIN_TEXT_H_
