#include "messaging/sqlite/topic_index.h"

#include <fmt/format.h>

#include "base/status.h"

namespace marquee::messaging {
namespace {

constexpr FileKind kKind = {
    .noun = "topic index",
    .application_id = 0x4d515449,  // "MQTI"
    .schema_version = 1,
    .schema = "CREATE TABLE topics(topic TEXT PRIMARY KEY, file TEXT NOT NULL) WITHOUT ROWID",
};
constexpr int64_t kCacheBytes = 64 << 10;

}  // namespace

absl::StatusOr<std::unique_ptr<TopicIndex>> TopicIndex::Open(const Store& store) {
  MARQUEE_ASSIGN_OR_RETURN(
      sqlite::Database database,
      OpenStoreFile(store, store.PathOf("topics.db"), kKind, IfMissing::kCreate, kCacheBytes));
  return std::unique_ptr<TopicIndex>(new TopicIndex(store, std::move(database)));
}

absl::StatusOr<std::optional<std::string>> TopicIndex::FindLocked(std::string_view topic) {
  MARQUEE_ASSIGN_OR_RETURN(sqlite::Statement select,
                           database_.Prepare("SELECT file FROM topics WHERE topic = ?1"));
  MARQUEE_ASSIGN_OR_RETURN(bool found, select.BindText(1, topic).Step());
  if (!found) return std::optional<std::string>();
  return std::optional<std::string>(select.Text(0));
}

absl::StatusOr<std::optional<std::string>> TopicIndex::Find(std::string_view topic) {
  MutexLock lock(mutex_);
  return FindLocked(topic);
}

absl::StatusOr<std::vector<std::pair<std::string, std::string>>> TopicIndex::All() {
  MutexLock lock(mutex_);
  MARQUEE_ASSIGN_OR_RETURN(sqlite::Statement select,
                           database_.Prepare("SELECT topic, file FROM topics ORDER BY topic"));
  std::vector<std::pair<std::string, std::string>> all;
  while (true) {
    MARQUEE_ASSIGN_OR_RETURN(bool row, select.Step());
    if (!row) return all;
    all.emplace_back(select.Text(0), select.Text(1));
  }
}

absl::StatusOr<std::string> TopicIndex::FindOrMake(
    std::string_view topic, const std::function<absl::StatusOr<std::string>()>& make) {
  MutexLock lock(mutex_);
  MARQUEE_ASSIGN_OR_RETURN(std::optional<std::string> file, FindLocked(topic));
  if (file.has_value()) return *file;
  MARQUEE_ASSIGN_OR_RETURN(sqlite::Transaction transaction,
                           BeginWriting(database_, store_.clock, store_.deadline));
  MARQUEE_ASSIGN_OR_RETURN(file, FindLocked(topic));
  if (file.has_value()) return *file;
  MARQUEE_ASSIGN_OR_RETURN(std::string made, make());
  {
    MARQUEE_ASSIGN_OR_RETURN(sqlite::Statement insert,
                             database_.Prepare("INSERT INTO topics VALUES(?1, ?2)"));
    MARQUEE_RETURN_IF_ERROR(insert.BindText(1, topic).BindText(2, made).Run());
  }
  MARQUEE_RETURN_IF_ERROR(transaction.Commit());
  return made;
}

absl::Status TopicIndex::Remove(std::string_view topic,
                                const std::function<absl::Status(const std::string&)>& unmake) {
  MutexLock lock(mutex_);
  MARQUEE_ASSIGN_OR_RETURN(sqlite::Transaction transaction,
                           BeginWriting(database_, store_.clock, store_.deadline));
  MARQUEE_ASSIGN_OR_RETURN(std::optional<std::string> file, FindLocked(topic));
  if (!file.has_value()) {
    return absl::NotFoundError(fmt::format("no topic {} in {}", topic, store_.directory));
  }
  MARQUEE_RETURN_IF_ERROR(unmake(*file));
  {
    MARQUEE_ASSIGN_OR_RETURN(sqlite::Statement remove,
                             database_.Prepare("DELETE FROM topics WHERE topic = ?1"));
    MARQUEE_RETURN_IF_ERROR(remove.BindText(1, topic).Run());
  }
  return transaction.Commit();
}

}  // namespace marquee::messaging
