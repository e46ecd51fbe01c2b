// A 128-bit digest (XXH3) that tells whether bytes are the same as before: damage, an edited input,
// another checkpoint. It does not resist somebody who makes collisions on purpose.
#ifndef MARQUEE_BASE_DIGEST_H_
#define MARQUEE_BASE_DIGEST_H_

#include <compare>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace marquee {

struct Digest {
  uint64_t high = 0;
  uint64_t low = 0;

  friend auto operator<=>(const Digest&, const Digest&) = default;
  // 32 hexadecimal digits, and back; nullopt where `text` is not that.
  std::string ToHex() const;
  static std::optional<Digest> FromHex(std::string_view text);
};

Digest DigestOf(std::string_view bytes);

// Digests a stream; digest() may be asked at any point. A value: a copy goes on from the same
// state.
class StreamDigest {
 public:
  StreamDigest();
  StreamDigest(const StreamDigest& other);
  StreamDigest& operator=(const StreamDigest& other);
  StreamDigest(StreamDigest&&) noexcept;
  StreamDigest& operator=(StreamDigest&&) noexcept;
  ~StreamDigest();

  void Add(std::string_view bytes);
  Digest digest() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace marquee

#endif  // MARQUEE_BASE_DIGEST_H_
