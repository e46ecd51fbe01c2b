// Whether a consumer is silent because there is nothing to send, or because the broker does not
// serve it any more.
//
// A consumer of a stream reads the replica of its node, and can end without a word when that is
// started again: its node's word that it had changed was lost with another node. So each begins
// with a message that was read before: what comes first proves that it is served. One that has
// been silent for a while is made anew, and proves it again. That writes nothing to the stream.
//
// A pure state, told the time. Threads: one.
#ifndef MARQUEE_MESSAGING_RABBITMQ_CONSUMER_WATCH_H_
#define MARQUEE_MESSAGING_RABBITMQ_CONSUMER_WATCH_H_

#include "absl/time/time.h"

namespace marquee::messaging::rabbitmq {

class ConsumerWatch {
 public:
  // A silence is as long as this at most before the consumer is made anew.
  explicit ConsumerWatch(absl::Duration silence_max);

  // A consumer was made.
  void Begun(absl::Duration now);
  // It sent something: news, or what was read before.
  void Heard(absl::Duration now, bool is_news);

  // It is served, and was sent nothing for a moment: its node has no more.
  bool HasAll(absl::Duration now) const;

  enum class Act {
    kNothing,
    kRenew,          // end it, and make another
    kNudge,          // its node may not know how far the stream is confirmed: publish something
    kLookElsewhere,  // if another node shows what this one does not, go there
  };
  // What is to be done now; REQUIRES: nothing that it has sent is unheard.
  Act Due(absl::Duration now);

 private:
  absl::Duration silence_max_;
  absl::Duration silence_;  // the next that is too long
  absl::Duration heard_;
  bool proven_ = false;
  bool nudged_ = false;
  absl::Duration due_;  // while it is not proven
  absl::Duration again_;
};

}  // namespace marquee::messaging::rabbitmq

#endif  // MARQUEE_MESSAGING_RABBITMQ_CONSUMER_WATCH_H_
