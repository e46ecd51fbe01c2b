// What rabbitmq-c alone does with the messages of streams, beside which script/bench --broker amqp
// sets ours:
//
//   amqp_raw_bench produce URL COUNT TO STREAM…   the messages of the streams, until they hold
//   COUNT
//                                                 ratings, into as many new streams TO.0, TO.1, …:
//                                                 persistent, mandatory, confirmed
//   amqp_raw_bench consume URL COUNT STREAM…      reads so many ratings, and acknowledges each
//                                                 message
//   amqp_raw_bench latency URL TO STREAMS SECONDS RATE
//                                                 publishes RATE messages a second to new streams
//                                                 and reads them in another thread: from when each
//                                                 was due until it is read; the first second is not
//                                                 counted
//   amqp_raw_bench delete URL TO STREAMS          what the others have made
//
// URL names one node: amqp://USER:PASSWORD@HOST:PORT/VHOST. What the first two did is counted in
// messages, ratings and bytes.
#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "bench/latency.h"
#include "bench/measure.h"
#include "messaging/rabbitmq/message.h"

namespace marquee::bench {
namespace {

constexpr amqp_channel_t kChannel = 1;
constexpr int kFrameBytesMax = 131'072;
constexpr int64_t kTimeoutS = 60;
// As the backend has them.
constexpr int kPrefetchMessages = 32;
constexpr int64_t kSegmentBytes = 64 << 20;
// In flight, until the broker confirms it.
constexpr size_t kWindowMessages = 2'000;
constexpr size_t kWindowBytes = size_t{32} << 20;

amqp_bytes_t Bytes(std::string_view text) { return {text.size(), const_cast<char*>(text.data())}; }

std::string_view View(const amqp_bytes_t& bytes) {
  return {static_cast<const char*>(bytes.bytes), bytes.len};
}

void Check(int error, std::string_view what) {
  if (error != AMQP_STATUS_OK) Fail(fmt::format("{}: {}", what, amqp_error_string2(error)));
}

void Check(const amqp_rpc_reply_t& reply, std::string_view what) {
  if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION) Check(reply.library_error, what);
  if (reply.reply_type == AMQP_RESPONSE_NORMAL) return;
  std::string_view why;
  if (reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD)
    why = View(static_cast<amqp_channel_close_t*>(reply.reply.decoded)->reply_text);
  if (reply.reply.id == AMQP_CONNECTION_CLOSE_METHOD)
    why = View(static_cast<amqp_connection_close_t*>(reply.reply.decoded)->reply_text);
  Fail(fmt::format("{}: the broker answers: {}", what, why));
}

// How many ratings a message of ours holds: it is a pack of them, or one.
int64_t RatingsOf(std::string_view body) {
  namespace rabbitmq = messaging::rabbitmq;
  auto head = rabbitmq::ReadHead(body);
  if (!head.ok()) return 1;
  if (head->kind != rabbitmq::Kind::kPack) return 0;
  uint32_t records = 0;
  std::memcpy(&records, rabbitmq::PayloadOf(body).data() + 8, sizeof(records));  // messaging/pack.h
  return records;
}

// A connection with one channel.
class Link {
 public:
  explicit Link(std::string url) : state_(amqp_new_connection()) {
    amqp_connection_info info;
    amqp_default_connection_info(&info);
    Check(amqp_parse_url(url.data(), &info), "the URL");
    amqp_socket_t* socket = amqp_tcp_socket_new(state_);
    Check(amqp_socket_open(socket, info.host, info.port), "connecting");
    fd_ = amqp_socket_get_sockfd(socket);
    int on = 1;
    (void)setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    Check(amqp_login(state_, info.vhost, 0, kFrameBytesMax, 0, AMQP_SASL_METHOD_PLAIN, info.user,
                     info.password),
          "logging in");
    amqp_channel_open(state_, kChannel);
    Check(amqp_get_rpc_reply(state_), "opening a channel");
  }
  ~Link() {
    amqp_connection_close(state_, AMQP_REPLY_SUCCESS);
    amqp_destroy_connection(state_);
  }
  Link(const Link&) = delete;

