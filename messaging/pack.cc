#include "messaging/pack.h"

#include <fmt/format.h>
#include <xxhash.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "base/status.h"

namespace marquee::messaging {
namespace {

static_assert(std::endian::native == std::endian::little,
              "packs are written as the machine has them");

constexpr std::string_view kMagic = "MQPK";
constexpr uint8_t kVersion = 1;
constexpr uint8_t kTransposedVersion = 2;
constexpr uint8_t kStored = 0;
constexpr uint8_t kZstd = 1;
constexpr int kZstdLevel = 1;
// Most of what zstd would find is gone from transposed values: quicker levels leave little more.
constexpr int kTransposedZstdLevel = -5;
constexpr size_t kHeaderBytes = 24;
constexpr size_t kRecordsAt = 8;
constexpr size_t kRawBytesAt = 12;
constexpr size_t kChecksumBytes = 8;
constexpr size_t kChunkBytes = size_t{256} << 10;

constexpr uint16_t kHasTimes = 1;
constexpr uint16_t kHasOffsets = 2;
constexpr uint16_t kHasHeaders = 4;
constexpr uint16_t kKnownColumns = kHasTimes | kHasOffsets | kHasHeaders;

inline void AppendVarint(uint64_t value, std::string* out) {
  if (value < 0x80) [[likely]] {
    out->push_back(static_cast<char>(value));
    return;
  }
  while (value >= 0x80) {
    out->push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out->push_back(static_cast<char>(value));
}

uint64_t ZigZag(int64_t value) {
  return static_cast<uint64_t>(value) << 1 ^ static_cast<uint64_t>(value >> 63);
}
int64_t UnZigZag(uint64_t value) { return static_cast<int64_t>(value >> 1 ^ (~(value & 1) + 1)); }

bool ReadVarintSlow(std::string_view* in, uint64_t* value) {
  uint64_t result = 0;
  for (size_t i = 0; i < in->size() && i < 10; ++i) {
    auto byte = static_cast<uint8_t>((*in)[i]);
    if (i == 9 && byte > 1) return false;
    result |= uint64_t{byte & 0x7fu} << (7 * i);
    if (byte < 0x80) {
      in->remove_prefix(i + 1);
      *value = result;
      return true;
    }
  }
  return false;
}

inline bool ReadVarint(std::string_view* in, uint64_t* value) {
  if (!in->empty() && static_cast<uint8_t>(in->front()) < 0x80) [[likely]] {
    *value = static_cast<uint8_t>(in->front());
    in->remove_prefix(1);
    return true;
  }
  return ReadVarintSlow(in, value);
}

inline bool ReadBytes(std::string_view* in, uint64_t size, std::string_view* out) {
  if (size > in->size()) return false;
  *out = std::string_view(in->data(), size);
  in->remove_prefix(size);
  return true;
}

template <typename T>
void Put(T value, char* at) {
  std::memcpy(at, &value, sizeof(T));
}
template <typename T>
T Get(const char* at) {
  T value;
  std::memcpy(&value, at, sizeof(T));
  return value;
}

absl::Status Damaged(std::string_view what) {
  return absl::DataLossError(fmt::format("damaged pack: {}", what));
}

}  // namespace

uint64_t PackChecksum(std::string_view pack) {
  return pack.size() < kChecksumBytes ? 0
                                      : Get<uint64_t>(pack.data() + pack.size() - kChecksumBytes);
}

size_t PackRawBytes(std::string_view pack) {
  return pack.size() < kHeaderBytes ? 0 : Get<uint32_t>(pack.data() + kRawBytesAt);
}

size_t PackRecords(std::string_view pack) {
  return pack.size() < kHeaderBytes ? 0 : Get<uint32_t>(pack.data() + kRecordsAt);
}

// ---------------------------------------------------------------------------------------------------------------------

struct PackCompressor::Context {
  Context() : zstd(ZSTD_createCCtx()) { MARQUEE_CHECK(zstd != nullptr); }
  ~Context() { ZSTD_freeCCtx(zstd); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  ZSTD_CCtx* zstd;
};

PackCompressor::PackCompressor() = default;
PackCompressor::PackCompressor(PackCompressor&&) noexcept = default;
PackCompressor& PackCompressor::operator=(PackCompressor&&) noexcept = default;
PackCompressor::~PackCompressor() = default;

bool PackCompressor::AppendTo(std::string_view raw, int level, std::string* out) {
  if (context_ == nullptr) context_ = std::make_unique<Context>();
  ZSTD_CCtx_setParameter(context_->zstd, ZSTD_c_compressionLevel, level);
  size_t before = out->size();
  size_t room = ZSTD_compressBound(raw.size());
  out->resize(before + room);
  size_t size = ZSTD_compress2(context_->zstd, out->data() + before, room, raw.data(), raw.size());
  MARQUEE_CHECK(ZSTD_isError(size) == 0);
  if (size >= raw.size()) {
    out->resize(before);
    return false;
  }
  out->resize(before + size);
  return true;
}

// ---------------------------------------------------------------------------------------------------------------------

void PackEncoder::Add(std::string_view key, std::optional<std::string_view> value,
                      std::span<const Header> headers, int64_t published_ms, uint64_t skipped) {
  if (records_ == 0) {
    first_ms_ = last_ms_ = newest_ms_ = published_ms;
  }
  AppendVarint(key.size(), &key_lengths_);
  keys_.append(key);
  if (value.has_value()) {
    value_lengths_.push_back(static_cast<uint32_t>(value->size() + 1));
    values_.append(*value);
  } else {
    value_lengths_.push_back(0);
  }
  // A column begins with the first record that needs it; those before are zeros, a byte each.
  if (times_differ_ || published_ms != last_ms_) {
    if (!times_differ_) times_.assign(records_, '\0');
    times_differ_ = true;
    AppendVarint(ZigZag(published_ms - last_ms_), &times_);
    last_ms_ = published_ms;
    newest_ms_ = std::max(newest_ms_, published_ms);
  }
  if (offsets_skip_ || skipped != 0) {
    if (!offsets_skip_) skips_.assign(records_, '\0');
    offsets_skip_ = true;
    AppendVarint(skipped, &skips_);
  }
  if (has_headers_ || !headers.empty()) {
    if (!has_headers_) headers_.assign(records_, '\0');
    has_headers_ = true;
    AppendVarint(headers.size(), &headers_);
  }
  for (const Header& header : headers) {
    AppendVarint(header.name.size(), &headers_);
    headers_.append(header.name);
    AppendVarint(header.value.size(), &headers_);
    headers_.append(header.value);
  }
  ++records_;
}

bool PackEncoder::BuildColumns() {
  bool transposed =
      raw_bytes() >= kPackCompressBytesMin && transposer_.Pays(values_, value_lengths_);
  lengths_.clear();
  for (uint32_t length : value_lengths_) AppendVarint(length, &lengths_);
  absl::InlinedVector<std::string_view, 8> columns = {key_lengths_, lengths_};
  if (transposed) columns.push_back(transposer_.shared());
  for (std::string_view column :
       std::initializer_list<std::string_view>{times_, skips_, headers_, keys_})
    columns.push_back(column);
  columns.push_back(transposed ? transposer_.Transpose(values_, value_lengths_)
                               : std::string_view(values_));
  columns_.clear();
  for (std::string_view column : columns) AppendVarint(column.size(), &columns_);
  for (std::string_view column : columns) columns_.append(column);
  MARQUEE_CHECK(columns_.size() <= kPackRawBytesMax && values_.size() <= kPackRawBytesMax);
  return transposed;
}

void PackEncoder::Finish(PackCompressor& compressor, std::string* out) {
  bool transposed = BuildColumns();
  size_t begin = out->size();
  out->resize(begin + kHeaderBytes);
  uint8_t codec = kZstd;
  if (columns_.size() < kPackCompressBytesMin ||
      !compressor.AppendTo(columns_, transposed ? kTransposedZstdLevel : kZstdLevel, out)) {
    codec = kStored;
    out->append(columns_);
  }
  char* header = out->data() + begin;
  std::memcpy(header, kMagic.data(), kMagic.size());
  Put<uint8_t>(transposed ? kTransposedVersion : kVersion, header + 4);
  Put<uint8_t>(codec, header + 5);
  Put<uint16_t>(
      static_cast<uint16_t>((times_differ_ ? kHasTimes : 0) | (offsets_skip_ ? kHasOffsets : 0) |
                            (has_headers_ ? kHasHeaders : 0)),
      header + 6);
  Put<uint32_t>(records_, header + 8);
  Put<uint32_t>(static_cast<uint32_t>(columns_.size()), header + kRawBytesAt);
  Put<int64_t>(records_ == 0 ? 0 : first_ms_, header + 16);
  uint64_t checksum = XXH3_64bits(header, out->size() - begin);
  out->append(reinterpret_cast<const char*>(&checksum), kChecksumBytes);
  Clear();
}

void PackEncoder::Clear() {
  records_ = 0;
  times_differ_ = offsets_skip_ = has_headers_ = false;
  for (std::string* column : {&key_lengths_, &times_, &skips_, &headers_, &keys_, &values_}) {
    column->clear();
  }
  value_lengths_.clear();
}

// ---------------------------------------------------------------------------------------------------------------------

struct PackDecoder::Context {
  Context() : zstd(ZSTD_createDCtx()) { MARQUEE_CHECK(zstd != nullptr); }
  ~Context() { ZSTD_freeDCtx(zstd); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  ZSTD_DCtx* zstd;
};

struct PackDecoder::Columns {
  std::string_view key_lengths, value_lengths, shared, times, skips, headers, keys, values;
  uint16_t present = 0;
  bool transposed = false;

