#include "base/status.h"

#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"

namespace marquee {

absl::Status Annotate(const absl::Status& status, std::string_view where) {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(absl::string_view(where.data(), where.size()),
                                                  ": ", status.message()));
}

void CheckFailed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "marquee: bug: %s does not hold at %s:%d\n", expression, file, line);
  std::abort();
}

}  // namespace marquee