  void MakeStream(const std::string& name) {
    amqp_table_entry_t arguments[2] = {};
    arguments[0].key = amqp_cstring_bytes("x-queue-type");
    arguments[0].value.kind = AMQP_FIELD_KIND_UTF8;
    arguments[0].value.value.bytes = amqp_cstring_bytes("stream");
    arguments[1].key = amqp_cstring_bytes("x-stream-max-segment-size-bytes");
    arguments[1].value.kind = AMQP_FIELD_KIND_I64;
    arguments[1].value.value.i64 = kSegmentBytes;
    amqp_queue_declare(state_, kChannel, Bytes(name), 0, /*durable=*/1, 0, 0, {2, arguments});
    Check(amqp_get_rpc_reply(state_), "declaring " + name);
  }

  void DeleteStream(const std::string& name) {
    amqp_queue_delete(state_, kChannel, Bytes(name), 0, 0);
    Check(amqp_get_rpc_reply(state_), "deleting " + name);
  }

  // `place`: "first" or "next".
  void Consume(const std::string& stream, const char* place) {
    amqp_basic_qos(state_, kChannel, 0, kPrefetchMessages, 0);
    Check(amqp_get_rpc_reply(state_), "setting the prefetch");
    amqp_table_entry_t from{};
    from.key = amqp_cstring_bytes("x-stream-offset");
    from.value.kind = AMQP_FIELD_KIND_UTF8;
    from.value.value.bytes = amqp_cstring_bytes(place);
    amqp_basic_consume(state_, kChannel, Bytes(stream), Bytes(stream), 0, /*no_ack=*/0, 0,
                       {1, &from});
    Check(amqp_get_rpc_reply(state_), "reading " + stream);
  }

  // Hands each message to `take`, with its stream, until it returns false.
  template <typename Take>
  void Read(Take take) {
    for (bool more = true; more;) {
      timeval timeout{.tv_sec = kTimeoutS, .tv_usec = 0};
      amqp_envelope_t envelope;
      amqp_maybe_release_buffers(state_);
      Check(amqp_consume_message(state_, &envelope, &timeout, 0), "waiting for a message");
      more = take(View(envelope.consumer_tag), envelope.message);
      Check(amqp_basic_ack(state_, kChannel, envelope.delivery_tag, 0), "acknowledging");
      amqp_destroy_envelope(&envelope);
    }
  }

  void SelectConfirms() {
    amqp_confirm_select(state_, kChannel);
    Check(amqp_get_rpc_reply(state_), "asking for confirms");
  }

