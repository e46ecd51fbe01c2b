// What could not be counted, as a record of `<topic>.dlq`: the message as it came, where it came
// from and why.
//
// The topic is an entity topic and the record's key names the origin, so that the same dead letter
// published again (after a crash, by a twin, by a zombie) is still one. The key that the message
// had is kept beside it.
#ifndef MARQUEE_DOMAIN_DEAD_LETTER_H_
#define MARQUEE_DOMAIN_DEAD_LETTER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "domain/ids.h"

namespace marquee::domain {

struct DeadLetter {
  // Exactly one of the two origins.
  struct Message {
    std::string topic;
    std::string topic_identity;
    uint32_t shard = 0;
    LogOffset offset;
    friend bool operator==(const Message&, const Message&) = default;
  };
  struct Row {
    std::string source;
    Incarnation incarnation;
    uint64_t row = 0;  // line number in the input, from 1
    friend bool operator==(const Row&, const Row&) = default;
  };
  std::optional<Message> message;
  std::optional<Row> row;

  std::string key;  // of the message; empty for a row
  std::optional<std::string>
      value;          // the message's bytes, or the row's text (cut at kDeadLetterBytesMax)
  std::string error;  // one sentence
  uint32_t attempts = 1;
  absl::Time first_seen;
  absl::Time last_seen;
  std::string service;
  std::string version;
  friend bool operator==(const DeadLetter&, const DeadLetter&) = default;
};

inline constexpr size_t kDeadLetterBytesMax = 256 << 10;

// "TOPIC/IDENTITY/SHARD/OFFSET" or "row/SOURCE/INCARNATION/ROW".
std::string DeadLetterKey(const DeadLetter& letter);
std::string EncodeDeadLetter(const DeadLetter& letter);  // message marquee.v1.DeadLetter
absl::StatusOr<DeadLetter> DecodeDeadLetter(std::string_view bytes);

}  // namespace marquee::domain

#endif  // MARQUEE_DOMAIN_DEAD_LETTER_H_
