// Decodes hostile packs. The checksum, which no fuzzer guesses, is put right first.
#include <xxhash.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "messaging/pack.h"

namespace marquee::messaging {
namespace {

// What a decoded record borrows must be readable.
uint64_t Touch(const Record& record) {
  uint64_t sum = static_cast<uint64_t>(record.offset.value());
  for (char c : record.key) sum += static_cast<uint8_t>(c);
  if (record.value.has_value()) {
    for (char c : *record.value) sum += static_cast<uint8_t>(c);
  }
  for (const Header& header : record.headers) {
    for (char c : header.name) sum += static_cast<uint8_t>(c);
    for (char c : header.value) sum += static_cast<uint8_t>(c);
  }
  return sum;
}

}  // namespace
}  // namespace marquee::messaging

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using marquee::messaging::Offset;
  using marquee::messaging::PackDecoder;
  using marquee::messaging::Record;
  using marquee::messaging::Touch;
  std::string pack(reinterpret_cast<const char*>(data), size);
  uint64_t checksum = XXH3_64bits(pack.data(), pack.size());
  pack.append(reinterpret_cast<const char*>(&checksum), sizeof checksum);
  PackDecoder decoder;
  volatile uint64_t sum = 0;
  if (decoder.Add(pack, Offset(1)).ok()) {
    for (const Record& record : decoder.records()) sum = sum + Touch(record);
  }
  return 0;
}
