#include "base/digest.h"

#include <xxhash.h>

#include "absl/strings/str_format.h"
#include "base/status.h"

namespace marquee {
namespace {

std::optional<uint64_t> ParseHex(std::string_view text) {
  uint64_t value = 0;
  for (char c : text) {
    int digit;
    if (c >= '0' && c <= '9') {
      digit = c - '0';
    } else if (c >= 'a' && c <= 'f') {
      digit = c - 'a' + 10;
    } else {
      return std::nullopt;
    }
    value = value << 4 | static_cast<uint64_t>(digit);
  }
  return value;
}

}  // namespace

std::string Digest::ToHex() const { return absl::StrFormat("%016x%016x", high, low); }

std::optional<Digest> Digest::FromHex(std::string_view text) {
  if (text.size() != 32) return std::nullopt;
  auto high = ParseHex(text.substr(0, 16));
  auto low = ParseHex(text.substr(16));
  if (!high || !low) return std::nullopt;
  return Digest{*high, *low};
}

Digest DigestOf(std::string_view bytes) {
  XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return {hash.high64, hash.low64};
}

struct StreamDigest::State {
  State() : xxh(XXH3_createState()) {
    MARQUEE_CHECK(xxh != nullptr);
    XXH3_128bits_reset(xxh);
  }
  ~State() { XXH3_freeState(xxh); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  XXH3_state_t* xxh;
};

StreamDigest::StreamDigest() : state_(std::make_unique<State>()) {}
StreamDigest::StreamDigest(const StreamDigest& other) : StreamDigest() { *this = other; }
StreamDigest& StreamDigest::operator=(const StreamDigest& other) {
  if (this != &other) XXH3_copyState(state_->xxh, other.state_->xxh);
  return *this;
}
StreamDigest::StreamDigest(StreamDigest&&) noexcept = default;
StreamDigest& StreamDigest::operator=(StreamDigest&&) noexcept = default;
StreamDigest::~StreamDigest() = default;

void StreamDigest::Add(std::string_view bytes) {
  XXH3_128bits_update(state_->xxh, bytes.data(), bytes.size());
}

Digest StreamDigest::digest() const {
  XXH128_hash_t hash = XXH3_128bits_digest(state_->xxh);
  return {hash.high64, hash.low64};
}

}  // namespace marquee