  void Publish(const std::string& stream, std::string_view body,
               const amqp_basic_properties_t& properties) {
    Check(amqp_basic_publish(state_, kChannel, amqp_empty_bytes, Bytes(stream), /*mandatory=*/1, 0,
                             &properties, Bytes(body)),
          "publishing");
    sent_.push_back({body.size(), false});
    sent_bytes_ += body.size();
    TakeConfirms(0);
    while (sent_.size() >= kWindowMessages || sent_bytes_ >= kWindowBytes) {
      TakeConfirms(kTimeoutS * 1'000'000'000);
    }
  }

  void AwaitAllConfirms() {
    while (!sent_.empty()) TakeConfirms(kTimeoutS * 1'000'000'000);
  }

  // Those that have come; waits for the first for so long, at the most.
  void TakeConfirms(int64_t wait_ns) {
    amqp_maybe_release_buffers(state_);
    while (true) {
      timeval timeout{.tv_sec = wait_ns / 1'000'000'000,
                      .tv_usec = wait_ns % 1'000'000'000 / 1'000};
      amqp_frame_t frame;
      int error = amqp_simple_wait_frame_noblock(state_, &frame, &timeout);
      if (error == AMQP_STATUS_TIMEOUT) return;
      Check(error, "waiting for a confirm");
      wait_ns = 0;
      if (frame.frame_type != AMQP_FRAME_METHOD) continue;
      if (frame.payload.method.id != AMQP_BASIC_ACK_METHOD)
        Fail("the broker did not store a message");
      const auto& ack = *static_cast<amqp_basic_ack_t*>(frame.payload.method.decoded);
      Confirm(ack.delivery_tag, ack.multiple != 0);
    }
  }

 private:
  struct Sent {
    size_t bytes;
    bool confirmed;
  };

  void Confirm(uint64_t tag, bool multiple) {
    if (tag < first_) return;
    size_t at = tag - first_;
    for (size_t i = multiple ? 0 : at; i <= at; ++i) sent_[i].confirmed = true;
    while (!sent_.empty() && sent_.front().confirmed) {
      sent_bytes_ -= sent_.front().bytes;
      sent_.pop_front();
      ++first_;
    }
  }

  amqp_connection_state_t state_;
  int fd_ = -1;
  std::deque<Sent> sent_;
  uint64_t first_ = 1;  // the tag of the first of them
  size_t sent_bytes_ = 0;
};

std::string StreamOf(std::string_view to, int64_t number) {
  return fmt::format("{}.{}", to, number);
}

// What was read or published.
struct Counted {
  int64_t messages = 0;
  int64_t ratings = 0;
  int64_t bytes = 0;

  void Add(std::string_view body) {
    ++messages;
    ratings += RatingsOf(body);
    bytes += static_cast<int64_t>(body.size());
  }
  void Print(int64_t begin_ns) const {
    fmt::print("{{\"seconds\":{:.6f},\"messages\":{},\"ratings\":{},\"bytes\":{}}}\n",
               static_cast<double>(NowNs() - begin_ns) / 1e9, messages, ratings, bytes);
  }
};

struct Copy {
  size_t stream;
  std::string body;
  amqp_basic_properties_t* properties;
};

// In `pool`, without the headers that the broker adds.
amqp_basic_properties_t* CopyOf(amqp_basic_properties_t properties, amqp_pool_t* pool) {
  amqp_table_t& headers = properties.headers;
  auto end = std::remove_if(
      headers.entries, headers.entries + headers.num_entries,
      [](const amqp_table_entry_t& entry) { return View(entry.key).starts_with("x-"); });
  headers.num_entries = static_cast<int>(end - headers.entries);
  if (headers.num_entries == 0) properties._flags &= ~unsigned{AMQP_BASIC_HEADERS_FLAG};
  char encoded[kFrameBytesMax];
  int bytes = amqp_encode_properties(AMQP_BASIC_CLASS, &properties, {sizeof(encoded), encoded});
  if (bytes < 0) Check(bytes, "copying properties");
  amqp_bytes_t kept{};
  amqp_pool_alloc_bytes(pool, static_cast<size_t>(bytes), &kept);
  std::memcpy(kept.bytes, encoded, kept.len);
  void* decoded = nullptr;
  Check(amqp_decode_properties(AMQP_BASIC_CLASS, pool, kept, &decoded), "copying properties");
  return static_cast<amqp_basic_properties_t*>(decoded);
}

// In the order in which they came; the properties are in `pool`.
std::vector<Copy> ReadCopies(Link& link, const std::vector<std::string>& streams, int64_t count,
                             amqp_pool_t* pool) {
  for (const std::string& stream : streams) link.Consume(stream, "first");
  std::vector<Copy> copies;
  int64_t ratings = 0;
  link.Read([&](std::string_view stream, amqp_message_t& message) {
    auto at = std::find(streams.begin(), streams.end(), stream) - streams.begin();
    copies.push_back({static_cast<size_t>(at), std::string(View(message.body)),
                      CopyOf(message.properties, pool)});
    return (ratings += RatingsOf(copies.back().body)) < count;
  });
  return copies;
}

void BenchProduce(const std::string& url, int64_t count, const std::string& to,
                  const std::vector<std::string>& streams) {
  amqp_pool_t pool;
  init_amqp_pool(&pool, 1 << 20);
  std::vector<Copy> copies;
  {
    Link reading(url);
    copies = ReadCopies(reading, streams, count, &pool);
  }
  Link link(url);
  std::vector<std::string> names;
  for (size_t i = 0; i < streams.size(); ++i) {
    names.push_back(StreamOf(to, static_cast<int64_t>(i)));
    link.MakeStream(names.back());
  }
  link.SelectConfirms();
  Counted counted;
  int64_t begin_ns = NowNs();
  for (const Copy& copy : copies) link.Publish(names[copy.stream], copy.body, *copy.properties);
  link.AwaitAllConfirms();
  int64_t took_ns = NowNs() - begin_ns;
  for (const Copy& copy : copies) counted.Add(copy.body);
  counted.Print(NowNs() - took_ns);
  empty_amqp_pool(&pool);
}

void BenchConsume(const std::string& url, int64_t count, const std::vector<std::string>& streams) {
  int64_t begin_ns = NowNs();
  Link link(url);
  for (const std::string& stream : streams) link.Consume(stream, "first");
  Counted counted;
  link.Read([&](std::string_view, const amqp_message_t& message) {
    counted.Add(View(message.body));
    return counted.ratings < count;
  });
  counted.Print(begin_ns);
}

void BenchLatency(const std::string& url, const std::string& to, int64_t streams, int64_t seconds,
                  int64_t rate) {
  LatencyTrial trial(seconds, rate);
  Link publisher(url);
  Link consumer(url);
  for (int64_t i = 0; i < streams; ++i) {
    publisher.MakeStream(StreamOf(to, i));
    consumer.Consume(StreamOf(to, i), "next");
  }
  publisher.SelectConfirms();
  std::thread reading([&] {
    consumer.Read([&](std::string_view, const amqp_message_t& message) {
      return trial.Take(View(message.body));
    });
  });
  amqp_basic_properties_t properties{};
  properties._flags = AMQP_BASIC_DELIVERY_MODE_FLAG;
  properties.delivery_mode = 2;
  trial.Publish(
      [&](int64_t number, std::string_view value) {
        publisher.Publish(StreamOf(to, std::abs(number) % streams), value, properties);
      },
      [&](int64_t ns) { publisher.TakeConfirms(ns); });
  publisher.AwaitAllConfirms();
  reading.join();
  trial.Print();
}

void Delete(const std::string& url, const std::string& to, int64_t streams) {
  Link link(url);
  for (int64_t i = 0; i < streams; ++i) link.DeleteStream(StreamOf(to, i));
}

}  // namespace
}  // namespace marquee::bench

int main(int argc, char** argv) {
  using namespace marquee::bench;  // NOLINT: a program, not a header
  std::string_view what = argc > 1 ? argv[1] : "";
  constexpr int64_t kCountMax = 100'000'000;
  constexpr int64_t kStreamsMax = 1024;
  auto streams = [&](int from) { return std::vector<std::string>(argv + from, argv + argc); };
  if (what == "produce" && argc >= 6) {
    BenchProduce(argv[2], NumberArgument("COUNT", argv[3], 1, kCountMax), argv[4], streams(5));
  } else if (what == "consume" && argc >= 5) {
    BenchConsume(argv[2], NumberArgument("COUNT", argv[3], 1, kCountMax), streams(4));
  } else if (what == "latency" && argc == 7) {
    BenchLatency(argv[2], argv[3], NumberArgument("STREAMS", argv[4], 1, kStreamsMax),
                 NumberArgument("SECONDS", argv[5], 1, 3600),
                 NumberArgument("RATE", argv[6], 1, 1'000'000));
  } else if (what == "delete" && argc == 5) {
    Delete(argv[2], argv[3], NumberArgument("STREAMS", argv[4], 1, kStreamsMax));
  } else {
    Fail("usage: amqp_raw_bench produce|consume|latency|delete URL …, as its first lines say");
  }
}
