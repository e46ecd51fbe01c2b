// The idempotency keys that a shard has seen within a window of its log, counted in messages.
// Private to domain/.
#ifndef MARQUEE_DOMAIN_REMEMBERED_KEYS_H_
#define MARQUEE_DOMAIN_REMEMBERED_KEYS_H_

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/node_hash_map.h"
#include "absl/status/status.h"
#include "domain/rating.h"

namespace marquee::domain {

class RememberedKeys {
 public:
  enum class Verdict {
    kNew,
    kRepeat,     // this rating of the request was seen
    kOtherBody,  // the key is remembered of another request
  };
  struct Entry {
    std::string key;
    uint64_t body_digest = 0;
    uint32_t index = 0;
    uint64_t message = 0;  // in which it was last seen, counted from 1
  };

  explicit RememberedKeys(uint64_t window_messages) : window_messages_(window_messages) {}
  RememberedKeys(const RememberedKeys&) = delete;
  RememberedKeys& operator=(const RememberedKeys&) = delete;

  // Message number `message` of the log is about to be looked at: what was last seen more than the
  // window before it is forgotten. REQUIRES: numbers that grow.
  void Advance(uint64_t message) {
    while (!seen_.empty() && message - seen_.front().message > window_messages_) ForgetFirst();
  }

  // Remembers the rating as seen in message number `message`, unless its body is another.
  Verdict Take(const Idempotency& idempotency, uint64_t message);

  std::vector<Entry> All() const;  // by message
  // For a state that is put together again: what All gave, in its order, after `messages` messages.
  // kDataLoss: not what a state can hold.
  absl::Status Restore(const Entry& entry, uint64_t messages);
  size_t MemoryBytes() const;

 private:
  struct Index {
    uint32_t index;
    uint64_t message;
  };
  struct Request {
    uint64_t body_digest = 0;
    std::vector<Index> indexes;  // by index; never empty
  };
  using Requests = absl::node_hash_map<std::string, Request>;
  struct Seen {
    Requests::value_type* request;
    uint32_t index;
    uint64_t message;  // stale where it is not that of the request's index
  };

  static std::vector<Index>::iterator FindIndex(Request& request, uint32_t index);
  void Remember(Requests::value_type* request, uint32_t index, uint64_t message);
  void ForgetFirst();

  uint64_t window_messages_;
  Requests requests_;
  std::deque<Seen>
      seen_;  // by message; stale ones among them, at most one for each message of the window
};

}  // namespace marquee::domain

#endif  // MARQUEE_DOMAIN_REMEMBERED_KEYS_H_
