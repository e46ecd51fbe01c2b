#include "domain/dead_letter.h"

#include "base/status.h"
#include "domain/message.h"
#include "domain/text.h"
#include "domain/utf8.h"
#include "marquee/v1/dead_letter.pb.h"

namespace marquee::domain {
namespace {

void SetOrigin(const DeadLetter& letter, v1::DeadLetter* message) {
  MARQUEE_CHECK(letter.message.has_value() != letter.row.has_value());
  if (letter.message.has_value()) {
    auto* origin = message->mutable_message();
    origin->set_topic(letter.message->topic);
    origin->set_topic_identity(letter.message->topic_identity);
    origin->set_shard(letter.message->shard);
    origin->set_offset(letter.message->offset.value());
  } else {
    auto* origin = message->mutable_row();
    origin->set_source(letter.row->source);
    origin->set_incarnation(letter.row->incarnation.value());
    origin->set_row(letter.row->row);
  }
}

absl::Status ReadOrigin(const v1::DeadLetter& message, DeadLetter* letter) {
  switch (message.origin_case()) {
    case v1::DeadLetter::kMessage:
      letter->message = {.topic = message.message().topic(),
                         .topic_identity = message.message().topic_identity(),
                         .shard = message.message().shard(),
                         .offset = LogOffset(message.message().offset())};
      return absl::OkStatus();
    case v1::DeadLetter::kRow:
      letter->row = {.source = message.row().source(),
                     .incarnation = Incarnation(message.row().incarnation()),
                     .row = message.row().row()};
      return absl::OkStatus();
    case v1::DeadLetter::ORIGIN_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("a dead letter without an origin; expected a message or a row");
}

}  // namespace

std::string DeadLetterKey(const DeadLetter& letter) {
  MARQUEE_CHECK(letter.message.has_value() != letter.row.has_value());
  if (letter.message.has_value()) {
    const DeadLetter::Message& origin = *letter.message;
    return Concat(origin.topic, "/", origin.topic_identity, "/", origin.shard, "/",
                  origin.offset.value());
  }
  return Concat("row/", letter.row->source, "/", letter.row->incarnation.value(), "/",
                letter.row->row);
}

std::string EncodeDeadLetter(const DeadLetter& letter) {
  v1::DeadLetter message;
  SetOrigin(letter, &message);
  message.set_key(letter.key);
  if (letter.value.has_value()) message.set_value(letter.value->substr(0, kDeadLetterBytesMax));
  message.set_error(ToValidUtf8(letter.error));
  message.set_attempts(letter.attempts);
  message.set_first_seen_ms(absl::ToUnixMillis(letter.first_seen));
  message.set_last_seen_ms(absl::ToUnixMillis(letter.last_seen));
  message.set_service(letter.service);
  message.set_version(letter.version);
  return message.SerializeAsString();
}

absl::StatusOr<DeadLetter> DecodeDeadLetter(std::string_view bytes) {
  v1::DeadLetter message;
  MARQUEE_RETURN_IF_ERROR(ReadMessageFrom(bytes, &message));
  DeadLetter letter;
  MARQUEE_RETURN_IF_ERROR(ReadOrigin(message, &letter));
  letter.key = std::move(*message.mutable_key());
  if (message.has_value()) letter.value = std::move(*message.mutable_value());
  letter.error = std::move(*message.mutable_error());
  letter.attempts = message.attempts();
  letter.first_seen = absl::FromUnixMillis(message.first_seen_ms());
  letter.last_seen = absl::FromUnixMillis(message.last_seen_ms());
  letter.service = std::move(*message.mutable_service());
  letter.version = std::move(*message.mutable_version());
  return letter;
}

}  // namespace marquee::domain
