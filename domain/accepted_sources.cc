#include "domain/accepted_sources.h"

#include <algorithm>
#include <utility>

#include "base/status.h"
#include "domain/rating_wire.h"
#include "domain/text.h"

namespace marquee::domain {
namespace {

// About what a node of a std::map takes beside its value.
constexpr size_t kNodeBytes = 48;

}  // namespace

bool AcceptedSources::IsNear(const IntervalSet& sequences, Sequence sequence,
                             std::string* reason) const {
  uint64_t first_missing = sequences.FirstMissing();
  if (sequence.value() < first_missing || sequence.value() - first_missing <= distance_max_)
    return true;
  *reason = Concat("sequence ", sequence.value(), " is more than ", distance_max_,
                   " beyond the first missing one, ", first_missing);
  return false;
}

AcceptedSources::Verdict AcceptedSources::TakeInto(Accepted* accepted, const Stamp& stamp,
                                                   std::string* reason) {
  if (stamp.sequence.value() == 0) {
    *reason = "the stamp has no sequence";
    return Verdict::kRefused;
  }
  if (!IsNear(accepted->sequences, stamp.sequence, reason)) return Verdict::kRefused;
  accepted->flushed_through = std::max(accepted->flushed_through, stamp.flushed_through);
  return accepted->sequences.Insert(stamp.sequence.value()) ? Verdict::kNew : Verdict::kRepeat;
}

AcceptedSources::Verdict AcceptedSources::TakeFromAnother(const Stamp& stamp, std::string* reason) {
  if (absl::Status valid = ValidateStamp(stamp); !valid.ok()) {
    *reason = MessageOf(valid);
    return Verdict::kRefused;
  }
  auto source = by_source_.find(stamp.source);
  bool is_known = source != by_source_.end() && source->second.contains(stamp.incarnation);
  if (!is_known) {
    // Refused before anything is dropped for it.
    if (stamp.sequence.value() == 0) {
      *reason = "the stamp has no sequence";
      return Verdict::kRefused;
    }
    if (!IsNear(IntervalSet(), stamp.sequence, reason)) return Verdict::kRefused;
    if (source == by_source_.end())
      source = by_source_.emplace(std::string(stamp.source), Incarnations()).first;
    if (source->second.size() >= incarnations_max_) {
      Incarnation oldest = source->second.begin()->first;
      if (stamp.incarnation < oldest) {
        *reason = Concat("incarnation ", stamp.incarnation.value(), " of source ", stamp.source,
                         " is older than the ", incarnations_max_, " newest, from ", oldest.value(),
                         " on");
        return Verdict::kRefused;
      }
      source->second.erase(source->second.begin());
    }
  }
  last_source_ = source->first;
  last_incarnation_ = stamp.incarnation;
  last_ = &source->second[stamp.incarnation];
  return TakeInto(last_, stamp, reason);
}

std::vector<ShardState::AcceptedEntry> AcceptedSources::All() const {
  std::vector<ShardState::AcceptedEntry> all;
  for (const auto& [source, incarnations] : by_source_) {
    for (const auto& [incarnation, accepted] : incarnations) {
      all.push_back({source, incarnation, accepted});
    }
  }
  return all;
}

uint64_t AcceptedSources::Lost() const {
  uint64_t lost = 0;
  for (const auto& [source, incarnations] : by_source_) {
    for (const auto& [incarnation, accepted] : incarnations) lost += accepted.lost();
  }
  return lost;
}

absl::Status AcceptedSources::Restore(ShardState::AcceptedEntry entry) {
  Stamp stamp{.source = entry.source, .incarnation = entry.incarnation};
  if (absl::Status valid = ValidateStamp(stamp); !valid.ok())
    return absl::DataLossError(MessageOf(valid));
  const IntervalSet& sequences = entry.accepted.sequences;
  if (sequences.empty() || sequences.intervals().front().first == 0) {
    return absl::DataLossError(
        Concat("the sequences of source ", entry.source, " do not begin at 1 or above"));
  }
  std::string reason;
  if (!IsNear(sequences, Sequence(sequences.intervals().back().last), &reason)) {
    return absl::DataLossError(Concat("source ", entry.source, ": ", reason));
  }
  Incarnations& incarnations = by_source_[entry.source];
  if (incarnations.size() >= incarnations_max_) {
    return absl::DataLossError(
        Concat("more than ", incarnations_max_, " incarnations of source ", entry.source));
  }
  if (!incarnations.emplace(entry.incarnation, std::move(entry.accepted)).second) {
    return absl::DataLossError(Concat("incarnation ", entry.incarnation.value(), " of source ",
                                      entry.source, " is there twice"));
  }
  return absl::OkStatus();
}

size_t AcceptedSources::MemoryBytes() const {
  size_t bytes = 0;
  for (const auto& [source, incarnations] : by_source_) {
    bytes += kNodeBytes + sizeof(Incarnations) + kSourceNameBytesMax;
    for (const auto& [incarnation, accepted] : incarnations) {
      bytes += kNodeBytes + sizeof(Accepted) +
               accepted.sequences.intervals().capacity() * sizeof(Interval);
    }
  }
  return bytes;
}

}  // namespace marquee::domain
