#include "messaging/conformance/collector.h"

#include <gtest/gtest.h>

namespace marquee::messaging::conformance {
namespace {

// The beginning of a long value is enough to know it by.
constexpr size_t kShownBytesMax = 60;

Got Own(const TopicShard& shard, const Record& record) {
  Got got{.at = shard,
          .offset = record.offset,
          .key = std::string(record.key),
          .value = std::nullopt,
          .headers = {},
          .published = record.published};
  if (record.value) got.value = std::string(*record.value);
  for (const Header& header : record.headers) got.headers.emplace_back(header.name, header.value);
  return got;
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const Got& got) {
  return out << got.at << '@' << got.offset << " key " << got.key.substr(0, kShownBytesMax)
             << " value " << (got.value ? got.value->substr(0, kShownBytesMax) : "none") << ", "
             << got.headers.size() << " headers, published " << got.published;
}

void Collector::Add(const Batch& batch) {
  std::map<Offset, Got>& shard = got_[batch.shard];
  std::optional<Offset> before;
  for (const Record& record : batch.records) {
    if (before) {
      EXPECT_LT(*before, record.offset) << "offsets within a batch of " << batch.shard;
    }
    before = record.offset;
    EXPECT_LT(record.offset, batch.next) << "the position after a batch of " << batch.shard;
    Got got = Own(batch.shard, record);
    auto [at, is_new] = shard.try_emplace(record.offset, got);
    if (!is_new) {
      EXPECT_EQ(at->second, got) << "a record that was read again";
    }
  }
}

std::vector<Got> Collector::Records(const TopicShard& shard) const {
  std::vector<Got> records;
  auto at = got_.find(shard);
  if (at == got_.end()) return records;
  for (const auto& [unused, got] : at->second) records.push_back(got);
  return records;
}

std::vector<Got> Collector::Records() const {
  std::vector<Got> records;
  for (const auto& [unused, shard] : got_) {
    for (const auto& [offset, got] : shard) records.push_back(got);
  }
  return records;
}

std::map<std::string, Got> Collector::Newest() const {
  std::map<std::string, Got> newest;
  for (const auto& [unused, shard] : got_) {
    for (const auto& [offset, got] : shard) newest.insert_or_assign(got.key, got);
  }
  return newest;
}

size_t Collector::size() const {
  size_t size = 0;
  for (const auto& [unused, shard] : got_) size += shard.size();
  return size;
}

}  // namespace marquee::messaging::conformance
