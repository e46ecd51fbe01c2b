#include "messaging/kafka/client.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/status.h"
#include "messaging/broker.h"
#include "messaging/kafka/errors.h"
#include "messaging/kafka/handle.h"
#include "spdlog/spdlog.h"

namespace marquee::messaging::kafka {
namespace {

// How librdkafka comes back to a broker that is away.
constexpr const char* kReconnectMs = "50";
constexpr const char* kReconnectMsMax = "1000";
constexpr const char* kMetadataRefreshMs = "500";
constexpr const char* kMetadataAgeMs = "60000";

void OnError(rd_kafka_t*, int error, const char* reason, void* opaque) {
  static_cast<Client*>(opaque)->Hear(static_cast<rd_kafka_resp_err_t>(error), reason);
}

// librdkafka speaks at every broken connection; that is told with the error of the call that waited
// for it.
void OnLog(const rd_kafka_t*, int, const char*, const char* text) {
  spdlog::debug("librdkafka: {}", text);
}

constexpr const char* kInterceptor = "marquee";

rd_kafka_resp_err_t OnAcknowledged(rd_kafka_t*, rd_kafka_message_t* message, void* opaque) {
  const Client::Callbacks& callbacks = static_cast<Client*>(opaque)->callbacks();
  callbacks.acknowledged(*message, callbacks.opaque);
  return RD_KAFKA_RESP_ERR_NO_ERROR;
}

rd_kafka_resp_err_t OnNew(rd_kafka_t* handle, const rd_kafka_conf_t*, void* opaque, char*, size_t) {
  return rd_kafka_interceptor_add_on_acknowledgement(handle, kInterceptor, OnAcknowledged, opaque);
}

int ResetConnection(int socket, void*) {
  linger at_once{.l_onoff = 1, .l_linger = 0};
  (void)setsockopt(socket, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  return close(socket);
}

void AddSecurity(const KafkaSettings& settings, ConfigLines* config) {
  bool login = !settings.sasl_mechanism.empty();
  (*config)["security.protocol"] =
      settings.tls ? (login ? "sasl_ssl" : "ssl") : (login ? "sasl_plaintext" : "plaintext");
  if (login) {
    (*config)["sasl.mechanisms"] = settings.sasl_mechanism;
    (*config)["sasl.username"] = settings.username;
    (*config)["sasl.password"] = settings.password;
  }
  if (!settings.tls) return;
  if (!settings.ca_file.empty()) (*config)["ssl.ca.location"] = settings.ca_file;
  if (!settings.certificate_file.empty()) {
    (*config)["ssl.certificate.location"] = settings.certificate_file;
    (*config)["ssl.key.location"] = settings.key_file;
    if (!settings.key_password.empty()) (*config)["ssl.key.password"] = settings.key_password;
  }
  (*config)["ssl.endpoint.identification.algorithm"] = settings.verify_hostname ? "https" : "none";
}

}  // namespace

ConfigLines CommonConfig(const KafkaSettings& settings, const std::string& client_id) {
  ConfigLines config = {
      {"bootstrap.servers", settings.servers},
      {"client.id", client_id},
      {"allow.auto.create.topics", "false"},
      {"socket.keepalive.enable", "true"},
      {"socket.nagle.disable", "true"},
      {"reconnect.backoff.ms", kReconnectMs},
      {"reconnect.backoff.max.ms", kReconnectMsMax},
      {"topic.metadata.refresh.interval.ms", kMetadataRefreshMs},
      {"metadata.max.age.ms", kMetadataAgeMs},
      {"message.max.bytes", fmt::format("{}", kMessageBytesMax + kMessageOverheadBytesMax)},
      {"log.connection.close", "false"},
      // Closing a client would wait up to a second for a last push of these.
      {"enable.metrics.push", "false"},
  };
  AddSecurity(settings, &config);
  return config;
}

absl::StatusOr<std::unique_ptr<Client>> Client::Open(rd_kafka_type_t type,
                                                     const ConfigLines& config,
                                                     const Callbacks& callbacks) {
  std::unique_ptr<Client> client(new Client(callbacks));
  // Before librdkafka's threads log: what the first call makes is made here.
  (void)spdlog::default_logger_raw();
  ConfPtr conf(rd_kafka_conf_new());
  char text[512];
  for (const auto& [name, value] : config) {
    // The text may show the value, and the value may be a password: the name is enough.
    if (rd_kafka_conf_set(conf.get(), name.c_str(), value.c_str(), text, sizeof text) !=
        RD_KAFKA_CONF_OK) {
      return absl::InvalidArgumentError(
          fmt::format("librdkafka does not take its setting {}; check the kafka.* settings", name));
    }
  }
  rd_kafka_conf_set_opaque(conf.get(), client.get());
  rd_kafka_conf_set_error_cb(conf.get(), OnError);
  rd_kafka_conf_set_log_cb(conf.get(), OnLog);
  if (callbacks.acknowledged != nullptr) {
    rd_kafka_conf_interceptor_add_on_new(conf.get(), kInterceptor, OnNew, client.get());
  }
  // As events: rd_kafka_flush then sleeps until the last message is acknowledged, where with a
  // callback it would look now and then.
  int events = callbacks.events | (callbacks.undelivered != nullptr ? RD_KAFKA_EVENT_DR : 0);
  if (events != 0) rd_kafka_conf_set_events(conf.get(), events);
  if (callbacks.reset_connections) rd_kafka_conf_set_closesocket_cb(conf.get(), ResetConnection);
  client->handle_ = rd_kafka_new(type, conf.get(), text, sizeof text);
  if (client->handle_ == nullptr) {
    return absl::InvalidArgumentError(
        fmt::format("a Kafka client cannot be made: {}; check the kafka.* settings", text));
  }
  (void)conf.release();
  if (callbacks.undelivered != nullptr)
    client->reports_.reset(rd_kafka_queue_get_main(client->handle_));
  return client;
}

void Client::Serve(int wait_ms) {
  if (reports_ == nullptr) {
    rd_kafka_poll(handle_, wait_ms);
    return;
  }
  while (EventPtr event{rd_kafka_queue_poll(reports_.get(), wait_ms)}) {
    if (rd_kafka_event_type(event.get()) != RD_KAFKA_EVENT_DR) continue;
    while (const rd_kafka_message_t* message = rd_kafka_event_message_next(event.get()))
      callbacks_.undelivered(*message, callbacks_.opaque);
    wait_ms = 0;
  }
}

Client::~Client() {
  reports_.reset();
  if (handle_ != nullptr) rd_kafka_destroy_flags(handle_, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
}

void Client::Hear(rd_kafka_resp_err_t error, const std::string& text) {
  MutexLock lock(mutex_);
  last_heard_ = text;
  if (IsRefusal(error, text)) refusal_ = StatusOf(error, "Kafka refuses this client", text);
}

absl::Status Client::Refusal() const {
  MutexLock lock(mutex_);
  return refusal_;
}

void Client::ForgetRefusal() {
  MutexLock lock(mutex_);
  refusal_ = absl::OkStatus();
}

std::string Client::LastHeard() const {
  MutexLock lock(mutex_);
  return last_heard_.empty() ? "" : fmt::format(" (last heard: {})", last_heard_);
}

}  // namespace marquee::messaging::kafka
