// For tests: one direction of an AMQP 0-9-1 connection, frame by frame. Counts the consumers that
// are asked for, and keeps back what is sent to some, as a broker does that has stopped serving
// them.
//
// Threads: one.
#ifndef MARQUEE_MESSAGING_RABBITMQ_FRAMES_H_
#define MARQUEE_MESSAGING_RABBITMQ_FRAMES_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>

namespace marquee::messaging::rabbitmq {

class Frames {
 public:
  // `greeting`: bytes before the first frame.
  explicit Frames(size_t greeting) : greeting_(greeting) {}

  // What passes of `bytes` and of what was not whole before.
  std::string Pass(std::string_view bytes);
  // From now on nothing passes to the consumers that were sent something before.
  void MuteThoseServed() { muted_ = served_; }
  int64_t consumers() const { return consumers_; }

 private:
  bool Passes(std::string_view frame);

  size_t greeting_;
  std::string rest_;
  std::set<std::string, std::less<>> served_, muted_;
  std::map<uint16_t, int64_t> dropping_;  // by channel: bytes to come of a body; -1: its header
  int64_t consumers_ = 0;
};

}  // namespace marquee::messaging::rabbitmq

#endif  // MARQUEE_MESSAGING_RABBITMQ_FRAMES_H_
