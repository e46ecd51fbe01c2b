#include "sources/bench/plain_sum.h"

#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

namespace marquee::bench {
namespace {

uint64_t TakeNumber(const char*& at) {
  uint64_t number = 0;
  while (*at >= '0' && *at <= '9') number = number * 10 + static_cast<uint64_t>(*at++ - '0');
  return number;
}

// "4.5" as 4500.
int64_t TakeValue(const char*& at) {
  int64_t value = static_cast<int64_t>(TakeNumber(at)) * 1000;
  if (*at != '.') return value;
  ++at;
  for (int64_t unit = 100; *at >= '0' && *at <= '9'; unit /= 10) value += (*at++ - '0') * unit;
  return value;
}

void AddLine(const char* at, PlainSums* sums) {
  TakeNumber(at);  // the user
  ++at;
  uint64_t movie = TakeNumber(at);
  ++at;
  PlainSum& sum = sums->movies[movie];
  ++sum.count;
  sum.sum_thousandths += TakeValue(at);
  ++at;
  TakeNumber(at);  // the time
  ++sums->ratings;
}

}  // namespace

PlainSums SumPlainly(const std::string& path) {
  constexpr size_t kBlockBytes = 1 << 20;
  PlainSums sums;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), std::fclose);
  if (file == nullptr) return sums;
  std::vector<char> block(kBlockBytes + 1);
  size_t kept = 0;
  bool heading = true;
  while (true) {
    size_t got = std::fread(block.data() + kept, 1, kBlockBytes - kept, file.get());
    size_t size = kept + got;
    if (size == 0) return sums;
    if (got == 0) block[size++] = '\n';  // a last line without one
    const char* at = block.data();
    const char* end = at + size;
    while (const void* newline = std::memchr(at, '\n', static_cast<size_t>(end - at))) {
      if (!heading && at != newline) AddLine(at, &sums);
      heading = false;
      at = static_cast<const char*>(newline) + 1;
    }
    kept = static_cast<size_t>(end - at);
    std::memmove(block.data(), at, kept);
  }
}

}  // namespace marquee::bench
