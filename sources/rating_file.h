// A file of ratings that can be read again: `ratings.csv` of MovieLens
// (userId,movieId,rating,timestamp; CRLF or LF, a BOM, quoted cells, a heading or none) or
// `ratings.dat` of the older sets (user::movie::rating::time). Only whole lines count: what follows
// the last newline waits, unless the file is read as finished.
//
// A line is a row; cells hold no line breaks. The first line that is not blank tells the format,
// and is a heading where none of its cells is a number. Blank lines are passed over. Every other
// line is a rating or is rejected with what was expected and found. The same bytes give the same
// rows with the same line numbers, wherever a reading begins.
//
// The file may grow while it is open. Where its last line was read without a newline (finished), a
// newline that is appended later ends that line and is no line of its own; anything else there is
// kFailedPrecondition.
//
// Ownership: owns the file descriptor. Threads: one at a time. Memory: under 1 MiB and the batch.
// Fails with: kNotFound, kInvalidArgument (a folder or a pipe; neither of the formats, with what
// the first line was), kUnavailable (an I/O error; retry), kDataLoss (the file became shorter).
#ifndef MARQUEE_SOURCES_RATING_FILE_H_
#define MARQUEE_SOURCES_RATING_FILE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "domain/ids.h"
#include "domain/rules.h"
#include "domain/source_progress.h"

namespace marquee::sources {

inline constexpr size_t kRowBytesMax =
    64 << 10;  // a longer line is rejected, whatever its length, without holding it

struct RatingRow {
  domain::UserId user;
  domain::MovieId movie;
  domain::Thousandths value;
  int64_t time_seconds = 0;
};

struct RejectedRow {
  uint64_t line = 0;   // from 1, in the file
  std::string text;    // at most kRowBytesMax of it; what is not UTF-8, and each NUL, is U+FFFD
  std::string reason;  // one sentence
};

// What a Read found, in the order of the file: ratings and rejected rows, and the place after them.
struct RowBatch {
  std::vector<RatingRow> ratings;
  std::vector<RejectedRow> rejected;
  uint64_t byte = 0;  // just after the last line of the batch
  uint64_t line = 0;
};

struct RatingFileOptions {
  domain::Scale scale;
  // The file will not grow: a last line without a newline is a line.
  bool finished = true;
};

class RatingFile {
 public:
  static absl::StatusOr<std::unique_ptr<RatingFile>> Open(const std::string& path,
                                                          const RatingFileOptions& options);
  virtual ~RatingFile() = default;

  // Bytes of the file now.
  virtual absl::StatusOr<uint64_t> Size() = 0;

  // The mark at the end of the last whole line within `bytes_max` bytes after `from` (at least one
  // line where there is one, however long). Equal to `from` where no whole line follows it. Digests
  // only what follows the last of the few marks made or verified before that `from` is at or
  // behind; so each byte once, where marks are made in order. kFailedPrecondition: the bytes before
  // `from` are not those that it was made of.
  virtual absl::StatusOr<domain::InputMark> MarkAfter(const domain::InputMark& from,
                                                      uint64_t bytes_max) = 0;

  // kFailedPrecondition: the bytes before one of `marks` are not those that it was made of (says
  // whether the file is shorter, or changed). Reads the file from its start, once for all of them;
  // MarkAfter goes on from there.
  virtual absl::Status VerifyAll(std::span<const domain::InputMark> marks) = 0;
  absl::Status Verify(const domain::InputMark& mark) { return VerifyAll({&mark, 1}); }

  // The next Read begins here, which is a place just after a whole line (or 0).
  virtual absl::Status Seek(uint64_t byte, uint64_t line) = 0;

  // Replaces `*batch` with the next rows, at most `rows_max` lines, none beyond `until_byte`; empty
  // where nothing whole is left before it. The heading is no row.
  virtual absl::Status Read(uint64_t until_byte, size_t rows_max, RowBatch* batch) = 0;
};

}  // namespace marquee::sources

#endif  // MARQUEE_SOURCES_RATING_FILE_H_
