// Which topics a directory holds, and in which file each is: DIR/topics.db. A file's name is never
// used twice, so what is left of a deleted topic (an open connection, its WAL) cannot touch the
// next topic of the same name.
//
// Threads: any; it locks.
#ifndef MARQUEE_MESSAGING_SQLITE_TOPIC_INDEX_H_
#define MARQUEE_MESSAGING_SQLITE_TOPIC_INDEX_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "base/sqlite/database.h"
#include "messaging/sqlite/store.h"

namespace marquee::messaging {

class TopicIndex {
 public:
  static absl::StatusOr<std::unique_ptr<TopicIndex>> Open(const Store& store);

  // The file of a topic; nullopt where there is no such topic.
  absl::StatusOr<std::optional<std::string>> Find(std::string_view topic);
  // (topic, file), by name.
  absl::StatusOr<std::vector<std::pair<std::string, std::string>>> All();

  // Under the directory's lock: calls `make` where there is no such topic, and remembers the file
  // that it returns. The file must be durable by then. Returns the topic's file.
  absl::StatusOr<std::string> FindOrMake(std::string_view topic,
                                         const std::function<absl::StatusOr<std::string>()>& make);
  // Under the directory's lock: calls `unmake` with the topic's file, then forgets it. kNotFound.
  absl::Status Remove(std::string_view topic,
                      const std::function<absl::Status(const std::string&)>& unmake);

 private:
  TopicIndex(const Store& store, sqlite::Database database)
      : store_(store), database_(std::move(database)) {}
  absl::StatusOr<std::optional<std::string>> FindLocked(std::string_view topic)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Store& store_;
  Mutex mutex_;
  sqlite::Database database_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace marquee::messaging

#endif  // MARQUEE_MESSAGING_SQLITE_TOPIC_INDEX_H_
