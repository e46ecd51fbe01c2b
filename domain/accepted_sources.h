// Which stamps of a shard's log were accepted, by (source, incarnation). Private to domain/.
#ifndef MARQUEE_DOMAIN_ACCEPTED_SOURCES_H_
#define MARQUEE_DOMAIN_ACCEPTED_SOURCES_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "domain/rating.h"
#include "domain/rules.h"
#include "domain/shard_state.h"

namespace marquee::domain {

class AcceptedSources {
 public:
  enum class Verdict { kNew, kRepeat, kRefused };

  explicit AcceptedSources(const Rules& rules)
      : distance_max_(rules.sequence_distance_max),
        incarnations_max_(rules.incarnations_per_source_max) {}
  AcceptedSources(const AcceptedSources&) = delete;
  AcceptedSources& operator=(const AcceptedSources&) = delete;

  // Accepts the stamp, unless it was before. kRefused: `*reason` says why; nothing has changed.
  Verdict Take(const Stamp& stamp, std::string* reason) {
    if (last_ != nullptr && stamp.incarnation == last_incarnation_ && stamp.source == last_source_)
        [[likely]] {
      return TakeInto(last_, stamp, reason);
    }
    return TakeFromAnother(stamp, reason);
  }

  std::vector<ShardState::AcceptedEntry> All() const;
  uint64_t Lost() const;
  // For a state that is put together again. kDataLoss: not what a state of these rules can hold.
  absl::Status Restore(ShardState::AcceptedEntry entry);
  size_t MemoryBytes() const;

 private:
  using Incarnations = std::map<Incarnation, Accepted>;

  Verdict TakeInto(Accepted* accepted, const Stamp& stamp, std::string* reason);
  Verdict TakeFromAnother(const Stamp& stamp, std::string* reason);
  // The distance from the first missing sequence is in bounds.
  bool IsNear(const IntervalSet& sequences, Sequence sequence, std::string* reason) const;

  uint64_t distance_max_;
  uint32_t incarnations_max_;
  std::map<std::string, Incarnations, std::less<>> by_source_;
  // The one that the last stamp was of; the next is likely of the same.
  std::string_view last_source_;  // a key of by_source_
  Incarnation last_incarnation_;
  Accepted* last_ = nullptr;  // null: none so far
};

}  // namespace marquee::domain

#endif  // MARQUEE_DOMAIN_ACCEPTED_SOURCES_H_
