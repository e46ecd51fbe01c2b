#include "messaging/sqlite/topic_directory.h"

#include <fmt/format.h>

#include <optional>

#include "base/status.h"

namespace marquee::messaging {
namespace {

constexpr size_t kTopicNameBytesMax = 200;

bool IsAlphanumeric(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

absl::Status CheckSpec(const TopicSpec& spec) {
  bool valid =
      !spec.name.empty() && spec.name.size() <= kTopicNameBytesMax && IsAlphanumeric(spec.name[0]);
  for (char c : spec.name) valid = valid && (IsAlphanumeric(c) || c == '.' || c == '_' || c == '-');
  if (!valid) {
    return absl::InvalidArgumentError(
        fmt::format("topic name '{}': expected 1 to {} of a-z, 0-9, '.', '_', '-', beginning with "
                    "a letter or digit",
                    spec.name.substr(0, kTopicNameBytesMax), kTopicNameBytesMax));
  }
  if (spec.shards == 0 || spec.shards > kShardsMax) {
    return absl::InvalidArgumentError(fmt::format("topic {}: expected 1 to {} shards, found {}",
                                                  spec.name, kShardsMax, spec.shards));
  }
  if (spec.retention == absl::InfiniteDuration()) return absl::OkStatus();
  if (spec.kind == TopicKind::kEntity) {
    return absl::InvalidArgumentError(fmt::format(
        "topic {}: an entity topic keeps the newest message of each key and has no retention",
        spec.name));
  }
  if (spec.retention < absl::Milliseconds(1)) {
    return absl::InvalidArgumentError(
        fmt::format("topic {}: expected a retention of at least 1 ms, found {}", spec.name,
                    absl::FormatDuration(spec.retention)));
  }
  return absl::OkStatus();
}

std::string Describe(const TopicSpec& spec) {
  return fmt::format("{} topic, {} shards, retention {}",
                     spec.kind == TopicKind::kEntity ? "entity" : "event", spec.shards,
                     spec.retention == absl::InfiniteDuration()
                         ? "for ever"
                         : absl::FormatDuration(spec.retention));
}

absl::Duration WholeMilliseconds(absl::Duration duration) {
  return duration == absl::InfiniteDuration() ? duration
                                              : absl::Floor(duration, absl::Milliseconds(1));
}

absl::Status CheckSame(const TopicSpec& asked, const TopicSpec& found) {
  if (asked.kind == found.kind && asked.shards == found.shards &&
      WholeMilliseconds(asked.retention) == found.retention) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      fmt::format("topic {}: asked for as {}; it is there as {}, which cannot change; declare it "
                  "as it is, or use "
                  "another name",
                  asked.name, Describe(asked), Describe(found)));
}

}  // namespace

absl::StatusOr<std::unique_ptr<TopicDirectory>> TopicDirectory::Open(const Store& store) {
  MARQUEE_ASSIGN_OR_RETURN(std::unique_ptr<TopicIndex> index, TopicIndex::Open(store));
  return std::unique_ptr<TopicDirectory>(new TopicDirectory(store, std::move(index)));
}

absl::StatusOr<std::shared_ptr<TopicFile>> TopicDirectory::Opened(const std::string& topic,
                                                                  const std::string& file) {
  MutexLock lock(mutex_);
  auto& [known_file, known] = opened_[topic];
  if (known == nullptr || known_file != file || !known->CheckPresent().ok()) {
    known = nullptr;
    MARQUEE_ASSIGN_OR_RETURN(known, TopicFile::Open(store_, file));
    known_file = file;
  }
  return known;
}

absl::StatusOr<std::shared_ptr<TopicFile>> TopicDirectory::Declare(const TopicSpec& spec) {
  MARQUEE_RETURN_IF_ERROR(CheckSpec(spec));
  while (true) {
    MARQUEE_ASSIGN_OR_RETURN(std::string file, index_->FindOrMake(spec.name, [&] {
      return TopicFile::Make(store_, spec);
    }));
    MARQUEE_ASSIGN_OR_RETURN(std::shared_ptr<TopicFile> found, Opened(spec.name, file));
    MARQUEE_ASSIGN_OR_RETURN(bool deleted, found->IsDeleted());
    if (!deleted) {
      MARQUEE_RETURN_IF_ERROR(CheckSame(spec, found->spec()));
      return found;
    }
    // Whoever deleted it did not come to the end.
    absl::Status removed = Delete(spec.name);
    if (!removed.ok() && !absl::IsNotFound(removed)) return removed;
  }
}

absl::StatusOr<std::shared_ptr<TopicFile>> TopicDirectory::Find(std::string_view topic) {
  MARQUEE_ASSIGN_OR_RETURN(std::optional<std::string> file, index_->Find(topic));
  if (!file.has_value())
    return absl::NotFoundError(fmt::format("no topic {} in {}", topic, store_.directory));
  return Opened(std::string(topic), *file);
}

absl::StatusOr<std::vector<std::shared_ptr<TopicFile>>> TopicDirectory::All() {
  MARQUEE_ASSIGN_OR_RETURN(auto names, index_->All());
  std::vector<std::shared_ptr<TopicFile>> all;
  for (const auto& [topic, file] : names) {
    MARQUEE_ASSIGN_OR_RETURN(std::shared_ptr<TopicFile> opened, Opened(topic, file));
    all.push_back(std::move(opened));
  }
  return all;
}

absl::Status TopicDirectory::Delete(std::string_view topic) {
  std::string path;
  MARQUEE_RETURN_IF_ERROR(index_->Remove(topic, [&](const std::string& file) {
    path = store_.PathOf(file);
    if (!FileExists(store_, path)) return absl::OkStatus();
    // Whoever has it open learns of it from the mark: an unlinked file stays open.
    absl::StatusOr<std::shared_ptr<TopicFile>> opened = Opened(std::string(topic), file);
    return opened.ok() ? (*opened)->MarkDeleted() : opened.status();
  }));
  {
    MutexLock lock(mutex_);
    opened_.erase(std::string(topic));
  }
  DeleteStoreFile(store_, path);
  return absl::OkStatus();
}

}  // namespace marquee::messaging
