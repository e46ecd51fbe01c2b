// Any bytes as each of the other messages: the first byte says which. Refused, or written and read
// again as the same.
#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "domain/dead_letter.h"
#include "domain/movie.h"
#include "domain/rules.h"
#include "domain/source_progress.h"
#include "google/protobuf/stubs/logging.h"

namespace marquee::domain {
namespace {

template <typename Decode, typename Encode>
void CheckRoundTrip(std::string_view bytes, Decode decode, Encode encode) {
  auto value = decode(bytes);
  if (!value.ok()) return;
  auto again = decode(encode(*value));
  MARQUEE_CHECK(again.ok() && *again == *value);
}

void CheckClaims(std::string_view bytes) {
  absl::StatusOr<SourceProgress> progress = DecodeSourceProgress(bytes);
  if (!progress.ok()) return;
  SourceClaims claims;
  MARQUEE_CHECK(claims.Add(SourceProgressKey(*progress), bytes, LogOffset(7)).ok());
  MARQUEE_CHECK(claims.All().size() == 1);
  MARQUEE_CHECK(claims.OpenClaim(progress->source).has_value() ==
                (progress->repeatable && !progress->closed));
}

void CheckTexts(std::string_view text) {
  if (absl::StatusOr<Thousandths> value = ParseThousandths(text); value.ok()) {
    MARQUEE_CHECK(ParseThousandths(FormatThousandths(*value)).value() == *value);
  }
  if (std::optional<uint32_t> shard = ParseWatermarkKey(text); shard.has_value()) {
    MARQUEE_CHECK(WatermarkKey(*shard) == text);
  }
}

void Check(uint8_t which, std::string_view bytes) {
  switch (which % 7) {
    case 0:
      return CheckRoundTrip(bytes, DecodeMovie, EncodeMovie);
    case 1:
      return CheckRoundTrip(bytes, DecodeMean, EncodeMean);
    case 2:
      return CheckRoundTrip(bytes, DecodeWatermark, EncodeWatermark);
    case 3:
      return CheckRoundTrip(bytes, DecodeRules, EncodeRules);
    case 4:
      CheckClaims(bytes);
      return CheckRoundTrip(bytes, DecodeSourceProgress, EncodeSourceProgress);
    case 5:
      return CheckRoundTrip(bytes, DecodeDeadLetter, EncodeDeadLetter);
    default:
      return CheckTexts(bytes);
  }
}

}  // namespace
}  // namespace marquee::domain

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  google::protobuf::LogSilencer silencer;
  marquee::domain::Check(data[0],
                         std::string_view(reinterpret_cast<const char*>(data) + 1, size - 1));
  return 0;
}
