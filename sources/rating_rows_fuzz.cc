// Any bytes as a file of ratings: read in any steps of marks, seeks and reads it gives the rows
// that a plain parser finds in the whole text. The input's first two bytes choose the steps and
// whether the file is finished.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

#include "base/status.h"
#include "domain/utf8.h"
#include "sources/rating_file.h"
#include "sources/testing/reference_rows.h"

namespace {

using namespace marquee;           // NOLINT(google-build-using-namespace): a program of one file
using namespace marquee::sources;  // NOLINT(google-build-using-namespace)

void CheckRejected(RatingFile& file) {
  RowBatch batch;
  MARQUEE_CHECK(file.Seek(0, 0).ok());
  MARQUEE_CHECK(file.Read(UINT64_MAX, SIZE_MAX, &batch).ok());
  for (const RejectedRow& row : batch.rejected) {
    MARQUEE_CHECK(!row.reason.empty() && domain::IsValidUtf8(row.reason));
    MARQUEE_CHECK(row.text.size() <= kRowBytesMax && domain::IsValidUtf8(row.text));
    MARQUEE_CHECK(row.text.find('\0') == std::string::npos);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const bool finished = (data[0] & 1) != 0;
  Random random(uint64_t{data[0]} << 8 | data[1]);
  std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);
  int fd = memfd_create("ratings", MFD_CLOEXEC);
  MARQUEE_CHECK(fd >= 0);
  MARQUEE_CHECK(write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  auto file =
      RatingFile::Open("/proc/self/fd/" + std::to_string(fd), {.scale = {}, .finished = finished});
  if (file.ok()) {
    std::string difference = sources::testing::DifferenceInSteps(**file, text, finished, random);
    if (!difference.empty()) std::fprintf(stderr, "%s\n", difference.c_str());
    MARQUEE_CHECK(difference.empty());
    CheckRejected(**file);
  } else {
    MARQUEE_CHECK(absl::IsInvalidArgument(file.status()));
    MARQUEE_CHECK(!sources::testing::ReadPlainly(text, finished));
  }
  close(fd);
  return 0;
}
