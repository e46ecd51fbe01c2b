// Any bytes as a file of movies: each line is blank, a heading, a movie that the wire format takes,
// or rejected with a reason.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "domain/utf8.h"
#include "sources/movie_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace marquee;  // NOLINT(google-build-using-namespace): a program of one file
  std::string_view text(reinterpret_cast<const char*>(data), size);
  int fd = memfd_create("movies", MFD_CLOEXEC);
  MARQUEE_CHECK(fd >= 0);
  MARQUEE_CHECK(write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  auto rows = sources::ReadMovieFile("/proc/self/fd/" + std::to_string(fd));
  close(fd);
  MARQUEE_CHECK(rows.ok() || absl::IsInvalidArgument(rows.status()));
  if (!rows.ok()) return 0;
  size_t lines = static_cast<size_t>(std::count(text.begin(), text.end(), '\n')) + 1;
  MARQUEE_CHECK(rows->movies.size() + rows->rejected.size() <= lines);
  for (const domain::Movie& movie : rows->movies) {
    absl::StatusOr<domain::Movie> decoded = domain::DecodeMovie(domain::EncodeMovie(movie));
    MARQUEE_CHECK(decoded.ok() && *decoded == movie);
  }
  for (const sources::RejectedRow& row : rows->rejected) {
    MARQUEE_CHECK(row.line >= 1 && row.line <= lines && !row.reason.empty());
    MARQUEE_CHECK(domain::IsValidUtf8(row.text) && domain::IsValidUtf8(row.reason));
  }
  return 0;
}
