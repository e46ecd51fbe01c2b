// The topics of a directory, each opened once for the whole broker.
//
// Threads: any; it locks.
#ifndef MARQUEE_MESSAGING_SQLITE_TOPIC_DIRECTORY_H_
#define MARQUEE_MESSAGING_SQLITE_TOPIC_DIRECTORY_H_

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "messaging/broker.h"
#include "messaging/sqlite/store.h"
#include "messaging/sqlite/topic_file.h"
#include "messaging/sqlite/topic_index.h"

namespace marquee::messaging {

class TopicDirectory {
 public:
  static absl::StatusOr<std::unique_ptr<TopicDirectory>> Open(const Store& store);

  // As Broker has them.
  absl::StatusOr<std::shared_ptr<TopicFile>> Declare(const TopicSpec& spec);
  absl::StatusOr<std::shared_ptr<TopicFile>> Find(std::string_view topic);
  absl::StatusOr<std::vector<std::shared_ptr<TopicFile>>> All();
  absl::Status Delete(std::string_view topic);

 private:
  TopicDirectory(const Store& store, std::unique_ptr<TopicIndex> index)
      : store_(store), index_(std::move(index)) {}
  absl::StatusOr<std::shared_ptr<TopicFile>> Opened(const std::string& topic,
                                                    const std::string& file);

  const Store& store_;
  const std::unique_ptr<TopicIndex> index_;
  Mutex mutex_;
  std::map<std::string, std::pair<std::string, std::shared_ptr<TopicFile>>> opened_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace marquee::messaging

#endif  // MARQUEE_MESSAGING_SQLITE_TOPIC_DIRECTORY_H_
