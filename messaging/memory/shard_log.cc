#include "messaging/memory/shard_log.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"

namespace marquee::messaging::memory {

StoredRecord::StoredRecord(const NewRecord& record, absl::Time published)
    : key(record.key), value(record.value) {
  header_bytes.reserve(record.headers.size());
  for (const Header& header : record.headers) header_bytes.emplace_back(header.name, header.value);
  headers.reserve(header_bytes.size());
  for (const auto& [name, bytes_of] : header_bytes) headers.push_back({name, bytes_of});
  view.key = key;
  if (value) view.value = *value;
  view.headers = headers;
  view.published = published;
}

size_t StoredRecord::bytes() const {
  size_t sum = key.size() + (value ? value->size() : 0);
  for (const Header& header : headers) sum += header.name.size() + header.value.size();
  return sum;
}

Offset ShardLog::Append(std::shared_ptr<StoredRecord> record, Random& random) {
  if (options_.gap_one_in > 0 && random.OneIn(options_.gap_one_in)) {
    end_ += 1 + static_cast<int64_t>(random.Below(options_.gap_max));
  }
  Offset offset(end_++);
  record->view.offset = offset;
  bytes_ += static_cast<int64_t>(record->bytes());
  ++appended_;
  if (kind_ == TopicKind::kEntity) Compact(*record);
  records_.emplace_hint(records_.end(), offset.value(), std::move(record));
  if (kind_ == TopicKind::kEntity) ExpireTombstones();
  return offset;
}

void ShardLog::Compact(const StoredRecord& record) {
  int64_t offset = record.view.offset.value();
  auto [newest, is_new] = newest_.try_emplace(record.key, offset);
  if (!is_new) {
    Erase(records_.find(newest->second));
    newest->second = offset;
  }
  if (!record.value) tombstones_.emplace_back(appended_ + options_.tombstone_records, offset);
}

void ShardLog::ExpireTombstones() {
  while (!tombstones_.empty() && tombstones_.front().first <= appended_) {
    // A newer record of the key may have taken its place.
    if (auto at = records_.find(tombstones_.front().second); at != records_.end()) {
      newest_.erase(at->second->key);
      Erase(at);
    }
    tombstones_.pop_front();
  }
}

void ShardLog::Erase(Records::iterator at) {
  bytes_ -= static_cast<int64_t>(at->second->bytes());
  erased_end_ = std::max(erased_end_, at->first + 1);
  records_.erase(at);
}

void ShardLog::DropBefore(absl::Time time) {
  while (!records_.empty() && records_.begin()->second->view.published < time) {
    dropped_end_ = records_.begin()->first + 1;
    Erase(records_.begin());
  }
}

Extent ShardLog::extent() const {
  return {Offset(records_.empty() ? end_ : records_.begin()->first), Offset(end_)};
}

absl::Status ShardLog::CheckReadable(Offset offset) const {
  if (offset.value() < dropped_end_) {
    return absl::OutOfRangeError(absl::StrCat("offset ", offset.value(),
                                              " is gone: retention dropped what was below ",
                                              extent().begin.value(), "; start there"));
  }
  if (offset.value() > end_) {
    return absl::OutOfRangeError(absl::StrCat("offset ", offset.value(),
                                              " is beyond the end, which is ", end_,
                                              "; the log has lost records or is another one"));
  }
  return absl::OkStatus();
}

Offset ShardLog::FirstSince(absl::Time time) const {
  auto at = std::find_if(records_.begin(), records_.end(), [time](const auto& entry) {
    return entry.second->view.published >= time;
  });
  return Offset(at == records_.end() ? end_ : at->first);
}

int64_t ShardLog::CountFrom(Offset offset) const {
  return std::distance(records_.lower_bound(offset.value()), records_.end());
}

Offset ShardLog::Back(Offset offset, uint64_t records, Offset floor) const {
  auto at = records_.lower_bound(offset.value());
  Offset begin = offset;
  for (uint64_t i = 0; i < records && at != records_.begin(); ++i) {
    --at;
    if (at->first < floor.value()) break;
    begin = Offset(at->first);
  }
  return begin;
}

void ShardLog::Read(Offset from, Offset fresh_from, uint64_t records_max,
                    std::vector<RecordPtr>* out) const {
  uint64_t fresh = 0;
  for (auto at = records_.lower_bound(from.value()); at != records_.end() && fresh < records_max;
       ++at) {
    if (at->first >= fresh_from.value()) ++fresh;
    out->push_back(at->second);
  }
}

}  // namespace marquee::messaging::memory
