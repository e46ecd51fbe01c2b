// Makes and verifies marks (domain::InputMark) of a file: each says how many lines and which bytes
// come before it. Digests ahead of the reading through a buffer of its own, each byte once as long
// as marks are made one after the other.
//
// Ownership: borrows the file. Threads: one at a time. Errors: as InputFile, and what each method
// says.
#ifndef MARQUEE_SOURCES_INPUT_MARKS_H_
#define MARQUEE_SOURCES_INPUT_MARKS_H_

#include <array>
#include <cstdint>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "base/digest.h"
#include "domain/source_progress.h"
#include "sources/input_file.h"

namespace marquee::sources {

class InputMarks {
 public:
  // `finished`: what follows the last newline is a line.
  InputMarks(InputFile& file, bool finished);

  // RatingFile::MarkAfter, for lines that end at or before byte `until`.
  absl::StatusOr<domain::InputMark> After(const domain::InputMark& from, uint64_t bytes_max,
                                          uint64_t until);

  // RatingFile::VerifyAll.
  absl::Status VerifyAll(std::span<const domain::InputMark> marks);

 private:
  // A mark and the digest's state there, from which others can be made without reading what is
  // before it.
  struct Held {
    domain::InputMark mark;
    StreamDigest state;
  };
  // Enough for the mark that is done, the one that is intended, and those of a verification
  // between.
  static constexpr size_t kHeldMarks = 4;

  // The state at `from`. kFailedPrecondition: the file is not the one that it was made of.
  absl::StatusOr<StreamDigest> StateAt(const domain::InputMark& from);
  void Hold(const domain::InputMark& mark, const StreamDigest& state);
  // Adds the bytes from..to. kDataLoss: they are not there.
  absl::Status AddBytes(uint64_t from, uint64_t to, StreamDigest* state);
  absl::StatusOr<std::string_view> ReadBlock(uint64_t at, uint64_t bytes_max);

  InputFile& file_;
  const bool finished_;
  std::array<Held, kHeldMarks> held_;
  size_t next_held_ = 0;  // the oldest, which goes next
  std::string block_;
};

}  // namespace marquee::sources

#endif  // MARQUEE_SOURCES_INPUT_MARKS_H_
