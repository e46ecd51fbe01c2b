#include "domain/rating.h"

#include <charconv>
#include <limits>

#include "base/status.h"
#include "domain/rating_wire.h"
#include "domain/text.h"
#include "domain/utf8.h"
#include "domain/wire.h"

namespace marquee::domain {
namespace {

using wire::Tag;

constexpr uint64_t kIdMax = std::numeric_limits<int64_t>::max();
constexpr size_t kIdDigitsMax = 19;

bool IsAscii(std::string_view text) {
  uint64_t bits = 0;
  size_t i = 0;
  for (; i + 8 <= text.size(); i += 8) {
    uint64_t word;
    std::memcpy(&word, text.data() + i, 8);
    bits |= word;
  }
  for (; i < text.size(); ++i) bits |= static_cast<uint64_t>(text[i]) & 0x80;
  return (bits & 0x8080808080808080) == 0;
}

// Strings of the message: libprotobuf refuses those that are not UTF-8.
const char* ReadText(const char* at, const char* end, std::string_view* text) {
  at = wire::ReadBytes(at, end, text);
  if (at == nullptr) return nullptr;
  return IsAscii(*text) || IsValidUtf8(*text) ? at : nullptr;
}

template <typename T>
const char* ReadVarintAs(const char* at, const char* end, T* result) {
  uint64_t value;
  at = wire::ReadVarint(at, end, &value);
  if (at != nullptr) *result = T(value);
  return at;
}

const char* ReadStamp(const char* at, const char* end, Stamp* stamp) {
  while (at < end) {
    uint32_t tag;
    at = wire::ReadTag(at, end, &tag);
    if (at == nullptr) return nullptr;
    switch (tag) {
      case Tag(1, wire::kBytes):
        at = ReadText(at, end, &stamp->source);
        break;
      case Tag(2, wire::kVarint):
        at = ReadVarintAs(at, end, &stamp->incarnation);
        break;
      case Tag(3, wire::kVarint):
        at = ReadVarintAs(at, end, &stamp->flushed_through);
        break;
      case Tag(4, wire::kVarint):
        at = ReadVarintAs(at, end, &stamp->sequence);
        break;
      default:
        at = wire::SkipField(tag, at, end, wire::kDepthMax - 1);
    }
    if (at == nullptr) return nullptr;
  }
  return at;
}

const char* ReadIdempotency(const char* at, const char* end, Idempotency* idempotency) {
  while (at < end) {
    uint32_t tag;
    at = wire::ReadTag(at, end, &tag);
    if (at == nullptr) return nullptr;
    switch (tag) {
      case Tag(1, wire::kBytes):
        at = ReadText(at, end, &idempotency->key);
        break;
      case Tag(2, wire::kFixed64):
        at = wire::ReadFixed64(at, end, &idempotency->body_digest);
        break;
      case Tag(3, wire::kVarint):
        at = ReadVarintAs(at, end, &idempotency->index);
        break;
      default:
        at = wire::SkipField(tag, at, end, wire::kDepthMax - 1);
    }
    if (at == nullptr) return nullptr;
  }
  return at;
}

// A message that comes twice is merged, as protobuf has it.
template <typename T, typename ReadFields>
const char* ReadMessage(const char* at, const char* end, std::optional<T>* message,
                        ReadFields read) {
  std::string_view body;
  at = wire::ReadBytes(at, end, &body);
  if (at == nullptr) return nullptr;
  if (!message->has_value()) message->emplace();
  return read(body.data(), body.data() + body.size(), &**message) == nullptr ? nullptr : at;
}

bool IsSourceNameCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

absl::Status ValidateIdempotency(const Idempotency& idempotency) {
  if (idempotency.key.empty() || idempotency.key.size() > kIdempotencyKeyBytesMax) {
    return absl::InvalidArgumentError(Concat("the idempotency key has ", idempotency.key.size(),
                                             " bytes; expected 1 to ", kIdempotencyKeyBytesMax));
  }
  for (char c : idempotency.key) {
    if (c < '!' || c > '~') {
      return absl::InvalidArgumentError(
          "the idempotency key holds a character that is not visible ASCII");
    }
  }
  return absl::OkStatus();
}

}  // namespace

bool ReadRating(std::string_view bytes, Rating* rating) {
  // Each by itself: a whole Rating, assigned, is copied through the stack, which stalls.
  rating->user = UserId();
  rating->movie = MovieId();
  rating->value = Thousandths();
  rating->time_seconds = 0;
  rating->stamp.reset();
  rating->idempotency.reset();
  const char* at = bytes.data();
  const char* end = at + bytes.size();
  while (at < end) {
    uint32_t tag;
    at = wire::ReadTag(at, end, &tag);
    if (at == nullptr) return false;
    switch (tag) {
      case Tag(1, wire::kBytes):
        at = ReadMessage(at, end, &rating->stamp, ReadStamp);
        break;
      case Tag(2, wire::kBytes):
        at = ReadMessage(at, end, &rating->idempotency, ReadIdempotency);
        break;
      case Tag(3, wire::kVarint):
        at = ReadVarintAs(at, end, &rating->movie);
        break;
      case Tag(4, wire::kVarint):
        at = ReadVarintAs(at, end, &rating->user);
        break;
      case Tag(5, wire::kVarint): {
        int32_t value = 0;
        at = ReadVarintAs(at, end, &value);
        rating->value = Thousandths(value);
        break;
      }
      case Tag(6, wire::kVarint):
        at = ReadVarintAs(at, end, &rating->time_seconds);
        break;
      default:
        at = wire::SkipField(tag, at, end, wire::kDepthMax);
    }
    if (at == nullptr) return false;
  }
  return true;
}

absl::Status ValidateStamp(const Stamp& stamp) {
  MARQUEE_RETURN_IF_ERROR(ValidateSourceName(stamp.source));
  if (stamp.incarnation.value() == 0)
    return absl::InvalidArgumentError("the stamp has no incarnation");
  return absl::OkStatus();
}

absl::Status ValidateRating(const Rating& rating) {
  if (rating.movie.value() == 0) return absl::InvalidArgumentError("the movie id is missing");
  if (rating.movie.value() > kIdMax) {
    return absl::InvalidArgumentError(
        Concat("the movie id is ", rating.movie.value(), "; expected 1 to ", kIdMax));
  }
  if (rating.user.value() > kIdMax) {
    return absl::InvalidArgumentError(
        Concat("the user id is ", rating.user.value(), "; expected 0 to ", kIdMax));
  }
  if (rating.idempotency.has_value()) return ValidateIdempotency(*rating.idempotency);
  return absl::OkStatus();
}

absl::Status ParseRating(std::string_view bytes, Rating* rating) {
  if (!ReadRating(bytes, rating)) {
    return absl::InvalidArgumentError(
        Concat("not a marquee.v1.Rating: ", bytes.size(), " bytes of malformed protobuf"));
  }
  if (rating->stamp.has_value()) MARQUEE_RETURN_IF_ERROR(ValidateStamp(*rating->stamp));
  return ValidateRating(*rating);
}

void AppendRating(const Rating& rating, std::string* out) {
  char buffer[kRatingBytesMax];
  out->append(buffer, static_cast<size_t>(WriteRating(rating, buffer) - buffer));
}

char* WriteRating(const Rating& rating, char* at) {
  constexpr size_t kStampBytesMax = 2 + kSourceNameBytesMax + 3 * (1 + wire::kVarintBytesMax);
  static_assert(kStampBytesMax < 128, "its size is written as one byte");
  static_assert(kRatingBytesMax == 2 + kStampBytesMax + 3 + (3 + kIdempotencyKeyBytesMax + 9 + 6) +
                                       4 * (1 + wire::kVarintBytesMax));
  if (rating.stamp.has_value()) {
    const Stamp& stamp = *rating.stamp;
    MARQUEE_CHECK(!stamp.source.empty() && stamp.source.size() <= kSourceNameBytesMax);
    at = wire::WriteTag(at, 1, wire::kBytes);
    char* size = at++;
    at = wire::WriteBytesField(at, 1, stamp.source);
    at = wire::WriteVarintField(at, 2, stamp.incarnation.value());
    at = wire::WriteVarintField(at, 3, stamp.flushed_through.value());
    at = wire::WriteVarintField(at, 4, stamp.sequence.value());
    *size = static_cast<char>(at - size - 1);
  }
  if (rating.idempotency.has_value()) {
    const Idempotency& idempotency = *rating.idempotency;
    MARQUEE_CHECK(!idempotency.key.empty() && idempotency.key.size() <= kIdempotencyKeyBytesMax);
    char body[3 + kIdempotencyKeyBytesMax + 9 + 6];
    char* end = wire::WriteBytesField(body, 1, idempotency.key);
    if (idempotency.body_digest != 0) {
      end = wire::WriteTag(end, 2, wire::kFixed64);
      std::memcpy(end, &idempotency.body_digest, 8);
      end += 8;
    }
    end = wire::WriteVarintField(end, 3, idempotency.index);
    at = wire::WriteBytesField(at, 2, std::string_view(body, static_cast<size_t>(end - body)));
  }
  at = wire::WriteVarintField(at, 3, rating.movie.value());
  at = wire::WriteVarintField(at, 4, rating.user.value());
  at = wire::WriteVarintField(at, 5, static_cast<uint64_t>(int64_t{rating.value.value()}));
  at = wire::WriteVarintField(at, 6, static_cast<uint64_t>(rating.time_seconds));
  return at;
}

std::string_view FormatMovieKey(MovieId movie, char* buffer) {
  auto [end, error] = std::to_chars(buffer, buffer + kMovieKeyBytesMax, movie.value());
  MARQUEE_CHECK(error == std::errc());
  return std::string_view(buffer, static_cast<size_t>(end - buffer));
}

std::string MovieKey(MovieId movie) { return Concat(movie.value()); }

std::optional<MovieId> ParseMovieKey(std::string_view key) {
  if (key.empty() || key.size() > kIdDigitsMax || key[0] == '0') return std::nullopt;
  uint64_t id = 0;
  for (char c : key) {
    auto digit = static_cast<unsigned char>(c - '0');
    if (digit > 9) return std::nullopt;
    id = id * 10 + digit;
  }
  if (id > kIdMax) return std::nullopt;
  return MovieId(id);
}

absl::Status ValidateSourceName(std::string_view source) {
  if (source.empty() || source.size() > kSourceNameBytesMax) {
    return absl::InvalidArgumentError(Concat("the name of the source has ", source.size(),
                                             " bytes; expected 1 to ", kSourceNameBytesMax));
  }
  for (char c : source) {
    if (!IsSourceNameCharacter(c)) {
      return absl::InvalidArgumentError(Concat("the name of the source holds byte ",
                                               static_cast<int>(static_cast<unsigned char>(c)),
                                               "; expected letters, digits, '.', '_' and '-'"));
    }
  }
  return absl::OkStatus();
}

}  // namespace marquee::domain
