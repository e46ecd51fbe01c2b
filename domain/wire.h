// Protobuf's wire format, read and written by hand for the one message of which there are millions
// a second. It takes and refuses exactly what libprotobuf does (rating_differential_test.cc,
// rating_fuzz.cc): varints of up to 10 bytes whose excess bits are dropped, tags of up to 5 bytes,
// groups up to a depth.
//
// Private to domain/. Every reader takes the place to read from and the end of what may be read,
// and returns the place after it, or null where the bytes are malformed.
#ifndef MARQUEE_DOMAIN_WIRE_H_
#define MARQUEE_DOMAIN_WIRE_H_

#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace marquee::domain::wire {

static_assert(std::endian::native == std::endian::little,
              "loads and stores below are little-endian");

enum WireType : uint32_t {
  kVarint = 0,
  kFixed64 = 1,
  kBytes = 2,
  kGroup = 3,
  kEndGroup = 4,
  kFixed32 = 5
};

inline constexpr int kVarintBytesMax = 10;
inline constexpr int kDepthMax =
    100;  // of messages and groups in each other, as libprotobuf's default

constexpr uint32_t Tag(uint32_t field, WireType type) { return field << 3 | type; }

// Byte by byte.
const char* ReadVarintSlow(const char* at, const char* end, uint64_t* value);
const char* ReadTagSlow(const char* at, const char* end, uint32_t* tag);
const char* ReadBytesSlow(const char* at, const char* end, std::string_view* bytes);
// Passes over the field whose `tag` has just been read.
const char* SkipField(uint32_t tag, const char* at, const char* end, int depth);

inline const char* ReadVarint(const char* at, const char* end, uint64_t* value) {
  if (end - at >= 8) [[likely]] {
    uint64_t word;
    std::memcpy(&word, at, 8);
    uint64_t stops = ~word & 0x8080808080808080;
    if (stops != 0) [[likely]] {
      // Keeps the bytes up to the first without its high bit, then closes the gaps of one bit
      // between them.
      word &= (stops ^ (stops - 1)) & 0x7f7f7f7f7f7f7f7f;
      word = (word & 0x007f007f007f007f) | (word & 0x7f007f007f007f00) >> 1;
      word = (word & 0x00003fff00003fff) | (word & 0x3fff00003fff0000) >> 2;
      word = (word & 0x000000000fffffff) | (word & 0x0fffffff00000000) >> 4;
      *value = word;
      return at + (std::countr_zero(stops) >> 3) + 1;
    }
  }
  return ReadVarintSlow(at, end, value);
}

// REQUIRES: at < end.
inline const char* ReadTag(const char* at, const char* end, uint32_t* tag) {
  *tag = static_cast<unsigned char>(*at);
  if (*tag < 0x80) [[likely]]
    return at + 1;
  return ReadTagSlow(at, end, tag);
}

inline const char* ReadBytes(const char* at, const char* end, std::string_view* bytes) {
  if (at < end && static_cast<signed char>(*at) >= 0) [[likely]] {
    size_t size = static_cast<unsigned char>(*at++);
    if (static_cast<size_t>(end - at) < size) return nullptr;
    *bytes = std::string_view(at, size);
    return at + size;
  }
  return ReadBytesSlow(at, end, bytes);
}

inline const char* ReadFixed64(const char* at, const char* end, uint64_t* value) {
  if (end - at < 8) return nullptr;
  std::memcpy(value, at, 8);
  return at + 8;
}

// Writers: REQUIRE room for what they write, and return the place after it.
inline char* WriteVarint(char* at, uint64_t value) {
  while (value >= 0x80) {
    *at++ = static_cast<char>(value | 0x80);
    value >>= 7;
  }
  *at++ = static_cast<char>(value);
  return at;
}

// Of fields up to 15.
inline char* WriteTag(char* at, uint32_t field, WireType type) {
  *at = static_cast<char>(Tag(field, type));
  return at + 1;
}

// Nothing where the value is 0, as proto3 has it.
inline char* WriteVarintField(char* at, uint32_t field, uint64_t value) {
  if (value == 0) return at;
  return WriteVarint(WriteTag(at, field, kVarint), value);
}

inline char* WriteBytesField(char* at, uint32_t field, std::string_view bytes) {
  at = WriteVarint(WriteTag(at, field, kBytes), bytes.size());
  std::memcpy(at, bytes.data(), bytes.size());
  return at + bytes.size();
}

}  // namespace marquee::domain::wire

#endif  // MARQUEE_DOMAIN_WIRE_H_
