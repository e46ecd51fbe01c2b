#include "domain/remembered_keys.h"

#include <algorithm>

#include "domain/text.h"

namespace marquee::domain {

std::vector<RememberedKeys::Index>::iterator RememberedKeys::FindIndex(Request& request,
                                                                       uint32_t index) {
  return std::lower_bound(request.indexes.begin(), request.indexes.end(), index,
                          [](const Index& at, uint32_t i) { return at.index < i; });
}

// A stale item keeps its request alive no longer than the request's own indexes do: it is older
// than the item that made it stale, and so it is gone before that one is.
void RememberedKeys::Remember(Requests::value_type* request, uint32_t index, uint64_t message) {
  auto at = FindIndex(request->second, index);
  if (at != request->second.indexes.end() && at->index == index) {
    at->message = message;
  } else {
    request->second.indexes.insert(at, {index, message});
  }
  seen_.push_back({request, index, message});
}

void RememberedKeys::ForgetFirst() {
  Seen first = seen_.front();
  seen_.pop_front();
  Request& request = first.request->second;
  auto at = FindIndex(request, first.index);
  if (at->message != first.message) return;
  request.indexes.erase(at);
  if (request.indexes.empty()) requests_.erase(std::string(first.request->first));
}

RememberedKeys::Verdict RememberedKeys::Take(const Idempotency& idempotency, uint64_t message) {
  if (window_messages_ == 0) return Verdict::kNew;
  auto at = requests_.find(ForAbseil(idempotency.key));
  if (at == requests_.end()) {
    at = requests_.emplace(std::string(idempotency.key), Request()).first;
    at->second.body_digest = idempotency.body_digest;
  }
  if (at->second.body_digest != idempotency.body_digest) return Verdict::kOtherBody;
  auto index = FindIndex(at->second, idempotency.index);
  bool is_repeat = index != at->second.indexes.end() && index->index == idempotency.index;
  Remember(&*at, idempotency.index, message);
  return is_repeat ? Verdict::kRepeat : Verdict::kNew;
}

std::vector<RememberedKeys::Entry> RememberedKeys::All() const {
  std::vector<Entry> all;
  for (const Seen& seen : seen_) {
    Request& request = seen.request->second;
    auto at = FindIndex(request, seen.index);
    if (at->message != seen.message) continue;
    all.push_back({seen.request->first, request.body_digest, seen.index, seen.message});
  }
  return all;
}

absl::Status RememberedKeys::Restore(const Entry& entry, uint64_t messages) {
  bool is_in_window = entry.message >= 1 && entry.message <= messages &&
                      messages - entry.message <= window_messages_ &&
                      (seen_.empty() || seen_.back().message < entry.message);
  Idempotency idempotency{.key = entry.key, .index = entry.index, .body_digest = entry.body_digest};
  if (!is_in_window || entry.key.empty() || entry.key.size() > kIdempotencyKeyBytesMax ||
      Take(idempotency, entry.message) != Verdict::kNew) {
    return absl::DataLossError(Concat("the idempotency key seen in message ", entry.message,
                                      " does not fit to the others"));
  }
  return absl::OkStatus();
}

size_t RememberedKeys::MemoryBytes() const {
  size_t bytes = seen_.size() * (sizeof(Seen) + sizeof(Index));
  for (const auto& [key, request] : requests_) {
    bytes += sizeof(Requests::value_type) + sizeof(void*) + key.capacity();
  }
  return bytes;
}

}  // namespace marquee::domain