  bool Split(std::string_view raw) {
    std::array<std::string_view*, 8> all = {&key_lengths, &value_lengths, &shared, &times,
                                            &skips,       &headers,       &keys,   &values};
    std::array<uint64_t, 8> sizes{};
    for (size_t i = 0; i < all.size(); ++i) {
      if (all[i] == &shared && !transposed) continue;
      if (!ReadVarint(&raw, &sizes[i])) return false;
    }
    for (size_t i = 0; i < all.size(); ++i) {
      if (!ReadBytes(&raw, sizes[i], all[i])) return false;
    }
    return raw.empty();
  }
  bool AllRead() const {
    return key_lengths.empty() && times.empty() && skips.empty() && headers.empty() &&
           keys.empty() && values.empty();
  }
};

PackDecoder::PackDecoder() = default;
PackDecoder::PackDecoder(PackDecoder&&) noexcept = default;
PackDecoder& PackDecoder::operator=(PackDecoder&&) noexcept = default;
PackDecoder::~PackDecoder() = default;

void PackDecoder::Clear() {
  records_.clear();
  for (Chunk& chunk : chunks_) chunk.used = 0;
  // A rare large pack does not keep its memory for ever.
  while (chunks_.size() > 1 && chunks_.back().capacity > kChunkBytes) chunks_.pop_back();
  chunk_ = 0;
  headers_used_ = 0;
}

char* PackDecoder::Reserve(size_t bytes) {
  while (chunk_ < chunks_.size() && chunks_[chunk_].capacity - chunks_[chunk_].used < bytes)
    ++chunk_;
  if (chunk_ == chunks_.size()) {
    size_t capacity = std::max(bytes + bytes / 8, kChunkBytes);
    chunks_.push_back({std::unique_ptr<char[]>(new char[capacity]), capacity, 0});
  }
  Chunk& chunk = chunks_[chunk_];
  char* at = chunk.bytes.get() + chunk.used;
  chunk.used += bytes;
  return at;
}

absl::StatusOr<std::string_view> PackDecoder::Inflate(std::string_view payload, uint8_t codec,
                                                      uint32_t raw_bytes) {
  if (codec == kStored) {
    if (payload.size() != raw_bytes) return Damaged("its columns are not as long as it says");
    char* out = Reserve(raw_bytes);
    std::memcpy(out, payload.data(), raw_bytes);
    return std::string_view(out, raw_bytes);
  }
  if (codec != kZstd) return Damaged(fmt::format("unknown codec {}", codec));
  if (ZSTD_getFrameContentSize(payload.data(), payload.size()) != raw_bytes) {
    return Damaged("its columns are not as long as it says");
  }
  if (context_ == nullptr) context_ = std::make_unique<Context>();
  char* out = Reserve(raw_bytes);
  size_t size = ZSTD_decompressDCtx(context_->zstd, out, raw_bytes, payload.data(), payload.size());
  if (ZSTD_isError(size) != 0) return Damaged(fmt::format("zstd: {}", ZSTD_getErrorName(size)));
  if (size != raw_bytes) return Damaged("its columns are not as long as it says");
  return std::string_view(out, raw_bytes);
}

absl::StatusOr<std::span<const Header>> PackDecoder::ReadHeaders(std::string_view* column) {
  uint64_t count;
  if (!ReadVarint(column, &count)) return Damaged("headers end early");
  if (count == 0) return std::span<const Header>();
  if (count > column->size()) return Damaged("more headers than bytes");
  if (headers_used_ == headers_.size()) headers_.emplace_back();
  std::vector<Header>& headers = headers_[headers_used_++];
  headers.clear();
  for (uint64_t i = 0; i < count; ++i) {
    Header header;
    uint64_t size;
    if (!ReadVarint(column, &size) || !ReadBytes(column, size, &header.name) ||
        !ReadVarint(column, &size) || !ReadBytes(column, size, &header.value)) {
      return Damaged("headers end early");
    }
    headers.push_back(header);
  }
  return std::span<const Header>(headers);
}

absl::Status PackDecoder::ReadValueLengths(std::string_view column, uint32_t count) {
  value_lengths_.clear();
  value_lengths_.reserve(count);
  for (uint32_t i = 0; i < count; ++i) {
    uint64_t length;
    if (!ReadVarint(&column, &length)) return Damaged("lengths of values end early");
    if (length > kPackRawBytesMax + 1) return Damaged("a value is too large");
    value_lengths_.push_back(static_cast<uint32_t>(length));
  }
  return column.empty() ? absl::OkStatus() : Damaged("lengths of values are left over");
}

absl::StatusOr<std::string_view> PackDecoder::ReadTransposed(std::string_view shared,
                                                             std::string_view transposed) {
  if (shared.size() != value_lengths_.size()) return Damaged("shared bytes are not of all values");
  size_t bytes = 0;
  for (uint32_t length : value_lengths_) bytes += length;
  bytes -= value_lengths_.size() - static_cast<size_t>(std::ranges::count(value_lengths_, 0U));
  // What little bytes stand for is bounded, as what they are is.
  if (bytes > kPackRawBytesMax) return Damaged("its values are too large");
  char* values = Reserve(bytes + kTransposedBytesMax);
  if (!Untranspose(shared, transposed, value_lengths_, values)) {
    return Damaged("its transposed values do not add up");
  }
  return std::string_view(values, bytes);
}

absl::Status PackDecoder::ReadRecords(Columns& columns, uint32_t count, int64_t first_ms,
                                      Offset first, Offset end) {
  int64_t published_ms = first_ms;
  absl::Time published = absl::FromUnixMillis(published_ms);
  auto offset = static_cast<uint64_t>(first.value());
  records_.reserve(records_.size() + count);
  for (uint32_t i = 0; i < count; ++i) {
    Record record;
    uint64_t key_size;
    if (!ReadVarint(&columns.key_lengths, &key_size) ||
        !ReadBytes(&columns.keys, key_size, &record.key)) {
      return Damaged("keys or their lengths end early");
    }
    if (uint32_t length = value_lengths_[i]; length > 0) {
      std::string_view value;
      if (!ReadBytes(&columns.values, length - 1, &value)) return Damaged("values end early");
      record.value = value;
    }
    uint64_t delta;
    if ((columns.present & kHasTimes) != 0) {
      if (!ReadVarint(&columns.times, &delta)) return Damaged("times end early");
      if (delta != 0) {
        // Unsigned, so that hostile bytes wrap instead of being undefined.
        published_ms = static_cast<int64_t>(static_cast<uint64_t>(published_ms) +
                                            static_cast<uint64_t>(UnZigZag(delta)));
        published = absl::FromUnixMillis(published_ms);
      }
    }
    if ((columns.present & kHasOffsets) != 0) {
      if (!ReadVarint(&columns.skips, &delta)) return Damaged("offsets end early");
      offset += delta;
      if (offset >= static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
        return Damaged("an offset overflows");
    }
    if ((columns.present & kHasHeaders) != 0) {
      MARQUEE_ASSIGN_OR_RETURN(record.headers, ReadHeaders(&columns.headers));
    }
    record.offset = Offset(static_cast<int64_t>(offset++));
    record.published = published;
    records_.push_back(record);
  }
  if (offset > static_cast<uint64_t>(end.value()))
    return Damaged("it has records beyond the offsets that are its own");
  return columns.AllRead() ? absl::OkStatus() : Damaged("bytes are left over");
}

absl::Status PackDecoder::Add(std::string_view pack, Offset first, Offset end) {
  if (pack.size() < kHeaderBytes + kChecksumBytes) {
    return Damaged(fmt::format("{} bytes are fewer than any pack has", pack.size()));
  }
  if (pack.substr(0, kMagic.size()) != kMagic) return Damaged("it does not begin with MQPK");
  std::string_view body = pack.substr(0, pack.size() - kChecksumBytes);
  if (XXH3_64bits(body.data(), body.size()) != PackChecksum(pack)) {
    return Damaged("its checksum does not match");
  }
  auto version = Get<uint8_t>(pack.data() + 4);
  if (version != kVersion && version != kTransposedVersion) {
    return Damaged(fmt::format("version {}; this program reads versions {} and {}", version,
                               kVersion, kTransposedVersion));
  }
  Columns columns;
  columns.transposed = version == kTransposedVersion;
  columns.present = Get<uint16_t>(pack.data() + 6);
  auto count = Get<uint32_t>(pack.data() + 8);
  auto raw_bytes = Get<uint32_t>(pack.data() + kRawBytesAt);
  if ((columns.present & ~kKnownColumns) != 0) return Damaged("it has unknown columns");
  if (raw_bytes > kPackRawBytesMax || count > raw_bytes / 2) return Damaged("it is too large");
  if (first.value() < 0) return Damaged("its first offset is negative");
  MARQUEE_ASSIGN_OR_RETURN(std::string_view raw, Inflate(body.substr(kHeaderBytes),
                                                         Get<uint8_t>(pack.data() + 5), raw_bytes));
  if (!columns.Split(raw)) return Damaged("its columns do not add up");
  MARQUEE_RETURN_IF_ERROR(ReadValueLengths(columns.value_lengths, count));
  if (columns.transposed) {
    MARQUEE_ASSIGN_OR_RETURN(columns.values, ReadTransposed(columns.shared, columns.values));
  }
  size_t before = records_.size();
  absl::Status status = ReadRecords(columns, count, Get<int64_t>(pack.data() + 16), first, end);
  if (!status.ok()) records_.resize(before);
  return status;
}

}  // namespace marquee::messaging
