#include "domain/mean_wire.h"

#include <algorithm>

namespace marquee::domain {
namespace {

using wire::Tag;

// Where the tag of `field` is next, reads its number; 0 where the field is left out. Null:
// malformed.
const char* ReadNumberField(const char* at, const char* end, uint32_t field, uint64_t* value) {
  *value = 0;
  if (at == end || static_cast<unsigned char>(*at) != Tag(field, wire::kVarint)) return at;
  return wire::ReadVarint(at + 1, end, value);
}

const char* ReadBins(const char* at, const char* end, Aggregate* aggregate) {
  aggregate->histogram.fill(0);
  if (at == end || static_cast<unsigned char>(*at) != Tag(4, wire::kBytes)) return at;
  std::string_view bins;
  const char* after = wire::ReadBytes(at + 1, end, &bins);
  if (after == nullptr) return nullptr;
  const char* bin = bins.data();
  for (uint64_t& count : aggregate->histogram) {
    bin = wire::ReadVarint(bin, bins.data() + bins.size(), &count);
    if (bin == nullptr) return nullptr;
  }
  return bin == bins.data() + bins.size() ? after : nullptr;
}

}  // namespace

char* WriteMean(const MeanRating& mean, int64_t mean_micros, char* at) {
  const Aggregate& aggregate = mean.aggregate;
  at = wire::WriteVarintField(at, 1, mean.movie.value());
  at = wire::WriteVarintField(at, 2, aggregate.count);
  at = wire::WriteVarintField(at, 3, static_cast<uint64_t>(aggregate.sum_thousandths));
  bool has_bins = std::any_of(aggregate.histogram.begin(), aggregate.histogram.end(),
                              [](uint64_t count) { return count != 0; });
  if (has_bins) {
    static_assert(kHistogramBinsMax * wire::kVarintBytesMax < 128,
                  "its size is written as one byte");
    at = wire::WriteTag(at, 4, wire::kBytes);
    char* size = at++;
    for (uint64_t count : aggregate.histogram) at = wire::WriteVarint(at, count);
    *size = static_cast<char>(at - size - 1);
  }
  at = wire::WriteVarintField(at, 5, mean.shard);
  at = wire::WriteVarintField(at, 6, static_cast<uint64_t>(mean.as_of.value()));
  return wire::WriteVarintField(at, 7, static_cast<uint64_t>(mean_micros));
}

bool ReadUsualMean(std::string_view bytes, MeanRating* mean) {
  const char* at = bytes.data();
  const char* end = at + bytes.size();
  uint64_t movie = 0, count = 0, sum = 0, shard = 0, as_of = 0, micros = 0;
  if ((at = ReadNumberField(at, end, 1, &movie)) == nullptr) return false;
  if ((at = ReadNumberField(at, end, 2, &count)) == nullptr) return false;
  if ((at = ReadNumberField(at, end, 3, &sum)) == nullptr) return false;
  if ((at = ReadBins(at, end, &mean->aggregate)) == nullptr) return false;
  if ((at = ReadNumberField(at, end, 5, &shard)) == nullptr) return false;
  if ((at = ReadNumberField(at, end, 6, &as_of)) == nullptr) return false;
  if ((at = ReadNumberField(at, end, 7, &micros)) == nullptr) return false;
  if (at != end) return false;
  mean->movie = MovieId(movie);
  mean->aggregate.count = count;
  mean->aggregate.sum_thousandths = static_cast<int64_t>(sum);
  mean->shard = static_cast<uint32_t>(shard);
  mean->as_of = LogOffset(static_cast<int64_t>(as_of));
  return true;
}

}  // namespace marquee::domain
