// Owners of what librdkafka hands out: each frees what it holds.
#ifndef MARQUEE_MESSAGING_KAFKA_HANDLE_H_
#define MARQUEE_MESSAGING_KAFKA_HANDLE_H_

#include <memory>

#include "librdkafka/rdkafka.h"

namespace marquee::messaging::kafka {

template <auto Free>
struct Freed {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};

using ConfPtr = std::unique_ptr<rd_kafka_conf_t, Freed<rd_kafka_conf_destroy>>;
using TopicPtr = std::unique_ptr<rd_kafka_topic_t, Freed<rd_kafka_topic_destroy>>;
using QueuePtr = std::unique_ptr<rd_kafka_queue_t, Freed<rd_kafka_queue_destroy>>;
using EventPtr = std::unique_ptr<rd_kafka_event_t, Freed<rd_kafka_event_destroy>>;
using ErrorPtr = std::unique_ptr<rd_kafka_error_t, Freed<rd_kafka_error_destroy>>;
using PartitionsPtr =
    std::unique_ptr<rd_kafka_topic_partition_list_t, Freed<rd_kafka_topic_partition_list_destroy>>;
using OptionsPtr = std::unique_ptr<rd_kafka_AdminOptions_t, Freed<rd_kafka_AdminOptions_destroy>>;

}  // namespace marquee::messaging::kafka

#endif  // MARQUEE_MESSAGING_KAFKA_HANDLE_H_
