#include "messaging/rabbitmq/connection.h"

#if __has_include(<rabbitmq-c/amqp.h>)
#include <rabbitmq-c/ssl_socket.h>
#include <rabbitmq-c/tcp_socket.h>
#else
#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>
#endif
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "messaging/rabbitmq/fields.h"

namespace marquee::messaging::rabbitmq {
namespace {

constexpr int kChannelsMax = 8;
constexpr int kFrameBytesMax = 131'072;
constexpr uint8_t kPersistent = 2;
constexpr Channel kAdministration = 1;  // for all that is neither published nor consumed
// Once a message has begun to come, its rest comes at once.
constexpr absl::Duration kContentTimeout = absl::Seconds(30);

timeval Timeout(absl::Duration duration) {
  return absl::ToTimeval(std::max(duration, absl::ZeroDuration()));
}

// The broker's own words; the code is that of AMQP 0-9-1 and its extensions.
absl::Status FromBroker(int code, std::string_view text, std::string_view what) {
  std::string message = fmt::format("{}: the broker answers: {} ({})", what, text, code);
  // It is there, but not yet after a restart or its declaration, or its node is away; or what was
  // delivered was acknowledged too late.
  for (std::string_view passing :
       {"is down or inaccessible", "replica on the local node",
        "does not have a running local replica", "Stream not found for queue",
        "unknown delivery tag", "delivery acknowledgement"}) {
    if (text.find(passing) != std::string_view::npos) return absl::UnavailableError(message);
  }
  switch (code) {
    case AMQP_NOT_FOUND:
      return absl::NotFoundError(message);
    case AMQP_RESOURCE_LOCKED:
      return absl::AbortedError(message);
    case AMQP_ACCESS_REFUSED:
    case AMQP_PRECONDITION_FAILED:
    case AMQP_NOT_ALLOWED:
    case AMQP_INVALID_PATH:
      return absl::FailedPreconditionError(message);
    case AMQP_CONTENT_TOO_LARGE:
      return absl::InvalidArgumentError(message);
    case AMQP_RESOURCE_ERROR:
      return absl::ResourceExhaustedError(message);
    default:
      return absl::UnavailableError(message);
  }
}

template <typename Method>
const Method& Decoded(const amqp_frame_t& frame) {
  return *static_cast<const Method*>(frame.payload.method.decoded);
}

}  // namespace

Connection::Connection(std::string node, absl::Duration timeout)
    : node_(std::move(node)), state_(amqp_new_connection()), timeout_(timeout) {
  MARQUEE_CHECK(state_ != nullptr);
}

Connection::~Connection() {
  if (!broken_ && fd_ >= 0) {
    timeval tv = Timeout(std::min(timeout_, absl::Seconds(1)));
    amqp_set_rpc_timeout(state_, &tv);
    amqp_connection_close(state_, AMQP_REPLY_SUCCESS);
  }
  amqp_destroy_connection(state_);
}

absl::StatusOr<std::unique_ptr<Connection>> Connection::Open(const Url& url,
                                                             const Settings& settings,
                                                             std::string_view purpose, size_t first,
                                                             absl::Duration timeout) {
  absl::Status status;
  for (size_t i = 0; i < url.nodes.size(); ++i) {
    size_t index = (first + i) % url.nodes.size();
    const Node& node = url.nodes[index];
    std::unique_ptr<Connection> connection(
        new Connection(node.ToString(), timeout / static_cast<int64_t>(url.nodes.size())));
    connection->node_index_ = index;
    status = connection->Connect(url, node, settings, purpose);
    if (status.ok()) return connection;
    // What is set up wrongly is so on the other nodes.
    if (!absl::IsUnavailable(status)) return status;
  }
  return status;
}

absl::Status Connection::Connect(const Url& url, const Node& node, const Settings& settings,
                                 std::string_view purpose) {
  socket_ = url.tls ? amqp_ssl_socket_new(state_) : amqp_tcp_socket_new(state_);
  if (socket_ == nullptr) {
    broken_ = true;
    return absl::InternalError("rabbitmq-c gives no socket");
  }
  if (url.tls) MARQUEE_RETURN_IF_ERROR(SetUpTls(settings));
  timeval tv = Timeout(timeout_);
  int error = amqp_socket_open_noblock(socket_, node.host.c_str(), node.port, &tv);
  if (error != AMQP_STATUS_OK) return Broken(error, "connecting");
  fd_ = amqp_socket_get_sockfd(socket_);
  int on = 1;
  (void)setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return LogIn(url, settings, purpose);
}

absl::Status Connection::SetUpTls(const Settings& settings) {
  broken_ = true;
  if (!settings.ca_file.empty() &&
      amqp_ssl_socket_set_cacert(socket_, settings.ca_file.c_str()) != AMQP_STATUS_OK) {
    return absl::InvalidArgumentError(fmt::format(
        "setting amqp.ca_file: {} holds no certificate that can be read", settings.ca_file));
  }
  if (!settings.certificate_file.empty() &&
      amqp_ssl_socket_set_key(socket_, settings.certificate_file.c_str(),
                              settings.key_file.c_str()) != AMQP_STATUS_OK) {
    return absl::InvalidArgumentError(fmt::format(
        "settings amqp.certificate_file and amqp.key_file: {} and {} hold no pair that can be used",
        settings.certificate_file, settings.key_file));
  }
  amqp_ssl_socket_set_verify_peer(socket_, 1);
  amqp_ssl_socket_set_verify_hostname(socket_, 1);
  broken_ = false;
  return absl::OkStatus();
}

absl::Status Connection::LogIn(const Url& url, const Settings& settings, std::string_view purpose) {
  timeval tv = Timeout(timeout_);
  amqp_set_handshake_timeout(state_, &tv);
  amqp_set_rpc_timeout(state_, &tv);
  std::vector<amqp_table_entry_t> capabilities = {
      FlagEntry("authentication_failure_close"), FlagEntry("connection.blocked"),
      FlagEntry("consumer_cancel_notify"), FlagEntry("basic.nack"),
      FlagEntry("publisher_confirms")};
  amqp_table_entry_t capability{};
  capability.key = amqp_cstring_bytes("capabilities");
  capability.value.kind = AMQP_FIELD_KIND_TABLE;
  capability.value.value.table = Table(capabilities);
  std::string name = fmt::format("marquee {}", purpose);
  std::vector<amqp_table_entry_t> properties = {capability, TextEntry("connection_name", name)};
  amqp_table_t table = Table(properties);
  auto log_in = [&](auto... credentials) {
    return amqp_login_with_properties(state_, url.vhost.c_str(), kChannelsMax, kFrameBytesMax,
                                      static_cast<int>(settings.heartbeat_seconds), &table,
                                      credentials...);
  };
  // The broker looks at the certificate alone; but rabbitmq-c has no room for an empty identity.
  const char* identity = url.user.empty() ? "certificate" : url.user.c_str();
  amqp_rpc_reply_t reply =
      settings.external ? log_in(AMQP_SASL_METHOD_EXTERNAL, identity)
                        : log_in(AMQP_SASL_METHOD_PLAIN, url.user.c_str(), url.password.c_str());
  absl::Status status = Answer(0, reply, fmt::format("logging in to vhost {}", url.vhost));
  if (!status.ok()) broken_ = true;
  return status;
}

void Connection::Interrupt() {
  if (fd_ >= 0) shutdown(fd_, SHUT_RDWR);
}

absl::Status Connection::Broken(int library_error, std::string_view what) {
  broken_ = true;
  std::string message =
      fmt::format("RabbitMQ at {}: {}: {}", node_, what, amqp_error_string2(library_error));
  switch (library_error) {
    case AMQP_STATUS_SSL_HOSTNAME_VERIFY_FAILED:
    case AMQP_STATUS_SSL_PEER_VERIFY_FAILED:
    case AMQP_STATUS_SSL_CONNECTION_FAILED:
      return absl::FailedPreconditionError(
          message + "; look at the broker's certificate and at the setting amqp.ca_file");
    default:
      return absl::UnavailableError(message);
  }
}

void Connection::ChannelIsClosed(Channel channel) {
  amqp_channel_close_ok_t close_ok{};
  int error = amqp_send_method(state_, channel, AMQP_CHANNEL_CLOSE_OK_METHOD, &close_ok);
  if (error != AMQP_STATUS_OK) broken_ = true;
  Forget(channel);
}

void Connection::Forget(Channel channel) {
  open_.erase(channel);
  confirming_.erase(channel);
  prefetch_.erase(channel);
  closed_after_[channel] = consumers_;
  std::erase_if(kept_, [&](const Event& event) {
    return event.channel == channel && event.kind != Event::Kind::kChannelClosed;
  });
}

bool Connection::IsOfClosed(const Event& event) const {
  auto closed = closed_after_.find(event.channel);
  uint64_t number = 0;
  if (closed == closed_after_.end() || !event.consumer.starts_with('c')) return false;
  const char* end = event.consumer.data() + event.consumer.size();
  return std::from_chars(event.consumer.data() + 1, end, number).ec == std::errc() &&
         number <= closed->second;
}

absl::Status Connection::Answer(Channel channel, const amqp_rpc_reply_t& reply,
                                std::string_view what) {
  amqp_maybe_release_buffers(state_);
  switch (reply.reply_type) {
    case AMQP_RESPONSE_NORMAL:
      return absl::OkStatus();
    case AMQP_RESPONSE_LIBRARY_EXCEPTION:
      return Broken(reply.library_error, what);
    case AMQP_RESPONSE_SERVER_EXCEPTION:
      break;
    default:
      return Broken(AMQP_STATUS_UNEXPECTED_STATE, what);
  }
  std::string where = fmt::format("RabbitMQ at {}: {}", node_, what);
  if (reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD) {
    const auto& close = *static_cast<const amqp_channel_close_t*>(reply.reply.decoded);
    absl::Status status = FromBroker(close.reply_code, Text(close.reply_text), where);
    ChannelIsClosed(channel);
    return status;
  }
  broken_ = true;
  if (reply.reply.id != AMQP_CONNECTION_CLOSE_METHOD) return absl::UnavailableError(where);
  const auto& close = *static_cast<const amqp_connection_close_t*>(reply.reply.decoded);
  return FromBroker(close.reply_code, Text(close.reply_text), where);
}

absl::Status Connection::Prepare(Channel channel) {
  if (broken_) return absl::UnavailableError(fmt::format("RabbitMQ at {}: broken", node_));
  timeval tv = Timeout(timeout_);
  amqp_set_rpc_timeout(state_, &tv);
  if (open_.contains(channel)) return absl::OkStatus();
  amqp_channel_open(state_, channel);
  MARQUEE_RETURN_IF_ERROR(Answer(channel, amqp_get_rpc_reply(state_), "opening a channel"));
  open_.insert(channel);
  return absl::OkStatus();
}

absl::Status Connection::DeclareStream(const std::string& name, const StreamLimits& limits) {
  MARQUEE_RETURN_IF_ERROR(Prepare(kAdministration));
  std::vector<amqp_table_entry_t> arguments = {
      TextEntry("x-queue-type", "stream"),
      NumberEntry("x-stream-max-segment-size-bytes", limits.segment_bytes)};
  std::string max_age;
  if (limits.max_age != absl::InfiniteDuration()) {
    max_age = fmt::format("{}s", std::max<int64_t>(1, absl::ToInt64Seconds(limits.max_age)));
    arguments.push_back(TextEntry("x-max-age", max_age));
  }
  if (limits.max_bytes > 0) {
    arguments.push_back(NumberEntry("x-max-length-bytes", limits.max_bytes));
  }
  amqp_queue_declare(state_, kAdministration, Bytes(name), /*passive=*/0, /*durable=*/1,
                     /*exclusive=*/0, /*auto_delete=*/0, Table(arguments));
  return Answer(kAdministration, amqp_get_rpc_reply(state_), "declaring the stream " + name);
}

absl::Status Connection::DeclareExclusive(const std::string& name) {
  MARQUEE_RETURN_IF_ERROR(Prepare(kAdministration));
  amqp_queue_declare(state_, kAdministration, Bytes(name), /*passive=*/0, /*durable=*/0,
                     /*exclusive=*/1, /*auto_delete=*/0, amqp_empty_table);
  return Answer(kAdministration, amqp_get_rpc_reply(state_), "declaring the queue " + name);
}

absl::Status Connection::CheckQueue(const std::string& name) {
  MARQUEE_RETURN_IF_ERROR(Prepare(kAdministration));
  amqp_queue_declare(state_, kAdministration, Bytes(name), /*passive=*/1, 0, 0, 0,
                     amqp_empty_table);
  return Answer(kAdministration, amqp_get_rpc_reply(state_), "looking for the queue " + name);
}

absl::Status Connection::DeleteQueue(const std::string& name) {
  MARQUEE_RETURN_IF_ERROR(Prepare(kAdministration));
  amqp_queue_delete(state_, kAdministration, Bytes(name), 0, 0);
  return Answer(kAdministration, amqp_get_rpc_reply(state_), "deleting the queue " + name);
}

absl::Status Connection::DeclareExchange(const std::string& name) {
  MARQUEE_RETURN_IF_ERROR(Prepare(kAdministration));
  amqp_exchange_declare(state_, kAdministration, Bytes(name), amqp_cstring_bytes("direct"), 0,
                        /*durable=*/1, 0, 0, amqp_empty_table);
  return Answer(kAdministration, amqp_get_rpc_reply(state_), "declaring the exchange " + name);
}

absl::Status Connection::CheckExchange(const std::string& name) {
  MARQUEE_RETURN_IF_ERROR(Prepare(kAdministration));
  amqp_exchange_declare(state_, kAdministration, Bytes(name), amqp_cstring_bytes("direct"),
                        /*passive=*/1, 0, 0, 0, amqp_empty_table);
  return Answer(kAdministration, amqp_get_rpc_reply(state_), "looking for the exchange " + name);
}

absl::Status Connection::DeleteExchange(const std::string& name) {
  MARQUEE_RETURN_IF_ERROR(Prepare(kAdministration));
  amqp_exchange_delete(state_, kAdministration, Bytes(name), 0);
  return Answer(kAdministration, amqp_get_rpc_reply(state_), "deleting the exchange " + name);
}

absl::Status Connection::Bind(const std::string& queue, const std::string& exchange,
                              const std::string& key) {
  MARQUEE_RETURN_IF_ERROR(Prepare(kAdministration));
  amqp_queue_bind(state_, kAdministration, Bytes(queue), Bytes(exchange), Bytes(key),
                  amqp_empty_table);
  return Answer(kAdministration, amqp_get_rpc_reply(state_), "binding the queue " + queue);
}

absl::Status Connection::SelectConfirms(Channel channel) {
  MARQUEE_RETURN_IF_ERROR(Prepare(channel));
  amqp_confirm_select(state_, channel);
  MARQUEE_RETURN_IF_ERROR(
      Answer(channel, amqp_get_rpc_reply(state_), "asking for publisher confirms"));
  confirming_[channel] = Confirms();
  return absl::OkStatus();
}

absl::Status Connection::Publish(Channel channel, const std::string& exchange,
                                 const std::string& key, std::string_view body,
                                 const PlainProperties* plain) {
  auto confirms = confirming_.find(channel);
  if (broken_ || confirms == confirming_.end()) {
    return absl::UnavailableError(fmt::format("RabbitMQ at {}: the channel is closed", node_));
  }
  MARQUEE_RETURN_IF_ERROR(PublishBody(channel, exchange, key, body, plain));
  ++confirms->second.published;
  return absl::OkStatus();
}

absl::Status Connection::Send(Channel channel, const std::string& queue, std::string_view body) {
  MARQUEE_RETURN_IF_ERROR(Prepare(channel));
  return PublishBody(channel, "", queue, body, nullptr);
}

absl::Status Connection::PublishBody(Channel channel, const std::string& exchange,
                                     const std::string& key, std::string_view body,
                                     const PlainProperties* plain) {
  amqp_basic_properties_t properties{};
  properties._flags = AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_CONTENT_TYPE_FLAG;
  properties.delivery_mode = kPersistent;
  properties.content_type = Bytes(plain == nullptr ? kPackContentType : kPlainContentType);
  std::vector<amqp_table_entry_t> headers;
  if (plain != nullptr) {
    headers = HeadersOf(*plain);
    properties._flags |= AMQP_BASIC_MESSAGE_ID_FLAG | AMQP_BASIC_HEADERS_FLAG;
    properties.message_id = Bytes(plain->message_id);
    properties.headers = Table(headers);
    if (plain->published_ms.has_value()) {
      properties._flags |= AMQP_BASIC_TIMESTAMP_FLAG;
      properties.timestamp = static_cast<uint64_t>(*plain->published_ms / 1000);
    }
  }
  int error = amqp_basic_publish(state_, channel, Bytes(exchange), Bytes(key), /*mandatory=*/1,
                                 /*immediate=*/0, &properties, Bytes(body));
  return error == AMQP_STATUS_OK ? absl::OkStatus() : Broken(error, "publishing");
}

uint64_t Connection::published(Channel channel) const {
  auto confirms = confirming_.find(channel);
  return confirms == confirming_.end() ? 0 : confirms->second.published;
}

bool Connection::has_unconfirmed(Channel channel) const {
  auto confirms = confirming_.find(channel);
  return confirms != confirming_.end() && confirms->second.confirmed < confirms->second.published;
}

namespace {

std::vector<amqp_table_entry_t> Arguments(const From& from) {
  switch (from.place) {
    case From::Place::kFirst:
      return {TextEntry("x-stream-offset", "first")};
    case From::Place::kLast:
      return {TextEntry("x-stream-offset", "last")};
    case From::Place::kNext:
      return {TextEntry("x-stream-offset", "next")};
    default:
      return {NumberEntry("x-stream-offset", from.offset)};
  }
}

}  // namespace

absl::Status Connection::SetPrefetch(Channel channel, int messages) {
  int& set = prefetch_[channel];
  if (set == messages) return absl::OkStatus();
  amqp_basic_qos(state_, channel, 0, static_cast<uint16_t>(messages), /*global=*/0);
  set = messages;
  return Answer(channel, amqp_get_rpc_reply(state_), "setting the prefetch");
}

absl::Status Connection::ConsumeSoon(Channel channel, const std::string& stream,
                                     const std::string& consumer, const From& from,
                                     int prefetch_messages) {
  MARQUEE_RETURN_IF_ERROR(Prepare(channel));
  MARQUEE_RETURN_IF_ERROR(SetPrefetch(channel, prefetch_messages));
  std::vector<amqp_table_entry_t> arguments = Arguments(from);
  amqp_basic_consume_t consume{};
  consume.queue = Bytes(stream);
  consume.consumer_tag = Bytes(consumer);
  consume.nowait = 1;
  consume.arguments = Table(arguments);
  int error = amqp_send_method(state_, channel, AMQP_BASIC_CONSUME_METHOD, &consume);
  return error == AMQP_STATUS_OK ? absl::OkStatus() : Broken(error, "reading the stream " + stream);
}

absl::Status Connection::CancelSoon(Channel channel, const std::string& consumer) {
  if (!broken_ && !open_.contains(channel)) return absl::OkStatus();
  MARQUEE_RETURN_IF_ERROR(Prepare(channel));
  amqp_basic_cancel_t cancel{};
  cancel.consumer_tag = Bytes(consumer);
  cancel.nowait = 1;
  int error = amqp_send_method(state_, channel, AMQP_BASIC_CANCEL_METHOD, &cancel);
  return error == AMQP_STATUS_OK ? absl::OkStatus() : Broken(error, "ending a consumer");
}

absl::Status Connection::Consume(Channel channel, const std::string& stream,
                                 const std::string& consumer, const From& from,
                                 int prefetch_messages) {
  MARQUEE_RETURN_IF_ERROR(Prepare(channel));
  MARQUEE_RETURN_IF_ERROR(SetPrefetch(channel, prefetch_messages));
  std::vector<amqp_table_entry_t> arguments = Arguments(from);
  amqp_basic_consume(state_, channel, Bytes(stream), Bytes(consumer), 0, /*no_ack=*/0, 0,
                     Table(arguments));
  return Answer(channel, amqp_get_rpc_reply(state_), "reading the stream " + stream);
}

absl::Status Connection::Cancel(Channel channel, const std::string& consumer) {
  if (!broken_ && !open_.contains(channel)) return absl::OkStatus();
  MARQUEE_RETURN_IF_ERROR(Prepare(channel));
  amqp_basic_cancel(state_, channel, Bytes(consumer));
  return Answer(channel, amqp_get_rpc_reply(state_), "ending a consumer");
}

absl::Status Connection::Acknowledge(Channel channel, uint64_t tag, bool multiple) {
  if (!broken_ && !open_.contains(channel)) return absl::OkStatus();
  MARQUEE_RETURN_IF_ERROR(Prepare(channel));
  int error = amqp_basic_ack(state_, channel, tag, multiple ? 1 : 0);
  return error == AMQP_STATUS_OK ? absl::OkStatus() : Broken(error, "acknowledging");
}

absl::Status Connection::CloseChannel(Channel channel) {
  if (broken_ || !open_.contains(channel)) return absl::OkStatus();
  MARQUEE_RETURN_IF_ERROR(Prepare(channel));
  amqp_rpc_reply_t reply = amqp_channel_close(state_, channel, AMQP_REPLY_SUCCESS);
  Forget(channel);
  return Answer(channel, reply, "closing a channel");
}

absl::Status Connection::NextFrame(absl::Duration timeout, amqp_frame_t* frame, bool* any) {
  timeval tv = Timeout(timeout);
  int error = amqp_simple_wait_frame_noblock(state_, frame, &tv);
  *any = error == AMQP_STATUS_OK;
  if (error == AMQP_STATUS_OK || error == AMQP_STATUS_TIMEOUT) return absl::OkStatus();
  return Broken(error, "waiting for the broker");
}

absl::Status Connection::ReadContent(Event* event) {
  amqp_frame_t frame;
  bool any = false;
  MARQUEE_RETURN_IF_ERROR(NextFrame(kContentTimeout, &frame, &any));
  if (!any || frame.frame_type != AMQP_FRAME_HEADER || frame.channel != event->channel) {
    return Broken(any ? AMQP_STATUS_BAD_AMQP_DATA : AMQP_STATUS_TIMEOUT, "reading a message");
  }
  const auto& properties =
      *static_cast<const amqp_basic_properties_t*>(frame.payload.properties.decoded);
  event->stream_offset = StreamOffsetOf(properties);
  std::optional<PlainProperties> plain = PlainOf(properties);
  size_t size = frame.payload.properties.body_size;
  event->body.reserve(size);
  while (event->body.size() < size) {
    MARQUEE_RETURN_IF_ERROR(NextFrame(kContentTimeout, &frame, &any));
    if (!any || frame.frame_type != AMQP_FRAME_BODY || frame.channel != event->channel) {
      return Broken(any ? AMQP_STATUS_BAD_AMQP_DATA : AMQP_STATUS_TIMEOUT, "reading a message");
    }
    const amqp_bytes_t& part = frame.payload.body_fragment;
    event->body.append(static_cast<const char*>(part.bytes), part.len);
  }
  if (plain.has_value() && event->kind == Event::Kind::kDelivery) {
    event->body = FromPlain(*plain, event->body, event->stream_offset,
                            absl::ToUnixMillis(SystemClock().Now()), compressor_);
  }
  return absl::OkStatus();
}

absl::Status Connection::Take(const amqp_frame_t& frame, Event* event) {
  event->channel = frame.channel;
  switch (frame.payload.method.id) {
    case AMQP_BASIC_DELIVER_METHOD: {
      const auto& deliver = Decoded<amqp_basic_deliver_t>(frame);
      event->kind = Event::Kind::kDelivery;
      event->tag = deliver.delivery_tag;
      event->consumer = Text(deliver.consumer_tag);
      MARQUEE_RETURN_IF_ERROR(ReadContent(event));
      if (IsOfClosed(*event)) event->kind = Event::Kind::kOther;
      return absl::OkStatus();
    }
    case AMQP_BASIC_RETURN_METHOD:
      event->kind = Event::Kind::kReturned;
      event->text = Text(Decoded<amqp_basic_return_t>(frame).reply_text);
      return ReadContent(event);
    case AMQP_BASIC_ACK_METHOD:
      event->kind = Event::Kind::kConfirmed;
      event->tag = Decoded<amqp_basic_ack_t>(frame).delivery_tag;
      if (auto confirms = confirming_.find(frame.channel); confirms != confirming_.end()) {
        confirms->second.confirmed = std::max(confirms->second.confirmed, event->tag);
      }
      event->multiple = Decoded<amqp_basic_ack_t>(frame).multiple != 0;
      return absl::OkStatus();
    case AMQP_BASIC_NACK_METHOD:
      event->kind = Event::Kind::kRefused;
      event->tag = Decoded<amqp_basic_nack_t>(frame).delivery_tag;
      event->multiple = Decoded<amqp_basic_nack_t>(frame).multiple != 0;
      return absl::OkStatus();
    case AMQP_BASIC_CANCEL_METHOD:
      event->kind = Event::Kind::kCancelled;
      event->consumer = Text(Decoded<amqp_basic_cancel_t>(frame).consumer_tag);
      return absl::OkStatus();
    case AMQP_CONNECTION_BLOCKED_METHOD:
      blocked_ = Text(Decoded<amqp_connection_blocked_t>(frame).reason);
      if (blocked_.empty()) blocked_ = "no reason given";
      return absl::OkStatus();
    case AMQP_CONNECTION_UNBLOCKED_METHOD:
      blocked_.clear();
      return absl::OkStatus();
    case AMQP_CHANNEL_CLOSE_METHOD:
      event->kind = Event::Kind::kChannelClosed;
      event->text = Text(Decoded<amqp_channel_close_t>(frame).reply_text);
      event->why = FromBroker(Decoded<amqp_channel_close_t>(frame).reply_code, event->text,
                              fmt::format("RabbitMQ at {}", node_));
      ChannelIsClosed(frame.channel);
      return absl::OkStatus();
    case AMQP_CONNECTION_CLOSE_METHOD: {
      const auto& close = Decoded<amqp_connection_close_t>(frame);
      broken_ = true;
      return FromBroker(close.reply_code, Text(close.reply_text),
                        fmt::format("RabbitMQ at {} closed the connection", node_));
    }
    default:
      return absl::OkStatus();
  }
}

absl::StatusOr<Event> Connection::NextEvent(absl::Duration timeout) {
  if (broken_) return absl::UnavailableError(fmt::format("RabbitMQ at {}: broken", node_));
  Event event;
  amqp_frame_t frame;
  bool any = false;
  amqp_maybe_release_buffers(state_);
  MARQUEE_RETURN_IF_ERROR(NextFrame(timeout, &frame, &any));
  if (!any || frame.frame_type != AMQP_FRAME_METHOD) return event;
  event.kind = Event::Kind::kOther;
  MARQUEE_RETURN_IF_ERROR(Take(frame, &event));
  return event;
}

absl::StatusOr<Event> Connection::Wait(absl::Duration timeout) {
  if (kept_.empty()) return NextEvent(timeout);
  Event event = std::move(kept_.front());
  kept_.pop_front();
  return event;
}

absl::StatusOr<Event> Connection::WaitOn(Channel channel, absl::Duration timeout) {
  auto kept = std::find_if(kept_.begin(), kept_.end(),
                           [&](const Event& event) { return event.channel == channel; });
  if (kept != kept_.end()) {
    Event event = std::move(*kept);
    kept_.erase(kept);
    return event;
  }
  SystemClock clock;
  absl::Duration until = clock.Uptime() + timeout;
  while (true) {
    absl::Duration left = timeout == absl::ZeroDuration() ? timeout : until - clock.Uptime();
    MARQUEE_ASSIGN_OR_RETURN(Event event, NextEvent(left));
    if (event.kind == Event::Kind::kNone || event.channel == channel) return event;
    if (event.channel != 0) kept_.push_back(std::move(event));
  }
}

}  // namespace marquee::messaging::rabbitmq
