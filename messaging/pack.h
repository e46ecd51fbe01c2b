// Many records in one blob: what backends store or send as one row or one broker message. Columnar,
// so that it compresses well: all keys, then all values, …; docs/formats.md and pack_test.cc show
// the bytes.
//
// A pack, little-endian:
//   0  "MQPK"
//   4  u8   version: 1, or 2 where the values are transposed (messaging/transposed.h)
//   5  u8   codec of the columns: 0 as they are, 1 zstd
//   6  u16  which optional columns are there: 1 times, 2 offsets, 4 headers
//   8  u32  records
//  12  u32  bytes of the columns, uncompressed
//  16  i64  published time of the first record, milliseconds since 1970
//  24  the columns: first the size of each as a varint, in the order below, then their bytes:
//        key lengths    varint each
//        value lengths  varint each, plus one; 0: no value
//        shared         u8 each: bytes shared with the value before (only in version 2)
//        times          zigzag varint each: milliseconds after the record before (absent: all the
//                       same)
//        offsets        varint each: offsets left out before the record (absent: none)
//        headers        for each record varint count; for each header varint name length, name,
//                       varint value length, value (absent: no record has any)
//        keys           bytes
//        values         bytes; in version 2 transposed
//  last 8   XXH3-64 of all before it, seeded with the salt
// The salt binds a pack to its place (a row's key, say): a pack that is whole but somewhere else is
// damage as well.
//
// Threads: an encoder, compressor or decoder by one thread at a time; each may move between
// threads. Errors: any byte that is not as it was written is kDataLoss; bytes of a stranger are
// too.
#ifndef MARQUEE_MESSAGING_PACK_H_
#define MARQUEE_MESSAGING_PACK_H_

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "messaging/record.h"
#include "messaging/transposed.h"

namespace marquee::messaging {

// Fewer bytes than this gain nothing from compression.
inline constexpr size_t kPackCompressBytesMin = 512;
// A pack with more is never written, and refused when read.
inline constexpr size_t kPackRawBytesMax = size_t{8} << 20;

inline constexpr Offset kOffsetMax{std::numeric_limits<int64_t>::max()};

// The checksum that ends a pack, for a checksum over what stands around it. 0 where `pack` is too
// short to be one.
uint64_t PackChecksum(std::string_view pack);
// How many bytes its columns say to have, uncompressed. 0 where `pack` is too short to be one.
size_t PackRawBytes(std::string_view pack);
// How many records its header says to have; nothing else of it is looked at. 0 likewise.
size_t PackRecords(std::string_view pack);

// Compresses the columns of packs; holds a zstd context (about 1 MiB once used).
class PackCompressor {
 public:
  PackCompressor();
  PackCompressor(PackCompressor&&) noexcept;
  PackCompressor& operator=(PackCompressor&&) noexcept;
  ~PackCompressor();

 private:
  friend class PackEncoder;
  // Appends `raw` compressed, at zstd's `level`; false where that is not shorter.
  bool AppendTo(std::string_view raw, int level, std::string* out);

  struct Context;
  std::unique_ptr<Context> context_;
};

// Collects records, then writes them as one pack. Buffers are kept for the next pack.
class PackEncoder {
 public:
  // Copies the record. `skipped`: how many offsets are left out between the record before (or the
  // pack's first offset) and this one.
  void Add(std::string_view key, std::optional<std::string_view> value,
           std::span<const Header> headers, int64_t published_ms, uint64_t skipped = 0);

  uint32_t records() const { return records_; }
  bool empty() const { return records_ == 0; }
  // About the bytes of the columns so far.
  size_t raw_bytes() const {
    return keys_.size() + values_.size() + headers_.size() + key_lengths_.size() +
           value_lengths_.size();
  }
  // The latest published time. REQUIRES: not empty.
  int64_t newest_ms() const { return newest_ms_; }

  // Appends the pack to `out`; the encoder is empty afterwards. REQUIRES: raw_bytes() within
  // kPackRawBytesMax.
  void Finish(PackCompressor& compressor, std::string* out);
  void Clear();

 private:
  // Whether the values are transposed.
  bool BuildColumns();

  uint32_t records_ = 0;
  int64_t first_ms_ = 0;
  int64_t last_ms_ = 0;
  int64_t newest_ms_ = 0;
  bool times_differ_ = false;
  bool offsets_skip_ = false;
  bool has_headers_ = false;
  std::string key_lengths_;
  std::vector<uint32_t> value_lengths_;
  std::string times_;
  std::string skips_;
  std::string headers_;
  std::string keys_;
  std::string values_;
  // Of the pack that is being finished.
  Transposer transposer_;
  std::string lengths_;
  std::string columns_;
};

// Reads packs into records that borrow the decoder's buffers, until the next Clear.
class PackDecoder {
 public:
  PackDecoder();
  PackDecoder(PackDecoder&&) noexcept;
  PackDecoder& operator=(PackDecoder&&) noexcept;
  ~PackDecoder();

  // Appends the records of `pack`, the first at `first` or later, all before `end`. kDataLoss:
  // nothing was appended, and what is wrong.
  absl::Status Add(std::string_view pack, Offset first, Offset end = kOffsetMax);
  // All records since the last Clear.
  std::span<const Record> records() const { return records_; }
  void Clear();

 private:
  struct Columns;
  struct Context;

  absl::StatusOr<std::string_view> Inflate(std::string_view payload, uint8_t codec,
                                           uint32_t raw_bytes);
  char* Reserve(size_t bytes);
  absl::Status ReadValueLengths(std::string_view column, uint32_t count);
  // The values one after the other, of the lengths that were read.
  absl::StatusOr<std::string_view> ReadTransposed(std::string_view shared,
                                                  std::string_view transposed);
  absl::Status ReadRecords(Columns& columns, uint32_t count, int64_t first_ms, Offset first,
                           Offset end);
  absl::StatusOr<std::span<const Header>> ReadHeaders(std::string_view* column);

  std::vector<Record> records_;
  std::vector<uint32_t> value_lengths_;
  // Memory that does not move while records point into it.
  struct Chunk {
    std::unique_ptr<char[]> bytes;
    size_t capacity = 0;
    size_t used = 0;
  };
  std::vector<Chunk> chunks_;
  size_t chunk_ = 0;
  std::vector<std::vector<Header>> headers_;
  size_t headers_used_ = 0;
  std::unique_ptr<Context> context_;
};

}  // namespace marquee::messaging

#endif  // MARQUEE_MESSAGING_PACK_H_
