// A client of librdkafka: its configuration, its handle, and what it says of its connections.
//
// Ownership: whoever opens it; what was made from its handle is freed before.
// Threads: any. Close ends it, once, from one thread.
#ifndef MARQUEE_MESSAGING_KAFKA_CLIENT_H_
#define MARQUEE_MESSAGING_KAFKA_CLIENT_H_

#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "librdkafka/rdkafka.h"
#include "messaging/kafka/handle.h"
#include "messaging/kafka/settings.h"

namespace marquee::messaging::kafka {

// Whatever one message may need beside kMessageBytesMax: lengths, names, the batch's head.
inline constexpr int kMessageOverheadBytesMax = 64 << 10;

using ConfigLines = std::map<std::string, std::string>;

// What every client says to every broker, whatever it is for.
ConfigLines CommonConfig(const KafkaSettings& settings, const std::string& client_id);

class Client {
 public:
  struct Callbacks {
    // Called with each message that a producer could not deliver, by Serve.
    void (*undelivered)(const rd_kafka_message_t&, void*) = nullptr;
    // Called with each message that was delivered or not, by librdkafka's own threads, before it
    // stops counting as outstanding. Takes no time and calls nothing of librdkafka.
    void (*acknowledged)(const rd_kafka_message_t&, void*) = nullptr;
    void* opaque = nullptr;
    int events = 0;  // RD_KAFKA_EVENT_…
    // Connections are reset at the end: what this machine has not sent yet is not sent.
    bool reset_connections = false;
  };

  // kInvalidArgument: librdkafka does not take the configuration (a file that it cannot read).
  static absl::StatusOr<std::unique_ptr<Client>> Open(rd_kafka_type_t type,
                                                      const ConfigLines& config,
                                                      const Callbacks& callbacks);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  rd_kafka_t* handle() { return handle_; }
  const Callbacks& callbacks() const { return callbacks_; }

  // Serves what librdkafka has to say to this client, waiting for it so long. (A consumer's queue
  // does so too.)
  void Serve(int wait_ms = 0);
  // Not ok: a broker refuses this client.
  absl::Status Refusal() const;
  // Before something is asked anew: what was refused once may be granted now.
  void ForgetRefusal();
  // " (last heard: …)", or nothing: what an error adds that says what was waited for.
  std::string LastHeard() const;
  void Hear(rd_kafka_resp_err_t error, const std::string& text);

 private:
  explicit Client(const Callbacks& callbacks) : callbacks_(callbacks) {}

  const Callbacks callbacks_;
  rd_kafka_t* handle_ = nullptr;
  QueuePtr reports_;  // of messages that were not delivered; none: not asked for
  mutable Mutex mutex_;
  absl::Status refusal_ ABSL_GUARDED_BY(mutex_);
  std::string last_heard_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace marquee::messaging::kafka

#endif  // MARQUEE_MESSAGING_KAFKA_CLIENT_H_
