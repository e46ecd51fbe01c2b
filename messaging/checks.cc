#include "messaging/checks.h"

#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace marquee::messaging {
namespace {

constexpr size_t kTopicNameBytesMax = 200;

bool ValidName(std::string_view name) {
  if (name.empty() || name.size() > kTopicNameBytesMax) return false;
  for (char c : name) {
    bool alphanumeric = absl::ascii_islower(c) || absl::ascii_isdigit(c);
    if (!alphanumeric && c != '.' && c != '_' && c != '-') return false;
  }
  return absl::ascii_isalnum(name[0]);
}

std::string Show(const TopicSpec& spec) {
  return absl::StrCat(spec.kind == TopicKind::kEvent ? "event" : "entity", " topic with ",
                      spec.shards, " shards, retention ", absl::FormatDuration(spec.retention));
}

}  // namespace

absl::Status CheckSpec(const TopicSpec& spec) {
  if (!ValidName(spec.name)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "topic name \"", spec.name, "\": expected 1 to ", kTopicNameBytesMax,
        " of a-z, 0-9, '.', '_', '-', beginning with a letter or digit; choose another name"));
  }
  if (spec.shards < 1 || spec.shards > kShardsMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("topic ", spec.name, ": ", spec.shards, " shards; choose 1 to ", kShardsMax));
  }
  if (spec.retention <= absl::ZeroDuration() ||
      (spec.kind == TopicKind::kEntity && spec.retention != absl::InfiniteDuration())) {
    return absl::InvalidArgumentError(absl::StrCat("topic ", spec.name, ": retention ",
                                                   absl::FormatDuration(spec.retention),
                                                   "; it is above 0, and entity topics have none"));
  }
  return absl::OkStatus();
}

absl::Status CheckSame(const TopicSpec& existing, const TopicSpec& declared) {
  if (existing.kind == declared.kind && existing.shards == declared.shards &&
      existing.retention == declared.retention) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      absl::StrCat("topic ", declared.name, ": declared as ", Show(declared), ", exists as ",
                   Show(existing), "; declare what exists, or choose another name"));
}

absl::Status CheckShard(const TopicSpec& topic, Shard shard) {
  if (shard.value() < topic.shards) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat("topic ", topic.name, " has shards 0 to ",
                                          topic.shards - 1, ", not ", shard.value()));
}

absl::Status CheckRecord(const TopicSpec& topic, const NewRecord& record) {
  size_t bytes = record.key.size() + (record.value ? record.value->size() : 0);
  for (const Header& header : record.headers) bytes += header.name.size() + header.value.size();
  std::string what;
  if (record.key.size() > kKeyBytesMax) {
    what = absl::StrCat("a key of ", record.key.size(), " bytes; at most ", kKeyBytesMax);
  } else if (record.headers.size() > kHeadersMax) {
    what = absl::StrCat(record.headers.size(), " headers; at most ", kHeadersMax);
  } else if (bytes > kMessageBytesMax) {
    what = absl::StrCat("a message of ", bytes, " bytes; at most ", kMessageBytesMax);
  } else if (record.shard && record.shard->value() >= topic.shards) {
    what = absl::StrCat("shard ", record.shard->value(), "; the topic has ", topic.shards);
  } else {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("topic ", topic.name, ": ", what, "; nothing of this call was taken"));
}

}  // namespace marquee::messaging
