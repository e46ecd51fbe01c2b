// For tests: stands between clients and a broker's nodes on loopback ports, and can be closed,
// which cuts every connection through it and refuses new ones. It can play a broker that no longer
// serves consumers, and says nothing of it.
//
// Threads: any; it has one of its own.
#ifndef MARQUEE_MESSAGING_RABBITMQ_GATE_H_
#define MARQUEE_MESSAGING_RABBITMQ_GATE_H_

#include <atomic>
#include <cstdint>
#include <list>
#include <string>
#include <thread>
#include <vector>

#include "messaging/rabbitmq/frames.h"

namespace marquee::messaging::rabbitmq {

class Gate {
 public:
  // To these ports of this machine; one that cannot be had aborts.
  explicit Gate(std::vector<int> targets);
  ~Gate();
  Gate(const Gate&) = delete;

  // Where clients connect to: as many, in the same order.
  const std::vector<int>& ports() const { return ports_; }
  // Returns when it is so.
  void SetOpen(bool open);
  // The consumers that there are and that were sent something get nothing more; soon.
  void MuteConsumers();
  // How many were asked for.
  int64_t consumers() const { return consumers_; }

 private:
  static constexpr size_t kGreetingBytes = 8;
  struct Way {  // one direction
    Frames frames;
    std::string bytes;
    bool ended = false;
  };
  struct Pair {
    int client = -1;
    int server = -1;
    Way up{.frames = Frames(kGreetingBytes)}, down{.frames = Frames(0)};
  };

  void Run();
  void Accept(size_t which);
  static bool Read(int from, Way* way);
  static bool Write(int to, Way* way);
  static void Cut(Pair* pair);
  bool Forward(Pair* pair, short client_events, short server_events);

  const std::vector<int> targets_;
  std::vector<int> ports_;
  std::vector<int> listeners_;
  std::list<Pair> pairs_;
  int wake_ = -1;
  std::atomic<bool> open_ = true;
  std::atomic<bool> is_open_ = true;
  std::atomic<bool> stop_ = false;
  std::atomic<bool> mute_ = false;
  std::atomic<int64_t> consumers_ = 0;
  std::thread thread_;
};

}  // namespace marquee::messaging::rabbitmq

#endif  // MARQUEE_MESSAGING_RABBITMQ_GATE_H_
