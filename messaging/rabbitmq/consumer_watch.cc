#include "messaging/rabbitmq/consumer_watch.h"

#include <algorithm>

namespace marquee::messaging::rabbitmq {
namespace {

constexpr absl::Duration kSilenceFirst = absl::Seconds(1);
// From the beginning of a consumer to its first message. Longer than it takes to elect a leader.
constexpr absl::Duration kProofMax = absl::Seconds(1);
constexpr absl::Duration kNudgedMax = absl::Seconds(2);
constexpr absl::Duration kMoment = absl::Milliseconds(100);
constexpr absl::Duration kAgainFirst = absl::Seconds(4);
constexpr absl::Duration kAgainMax = absl::Seconds(32);

}  // namespace

ConsumerWatch::ConsumerWatch(absl::Duration silence_max)
    : silence_max_(silence_max), silence_(kSilenceFirst) {}

bool ConsumerWatch::HasAll(absl::Duration now) const { return proven_ && now - heard_ >= kMoment; }

void ConsumerWatch::Begun(absl::Duration now) {
  heard_ = now;
  proven_ = nudged_ = false;
  due_ = now + kProofMax;
  again_ = kAgainFirst;
}

void ConsumerWatch::Heard(absl::Duration now, bool is_news) {
  heard_ = now;
  proven_ = true;
  if (is_news) silence_ = kSilenceFirst;
}

ConsumerWatch::Act ConsumerWatch::Due(absl::Duration now) {
  if (proven_) {
    if (now - heard_ < silence_) return Act::kNothing;
    silence_ = std::min(2 * silence_, silence_max_);
    return Act::kRenew;
  }
  if (now < due_) return Act::kNothing;
  if (!nudged_) {
    nudged_ = true;
    due_ = now + kNudgedMax;
    return Act::kNudge;
  }
  due_ = now + again_;
  again_ = std::min(2 * again_, kAgainMax);
  return Act::kLookElsewhere;
}

}  // namespace marquee::messaging::rabbitmq
