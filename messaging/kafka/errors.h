// librdkafka's errors as statuses: the code says what to do, the message what to look at.
#ifndef MARQUEE_MESSAGING_KAFKA_ERRORS_H_
#define MARQUEE_MESSAGING_KAFKA_ERRORS_H_

#include <string_view>

#include "absl/status/status.h"
#include "librdkafka/rdkafka.h"

namespace marquee::messaging::kafka {

// May pass by itself: a broker is away, a leader or coordinator is being elected.
bool IsTransient(rd_kafka_resp_err_t error);

// "what: reason; what to do". `detail` is librdkafka's own text, where it has one.
absl::Status StatusOf(rd_kafka_resp_err_t error, std::string_view what,
                      std::string_view detail = "");

// Whether a client's error is for good, so that waiting is of no use: the broker has refused the
// log-in, a right or the group's settings, or a certificate was refused. A connection that broke
// amid a handshake is not.
bool IsRefusal(rd_kafka_resp_err_t error, std::string_view text);

}  // namespace marquee::messaging::kafka

#endif  // MARQUEE_MESSAGING_KAFKA_ERRORS_H_
