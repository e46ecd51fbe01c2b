// A message of one record that a program in any language can write and read: its body is the value,
// and what else there is of the record stands in AMQP's own properties. `amqp.pack=off` publishes
// such messages; every reader takes them beside packs. docs/rabbitmq-interoperation.md has
// programs.
//
//   content type           any but that of a pack
//   message id             names what was published: 16 hexadecimal digits of the publisher's
//   nonce,
//                          '-', 16 of the sequence; or any text. May be left out
//   timestamp              published time in seconds since 1970; without it that of reading
//   header marquee-key     the key
//   header marquee-time-ms the published time in milliseconds
//   header marquee-deleted true: no value, which deletes the key
//   other headers          the record's, but for those that begin with "x-", which are RabbitMQ's
//
// Values and pure functions.
#ifndef MARQUEE_MESSAGING_RABBITMQ_PLAIN_H_
#define MARQUEE_MESSAGING_RABBITMQ_PLAIN_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "messaging/pack.h"
#include "messaging/rabbitmq/message.h"
#include "messaging/record.h"

namespace marquee::messaging::rabbitmq {

inline constexpr std::string_view kPackContentType = "application/vnd.marquee.pack";
inline constexpr std::string_view kPlainContentType = "application/octet-stream";
inline constexpr const char* kKeyHeader = "marquee-key";
inline constexpr const char* kTimeHeader = "marquee-time-ms";
inline constexpr const char* kDeletedHeader = "marquee-deleted";
inline constexpr std::string_view kTooLargeHeader = "marquee-too-large";

// What stands in the properties.
struct PlainProperties {
  std::string message_id;  // empty: none
  std::string key;
  std::optional<int64_t> published_ms;
  bool deleted = false;
  std::vector<std::pair<std::string, std::string>> headers;
};

// The properties of a record that has this head. None: AMQP's properties cannot hold it exactly (a
// key or header of other than printable ASCII, a header that comes twice or has a name of ours or
// RabbitMQ's, over 32 KiB of headers); it has to be a pack.
std::optional<PlainProperties> ToPlain(const Head& head, const Record& record);

// The same record as a message of ours: a head, and a pack of one. One without an id has nonce 0
// and its place in the stream. Of one beyond the limits of a record (kKeyBytesMax,
// kMessageBytesMax), as others may publish it, the beginning of its key is left, and a header
// kTooLargeHeader with its size.
std::string FromPlain(const PlainProperties& properties, std::string_view body,
                      int64_t stream_offset, int64_t now_ms, PackCompressor& compressor);

}  // namespace marquee::messaging::rabbitmq

#endif  // MARQUEE_MESSAGING_RABBITMQ_PLAIN_H_
