#include "sources/input_marks.h"

#include <fmt/core.h>

#include <algorithm>
#include <string_view>
#include <vector>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "base/status.h"

namespace marquee::sources {
namespace {

using domain::InputMark;

// Small enough to stay in a core's cache between being read and being digested.
constexpr size_t kBlockBytes = 128 << 10;

uint64_t CountNewlines(std::string_view text) {
  uint64_t count = 0;
#if defined(__SSE2__)
  const __m128i newline = _mm_set1_epi8('\n');
  while (text.size() >= 16) {
    // Sixteen counters of a byte each, emptied before they can overflow.
    size_t steps = std::min<size_t>(text.size() / 16, 255);
    __m128i counters = _mm_setzero_si128();
    for (size_t i = 0; i < steps; ++i) {
      __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text.data() + 16 * i));
      counters = _mm_sub_epi8(counters, _mm_cmpeq_epi8(bytes, newline));
    }
    __m128i sums = _mm_sad_epu8(counters, _mm_setzero_si128());
    count += static_cast<uint64_t>(_mm_cvtsi128_si64(sums)) +
             static_cast<uint64_t>(_mm_cvtsi128_si64(_mm_unpackhi_epi64(sums, sums)));
    text.remove_prefix(16 * steps);
  }
#endif
  return count + static_cast<uint64_t>(std::count(text.begin(), text.end(), '\n'));
}

absl::Status NotTheInput(const InputFile& file, const InputMark& expected, const Digest& found) {
  return absl::FailedPreconditionError(fmt::format(
      "{}: its first {} bytes ({} lines) changed: expected digest {}, found {}. Give the unchanged "
      "file, "
      "or say that it is a new input",
      file.path(), expected.byte, expected.line, expected.digest.ToHex(), found.ToHex()));
}

}  // namespace

InputMarks::InputMarks(InputFile& file, bool finished)
    : file_(file), finished_(finished), block_(kBlockBytes, '\0') {}

absl::StatusOr<std::string_view> InputMarks::ReadBlock(uint64_t at, uint64_t bytes_max) {
  auto bytes = static_cast<size_t>(std::min<uint64_t>(kBlockBytes, bytes_max));
  MARQUEE_ASSIGN_OR_RETURN(size_t got, file_.ReadAt(at, std::span(block_).first(bytes)));
  return std::string_view(block_.data(), got);
}

absl::Status InputMarks::AddBytes(uint64_t from, uint64_t to, StreamDigest* state) {
  while (from < to) {
    MARQUEE_ASSIGN_OR_RETURN(std::string_view block, ReadBlock(from, to - from));
    if (block.empty()) {
      return absl::DataLossError(fmt::format(
          "{}: expected at least {} bytes, found {}; the file was cut. Give the whole file",
          file_.path(), to, from));
    }
    state->Add(block);
    from += block.size();
  }
  return absl::OkStatus();
}

void InputMarks::Hold(const InputMark& mark, const StreamDigest& state) {
  auto same =
      std::find_if(held_.begin(), held_.end(), [&](const Held& held) { return held.mark == mark; });
  if (same != held_.end()) return;
  held_[next_held_].mark = mark;
  held_[next_held_].state = state;
  next_held_ = (next_held_ + 1) % kHeldMarks;
}

absl::StatusOr<StreamDigest> InputMarks::StateAt(const InputMark& from) {
  uint64_t byte = 0;
  StreamDigest state;
  for (const Held& held : held_) {
    if (held.mark == from) return held.state;
    if (held.mark.byte <= byte || held.mark.byte > from.byte) continue;
    byte = held.mark.byte;
    state = held.state;
  }
  MARQUEE_RETURN_IF_ERROR(AddBytes(byte, from.byte, &state));
  if (state.digest() != from.digest) return NotTheInput(file_, from, state.digest());
  if (from.byte > 0) Hold(from, state);
  return state;
}

absl::StatusOr<InputMark> InputMarks::After(const InputMark& from, uint64_t bytes_max,
                                            uint64_t until) {
  MARQUEE_ASSIGN_OR_RETURN(StreamDigest running, StateAt(from));
  MARQUEE_ASSIGN_OR_RETURN(std::optional<size_t> line_end, MissingLineEnd(file_, from.byte));
  if (!line_end) return from;
  if (*line_end > 0) {
    // What ends the line that was read without its end is a step of its own, and no line.
    uint64_t byte = from.byte + *line_end;
    MARQUEE_RETURN_IF_ERROR(AddBytes(from.byte, byte, &running));
    InputMark ended{.byte = byte, .line = from.line, .digest = running.digest()};
    Hold(ended, running);
    return ended;
  }
  if (until <= from.byte) return from;
  const uint64_t limit = from.byte + std::min(bytes_max, until - from.byte);
  InputMark mark = from;
  StreamDigest at_mark = running;
  uint64_t at = from.byte;
  // Beyond the limit only up to the end of the first line.
  while (at < limit || mark.byte == from.byte) {
    bool beyond = at >= limit;
    MARQUEE_ASSIGN_OR_RETURN(std::string_view block,
                             ReadBlock(at, beyond ? kBlockBytes : limit - at));
    if (block.empty()) break;
    size_t whole = (beyond ? block.find('\n') : block.rfind('\n')) + 1;
    running.Add(block.substr(0, whole));
    if (whole > 0) {
      at_mark = running;
      mark.byte = at + whole;
      mark.line += CountNewlines(block.substr(0, whole));
      if (beyond) break;
    }
    running.Add(block.substr(whole));
    at += block.size();
  }
  if (finished_ && at > mark.byte) {
    MARQUEE_ASSIGN_OR_RETURN(std::string_view rest, ReadBlock(at, 1));
    if (rest.empty()) {
      at_mark = running;
      mark.byte = at;
      ++mark.line;
    }
  }
  if (mark.byte == from.byte) return from;
  mark.digest = at_mark.digest();
  Hold(mark, at_mark);
  return mark;
}

absl::Status InputMarks::VerifyAll(std::span<const InputMark> marks) {
  std::vector<InputMark> sorted(marks.begin(), marks.end());
  std::sort(sorted.begin(), sorted.end(),
            [](const InputMark& a, const InputMark& b) { return a.byte < b.byte; });
  MARQUEE_ASSIGN_OR_RETURN(uint64_t size, file_.Size());
  uint64_t at = 0;
  StreamDigest state;
  for (const InputMark& mark : sorted) {
    if (mark.byte > size) {
      return absl::FailedPreconditionError(
          fmt::format("{}: expected at least {} bytes ({} lines), found {}; it is shorter than it "
                      "was. Give the whole "
                      "file, or say that it is a new input",
                      file_.path(), mark.byte, mark.line, size));
    }
    MARQUEE_RETURN_IF_ERROR(AddBytes(at, mark.byte, &state));
    at = mark.byte;
    if (state.digest() != mark.digest) return NotTheInput(file_, mark, state.digest());
    Hold(mark, state);
  }
  return absl::OkStatus();
}

}  // namespace marquee::sources
