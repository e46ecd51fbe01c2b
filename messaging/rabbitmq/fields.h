// AMQP's values, tables and properties as rabbitmq-c has them. Of connection.cc alone: no other
// code knows these types.
//
// Nothing here owns the text that it points to.
#ifndef MARQUEE_MESSAGING_RABBITMQ_FIELDS_H_
#define MARQUEE_MESSAGING_RABBITMQ_FIELDS_H_

#if __has_include(<rabbitmq-c/amqp.h>)
#include <rabbitmq-c/amqp.h>
#else
#include <amqp.h>
#endif

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "messaging/rabbitmq/plain.h"

namespace marquee::messaging::rabbitmq {

amqp_bytes_t Bytes(std::string_view text);
std::string Text(const amqp_bytes_t& bytes);

amqp_table_entry_t TextEntry(const char* key, std::string_view value);
amqp_table_entry_t NumberEntry(const char* key, int64_t value);
amqp_table_entry_t FlagEntry(const char* key);
amqp_table_t Table(std::vector<amqp_table_entry_t>& entries);

// Of a message that a stream delivered; -1: none.
int64_t StreamOffsetOf(const amqp_basic_properties_t& properties);

// What the properties say of the record. None: it is a message of ours.
std::optional<PlainProperties> PlainOf(const amqp_basic_properties_t& properties);

// The headers that say the rest; they point into `plain`.
std::vector<amqp_table_entry_t> HeadersOf(const PlainProperties& plain);

}  // namespace marquee::messaging::rabbitmq

#endif  // MARQUEE_MESSAGING_RABBITMQ_FIELDS_H_
