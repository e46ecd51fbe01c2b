// Whether something is gone, or the node that says so is only behind the others. A pure state, told
// the time. Threads: one.
#ifndef MARQUEE_MESSAGING_RABBITMQ_ABSENCE_H_
#define MARQUEE_MESSAGING_RABBITMQ_ABSENCE_H_

#include <optional>

#include "absl/time/time.h"

namespace marquee::messaging::rabbitmq {

// For so long a node may not have heard that a topic was deleted, or that an epoch has ended, and
// name what is gone.
inline constexpr absl::Duration kNodeBehindMax = absl::Seconds(5);

// A look is a few requests, and a node that is behind hears in its own time.
inline constexpr absl::Duration kLookAgainAfter = absl::Milliseconds(100);

class Absence {
 public:
  // False: what was not found is looked for again only later.
  bool IsDue(absl::Duration now) const {
    return !last_.has_value() || now - *last_ >= kLookAgainAfter;
  }

  // A look at `now` did not find it: whether none has for longer than a node may be behind. Looks
  // that are further apart than that begin anew, since it may have been there in between.
  bool IsForGood(absl::Duration now) {
    if (!last_.has_value() || now - *last_ > kNodeBehindMax) first_ = now;
    last_ = now;
    return now - first_ > kNodeBehindMax;
  }

 private:
  absl::Duration first_;
  std::optional<absl::Duration> last_;
};

}  // namespace marquee::messaging::rabbitmq

#endif  // MARQUEE_MESSAGING_RABBITMQ_ABSENCE_H_
