#include "messaging/transposed.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "base/status.h"

namespace marquee::messaging {
namespace {

// Where the next byte of each place stands, and at last the first that is not transposed.
using Places = std::array<size_t, kTransposedBytesMax + 1>;

size_t SizeOf(uint32_t length) { return length - (length != 0 ? 1 : 0); }

// How many of the first `most` bytes are the same.
size_t SharedBytes(const char* a, const char* b, size_t most) {
  size_t at = 0;
  for (; at + sizeof(uint64_t) <= most; at += sizeof(uint64_t)) {
    uint64_t of_a;
    uint64_t of_b;
    std::memcpy(&of_a, a + at, sizeof of_a);
    std::memcpy(&of_b, b + at, sizeof of_b);
    if (of_a != of_b) return at + static_cast<size_t>(std::countr_zero(of_a ^ of_b)) / 8;
  }
  while (at < most && a[at] == b[at]) ++at;
  return at;
}

// How many bytes stand in each place is the number of values that have begun by then to differ,
// without those that have ended. REQUIRES: no value shares more than its size or the maximum.
Places PlacesOf(std::string_view shared, std::span<const uint32_t> lengths) {
  std::array<size_t, kTransposedBytesMax + 1> begin{};
  std::array<size_t, kTransposedBytesMax + 1> end{};
  for (size_t i = 0; i < lengths.size(); ++i) {
    ++begin[static_cast<uint8_t>(shared[i])];
    ++end[std::min(SizeOf(lengths[i]), kTransposedBytesMax)];
  }
  Places places{};
  size_t standing = 0;
  for (size_t place = 0; place < kTransposedBytesMax; ++place) {
    standing += begin[place] - end[place];
    places[place + 1] = places[place] + standing;
  }
  return places;
}

}  // namespace

bool Transposer::Pays(std::string_view values, std::span<const uint32_t> lengths) {
  shared_.resize(lengths.size());
  const char* value = values.data();
  const char* before = value;
  size_t size_before = 0;
  shared_bytes_ = 0;
  for (size_t i = 0; i < lengths.size(); ++i) {
    size_t size = SizeOf(lengths[i]);
    size_t shared = SharedBytes(before, value, std::min({size_before, size, kTransposedBytesMax}));
    shared_[i] = static_cast<char>(shared);
    shared_bytes_ += shared;
    before = value;
    size_before = size;
    value += size;
  }
  return shared_bytes_ >= values.size() / 4 && shared_bytes_ >= 2 * lengths.size();
}

std::string_view Transposer::Transpose(std::string_view values, std::span<const uint32_t> lengths) {
  MARQUEE_CHECK(shared_.size() == lengths.size());
  transposed_.resize(values.size() - shared_bytes_);
  char* transposed = transposed_.data();
  Places places = PlacesOf(shared_, lengths);
  const char* value = values.data();
  for (size_t i = 0; i < lengths.size(); ++i) {
    size_t size = SizeOf(lengths[i]);
    size_t end = std::min(size, kTransposedBytesMax);
    for (size_t at = static_cast<uint8_t>(shared_[i]); at < end; ++at) {
      transposed[places[at]++] = value[at];
    }
    std::memcpy(transposed + places.back(), value + end, size - end);
    places.back() += size - end;
    value += size;
  }
  return transposed_;
}

bool Untranspose(std::string_view shared, std::string_view transposed,
                 std::span<const uint32_t> lengths, char* out) {
  size_t size_before = 0;
  size_t bytes = 0;
  for (size_t i = 0; i < lengths.size(); ++i) {
    size_t size = SizeOf(lengths[i]);
    size_t shares = static_cast<uint8_t>(shared[i]);
    if (shares > std::min({size_before, size, kTransposedBytesMax})) return false;
    bytes += size - shares;
    size_before = size;
  }
  if (bytes != transposed.size()) return false;

  Places places = PlacesOf(shared, lengths);
  std::array<char, kTransposedBytesMax> before{};
  for (size_t i = 0; i < lengths.size(); ++i) {
    size_t size = SizeOf(lengths[i]);
    size_t end = std::min(size, kTransposedBytesMax);
    // All of them, which is quicker than as many as are shared: those behind are overwritten.
    std::memcpy(out, before.data(), before.size());
    for (size_t at = static_cast<uint8_t>(shared[i]); at < end; ++at) {
      out[at] = transposed[places[at]++];
    }
    std::memcpy(before.data(), out, before.size());
    std::memcpy(out + end, transposed.data() + places.back(), size - end);
    places.back() += size - end;
    out += size;
  }
  return true;
}

}  // namespace marquee::messaging
