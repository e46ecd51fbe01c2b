// One AMQP 0-9-1 connection to one node of the broker, by rabbitmq-c. The one place that knows that
// library, but for no type of it in this header.
//
// Threads: one at a time, but for Interrupt. Every call ends within its timeout. A channel is
// opened when it is first used, and again after an error closed it; an error of the connection
// leaves it broken for good.
//
// Errors: kUnavailable (broken, or cannot be reached: try again with another connection);
// kNotFound, kFailedPrecondition (permission, vhost, other arguments) and kAborted (exclusively
// another's) as the broker says, with its words. A password is in none of them.
#ifndef MARQUEE_MESSAGING_RABBITMQ_CONNECTION_H_
#define MARQUEE_MESSAGING_RABBITMQ_CONNECTION_H_

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "messaging/pack.h"
#include "messaging/rabbitmq/plain.h"
#include "messaging/rabbitmq/settings.h"
#include "messaging/rabbitmq/url.h"

struct amqp_connection_state_t_;
struct amqp_rpc_reply_t_;
struct amqp_frame_t_;
struct amqp_socket_t_;

namespace marquee::messaging::rabbitmq {

using Channel = uint16_t;  // 1 .. 8

// What came from the broker, unasked.
struct Event {
  enum class Kind {
    kNone,           // nothing within the time
    kOther,          // something that the connection has dealt with itself
    kDelivery,       // a message of a stream
    kConfirmed,      // of what was published: `tag`, and all before it where `multiple`
    kRefused,        // the same, but not stored
    kReturned,       // there is no queue for it; `text`: the broker's words
    kCancelled,      // `consumer` gets no more: its queue is gone
    kChannelClosed,  // `text`: why
  };
  Kind kind = Kind::kNone;
  Channel channel = 0;
  uint64_t tag = 0;
  bool multiple = false;
  std::string consumer;
  int64_t stream_offset = -1;
  std::string body;  // of a delivery a message of ours; a plain one as such (plain.h)
  std::string text;
  absl::Status why;  // of kChannelClosed
};

// Where a consumer of a stream begins.
struct From {
  enum class Place { kFirst, kLast, kNext, kOffset };  // kLast: the last chunk
  Place place = Place::kFirst;
  int64_t offset = 0;
};

struct StreamLimits {
  int64_t segment_bytes = 0;
  absl::Duration max_age = absl::InfiniteDuration();
  int64_t max_bytes = 0;  // 0: none
};

class Connection {
 public:
  // Tries node `first` of the URL, then the others, each with a fair share of `timeout`.
  static absl::StatusOr<std::unique_ptr<Connection>> Open(const Url& url, const Settings& settings,
                                                          std::string_view purpose, size_t first,
                                                          absl::Duration timeout);
  ~Connection();
  Connection(const Connection&) = delete;

  bool broken() const { return broken_; }
  // Of the URL's nodes.
  size_t node_index() const { return node_index_; }
  // Why the broker reads nothing more that is published; empty where it does.
  const std::string& blocked() const { return blocked_; }
  // Of each request and its answer.
  void set_timeout(absl::Duration timeout) { timeout_ = timeout; }

  // Ends all that a thread waits for in this connection, which is broken then. Any thread.
  void Interrupt();

  absl::Status DeclareStream(const std::string& name, const StreamLimits& limits);
  // One that the broker deletes when this connection ends; nobody else can use it until then.
  absl::Status DeclareExclusive(const std::string& name);
  // kNotFound, or kAborted where it is exclusively another connection's.
  absl::Status CheckQueue(const std::string& name);
  absl::Status DeleteQueue(const std::string& name);  // ok where there is none
  absl::Status DeclareExchange(const std::string& name);
  absl::Status CheckExchange(const std::string& name);   // kNotFound
  absl::Status DeleteExchange(const std::string& name);  // ok where there is none
  absl::Status Bind(const std::string& queue, const std::string& exchange, const std::string& key);

