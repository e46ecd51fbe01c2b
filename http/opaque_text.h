// Opaque texts for clients (positions, cursors): a few fields in URL-safe base64, with a check that
// finds texts that were cut, changed or made up. Not a secret and no signature.
//
// Threads: pure. A reader that went wrong once gives zeros and empty texts from then on; ask Ok at
// the end.
#ifndef MARQUEE_HTTP_OPAQUE_TEXT_H_
#define MARQUEE_HTTP_OPAQUE_TEXT_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace marquee::http {

inline constexpr size_t kOpaqueTextBytesMax = 32 << 10;

class OpaqueTextWriter {
 public:
  // `kind` tells kinds and versions of texts apart.
  explicit OpaqueTextWriter(uint8_t kind) { bytes_ += static_cast<char>(kind); }
  OpaqueTextWriter& Add(uint64_t value);
  OpaqueTextWriter& Add(std::string_view text);
  std::string Finish() const;

 private:
  std::string bytes_;
};

class OpaqueTextReader {
 public:
  OpaqueTextReader(uint8_t kind, std::string_view text);
  uint64_t TakeNumber();
  std::string TakeText();
  // Nothing went wrong, and nothing is left over.
  bool Ok() const { return ok_ && left_.empty(); }
  bool failed() const { return !ok_; }

 private:
  std::string bytes_;
  std::string_view left_;
  bool ok_ = false;
};

}  // namespace marquee::http

#endif  // MARQUEE_HTTP_OPAQUE_TEXT_H_
