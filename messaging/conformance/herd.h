// Members of one group in this process, each with a connection of its own, polled in turn by the
// test's thread; and the referee, who sees all of them and checks at every event and batch what
// "owned" promises:
//   a shard is gained with a generation above all before; what is revoked or lost is what the
//   member had; once a member has gained a shard, no poll of another that begins later hands out
//   records of it.
// Members start what they gain where the herd has come to (or at the start), and release what is
// revoked, unless told otherwise.
//
// Threads: one.
#ifndef MARQUEE_MESSAGING_CONFORMANCE_HERD_H_
#define MARQUEE_MESSAGING_CONFORMANCE_HERD_H_

#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "messaging/conformance/trial.h"

namespace marquee::messaging::conformance {

class Herd;

class Member {
 public:
  const std::string& name() const { return name_; }
  Subscription& subscription() { return *subscription_; }
  Broker& broker() { return *broker_; }
  // What it believes to own, with generations.
  const std::map<TopicShard, uint64_t>& owned() const { return owned_; }
  // All it was told, in order.
  const std::vector<OwnershipEvent>& events() const { return events_; }
  bool Heard(OwnershipEvent::Kind kind, const TopicShard& shard) const;

  // Whether PollAll polls it.
  void set_polling(bool polling) { polling_ = polling; }
  // Whether it releases what is revoked.
  void set_releasing(bool releasing) { releasing_ = releasing; }
  bool polling() const { return polling_; }

 private:
  friend class Herd;

  std::string name_;
  std::unique_ptr<Broker> broker_;
  std::unique_ptr<Subscription> subscription_;
  std::map<TopicShard, uint64_t> owned_;
  std::vector<OwnershipEvent> events_;
  bool polling_ = true;
  bool releasing_ = true;
};

class Herd {
 public:
  Herd(Trial& trial, std::string group, std::vector<std::string> topics);

  Member& Join();
  void Leave(Member& member);
  Member& at(size_t index);
  size_t size() const { return members_.size(); }
  const std::string& group() const { return group_; }

  // Polls each member once. False: nobody had anything.
  bool PollAll();
  bool Poll(Member& member);
  // Polls all until `done`, within the time to settle.
  bool Eventually(const std::function<bool()>& done);

  // Whether the members that poll own all shards, each one of them, and of each topic as many as
  // the others or one more or less.
  bool Settled();
  bool EventuallySettled() {
    return Eventually([this] { return Settled(); });
  }
  // Polls until everything that is in the topics now was handed to some member.
  bool EventuallyReadAll();

  const Collector& collector() const { return collector_; }
  // The shards of the group's topics.
  const std::vector<TopicShard>& shards() const { return shards_; }
  Member* owner(const TopicShard& shard) { return owner_[shard]; }
  uint64_t generation(const TopicShard& shard) { return generation_[shard]; }
  // Where the next batch of the shard begins.
  Offset next(const TopicShard& shard) { return next_[shard]; }

 private:
  void Take(Member& member, const OwnershipEvent& event);
  void TakeGained(Member& member, const OwnershipEvent& event);

  Trial& trial_;
  const std::string group_;
  const std::vector<std::string> topics_;
  std::vector<TopicShard> shards_;
  std::list<Member> members_;
  std::map<TopicShard, Member*> owner_;
  std::map<TopicShard, uint64_t> generation_;
  std::map<TopicShard, Offset> next_;
  Collector collector_;
};

}  // namespace marquee::messaging::conformance

#endif  // MARQUEE_MESSAGING_CONFORMANCE_HERD_H_