  // From now on what is published on `channel` is confirmed, counted from 1.
  absl::Status SelectConfirms(Channel channel);
  // Persistent and mandatory. Returns when it is sent, which waits while the broker does not read.
  // `plain`: of a message of one record; without it `body` is a message of ours.
  // REQUIRES: SelectConfirms.
  absl::Status Publish(Channel channel, const std::string& exchange, const std::string& key,
                       std::string_view body, const PlainProperties* plain = nullptr);

  // The same to a queue, and never confirmed; where there is none it is returned. On a channel
  // without confirms.
  absl::Status Send(Channel channel, const std::string& queue, std::string_view body);

  // The tag of what was published last; 0: nothing since SelectConfirms.
  uint64_t published(Channel channel) const;
  bool has_unconfirmed(Channel channel) const;

  // A name that no other consumer of this connection has had: what is still on its way for a former
  // one is told apart by it.
  std::string NewConsumer() { return "c" + std::to_string(++consumers_); }
  absl::Status Consume(Channel channel, const std::string& stream, const std::string& consumer,
                       const From& from, int prefetch_messages);
  // The same without waiting for the broker's answer: an error comes as kChannelClosed.
  absl::Status ConsumeSoon(Channel channel, const std::string& stream, const std::string& consumer,
                           const From& from, int prefetch_messages);
  // What is on its way still comes.
  absl::Status CancelSoon(Channel channel, const std::string& consumer);
  // Nothing of the consumer comes after it, but what Wait has not yet returned.
  absl::Status Cancel(Channel channel, const std::string& consumer);
  absl::Status Acknowledge(Channel channel, uint64_t tag, bool multiple);
  absl::Status CloseChannel(Channel channel);

  // What came next, waiting for at most `timeout`.
  absl::StatusOr<Event> Wait(absl::Duration timeout);
  // The next of one channel. What comes of others meanwhile is kept for Wait.
  absl::StatusOr<Event> WaitOn(Channel channel, absl::Duration timeout = absl::ZeroDuration());
  // Readable where something may have come, once Wait has returned nothing.
  int descriptor() const { return fd_; }

 private:
  Connection(std::string node, absl::Duration timeout);
  absl::Status Connect(const Url& url, const Node& node, const Settings& settings,
                       std::string_view purpose);
  absl::Status SetUpTls(const Settings& settings);
  absl::Status LogIn(const Url& url, const Settings& settings, std::string_view purpose);
  absl::Status Prepare(Channel channel);
  absl::Status PublishBody(Channel channel, const std::string& exchange, const std::string& key,
                           std::string_view body, const PlainProperties* plain);
  absl::Status SetPrefetch(Channel channel, int messages);
  absl::Status Answer(Channel channel, const amqp_rpc_reply_t_& reply, std::string_view what);
  absl::Status Broken(int library_error, std::string_view what);
  absl::StatusOr<Event> NextEvent(absl::Duration timeout);
  absl::Status NextFrame(absl::Duration timeout, amqp_frame_t_* frame, bool* any);
  absl::Status ReadContent(Event* event);
  absl::Status Take(const amqp_frame_t_& frame, Event* event);
  void ChannelIsClosed(Channel channel);
  void Forget(Channel channel);
  bool IsOfClosed(const Event& event) const;

  const std::string node_;  // for people
  size_t node_index_ = 0;
  amqp_connection_state_t_* state_;
  amqp_socket_t_* socket_ = nullptr;
  absl::Duration timeout_;
  std::set<Channel> open_;
  std::map<Channel, int> prefetch_;  // of the next consumer, where it was set
  struct Confirms {
    uint64_t published = 0;
    uint64_t confirmed = 0;  // the highest tag
  };
  std::map<Channel, Confirms> confirming_;
  std::deque<Event> kept_;
  PackCompressor compressor_;
  uint64_t consumers_ = 0;
  // The last consumer before the channel was closed: the tags of what still comes for those until
  // then mean nothing on the new one.
  std::map<Channel, uint64_t> closed_after_;
  std::string blocked_;
  bool broken_ = false;
  int fd_ = -1;
};

}  // namespace marquee::messaging::rabbitmq

#endif  // MARQUEE_MESSAGING_RABBITMQ_CONNECTION_H_
