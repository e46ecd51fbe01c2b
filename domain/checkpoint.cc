#include "domain/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "absl/strings/str_format.h"
#include "base/status.h"
#include "domain/message.h"
#include "domain/text.h"
#include "marquee/v1/checkpoint.pb.h"

namespace marquee::domain {
namespace {

constexpr uint32_t kFormat = 1;
constexpr uint32_t kPartsMax = 4096;  // 2 GiB
constexpr size_t kNonceDigits = 16;

void SetDigest(const Digest& digest, v1::Digest* message) {
  message->set_high(digest.high);
  message->set_low(digest.low);
}

Digest ReadDigest(const v1::Digest& message) {
  return {.high = message.high(), .low = message.low()};
}

// Fields 1 to 7: what all parts of a checkpoint have in common.
v1::CheckpointPart HeaderOf(const Checkpoint& checkpoint, uint64_t nonce, uint32_t parts) {
  v1::CheckpointPart header;
  header.set_format(kFormat);
  header.set_shard(checkpoint.shard);
  header.set_nonce(nonce);
  header.set_parts(parts);
  header.set_ratings_identity(checkpoint.ratings_identity);
  header.set_next(checkpoint.next.value());
  if (checkpoint.last_record.has_value()) {
    header.mutable_last_record()->set_offset(checkpoint.last_record->offset.value());
    SetDigest(checkpoint.last_record->digest, header.mutable_last_record()->mutable_digest());
  }
  return header;
}

Checkpoint CheckpointOf(const v1::CheckpointPart& header, std::string state) {
  Checkpoint checkpoint;
  checkpoint.shard = header.shard();
  checkpoint.ratings_identity = header.ratings_identity();
  checkpoint.next = LogOffset(header.next());
  if (header.has_last_record()) {
    checkpoint.last_record = {.offset = LogOffset(header.last_record().offset()),
                              .digest = ReadDigest(header.last_record().digest())};
  }
  checkpoint.state = std::move(state);
  return checkpoint;
}

std::string PartKey(uint32_t shard, uint64_t nonce, uint32_t part) {
  return absl::StrFormat("%d/%016x/%d", shard, nonce, part);
}

struct PartName {
  uint32_t shard = 0;
  uint64_t nonce = 0;
  uint32_t part = 0;
};

template <typename T>
bool ReadNumber(std::string_view text, int base, T* number) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number, base);
  return error == std::errc() && end == text.data() + text.size();
}

// nullopt where `key` is not what PartKey makes.
std::optional<PartName> ParsePartKey(std::string_view key) {
  size_t first = key.find('/');
  if (first == std::string_view::npos) return std::nullopt;
  size_t second = key.find('/', first + 1);
  if (second != first + 1 + kNonceDigits) return std::nullopt;
  PartName name;
  if (!ReadNumber(key.substr(0, first), 10, &name.shard) ||
      !ReadNumber(key.substr(first + 1, kNonceDigits), 16, &name.nonce) ||
      !ReadNumber(key.substr(second + 1), 10, &name.part) ||
      PartKey(name.shard, name.nonce, name.part) != key) {
    return std::nullopt;
  }
  return name;
}

absl::Status CheckPart(const v1::CheckpointPart& message, const PartName& name) {
  if (message.format() != kFormat) {
    return absl::DataLossError(Concat("its format is ", message.format(), "; expected ", kFormat));
  }
  if (message.shard() != name.shard || message.nonce() != name.nonce ||
      message.part() != name.part) {
    return absl::DataLossError(Concat("it says of itself that it is ",
                                      PartKey(message.shard(), message.nonce(), message.part())));
  }
  if (message.parts() == 0 || message.parts() > kPartsMax || message.part() >= message.parts() ||
      message.next() < 0) {
    return absl::DataLossError(
        Concat("part ", message.part(), " of ", message.parts(), " at offset ", message.next()));
  }
  return absl::OkStatus();
}

Digest DigestOfWhole(std::string_view header, std::string_view state) {
  StreamDigest digest;
  digest.Add(header);
  digest.Add(state);
  return digest.digest();
}

void AppendNumber(uint64_t number, std::string* bytes) {
  for (int i = 0; i < 8; ++i) bytes->push_back(static_cast<char>(number >> (8 * i)));
}

}  // namespace

Digest DigestOfLogRecord(std::string_view key, std::optional<std::string_view> value) {
  std::string bytes;
  AppendNumber(key.size(), &bytes);
  bytes += key;
  bytes.push_back(value.has_value() ? '\1' : '\0');
  bytes += value.value_or("");
  return DigestOf(bytes);
}

std::vector<CheckpointPart> SplitCheckpoint(const Checkpoint& checkpoint, uint64_t nonce) {
  std::string_view state = checkpoint.state;
  size_t count =
      std::max<size_t>(1, (state.size() + kCheckpointPartBytesMax - 1) / kCheckpointPartBytesMax);
  MARQUEE_CHECK(count <= kPartsMax);
  v1::CheckpointPart message = HeaderOf(checkpoint, nonce, static_cast<uint32_t>(count));
  Digest digest = DigestOfWhole(message.SerializeAsString(), state);
  SetDigest(digest, message.mutable_digest());
  std::vector<CheckpointPart> parts;
  for (uint32_t part = 0; part < count; ++part) {
    message.set_part(part);
    message.set_body(
        std::string(state.substr(part * kCheckpointPartBytesMax, kCheckpointPartBytesMax)));
    parts.push_back({PartKey(checkpoint.shard, nonce, part), message.SerializeAsString()});
  }
  return parts;
}

absl::Status CheckpointCollector::Add(std::string_view key, std::optional<std::string_view> value) {
  if (!value.has_value()) {
    Forget(key);
    return absl::OkStatus();
  }
  std::string where =
      Concat("record ", key.substr(0, 64), " among the checkpoints of shard ", shard_);
  std::optional<PartName> name = ParsePartKey(key);
  if (!name.has_value() || name->shard != shard_) {
    return absl::DataLossError(Concat(where, ": expected the key ", shard_, "/NONCE/PART"));
  }
  v1::CheckpointPart message;
  if (absl::Status read = ReadMessageFrom(*value, &message); !read.ok()) {
    return absl::DataLossError(Concat(where, ": ", MessageOf(read)));
  }
  if (absl::Status check = CheckPart(message, *name); !check.ok()) return Annotate(check, where);
  Part part;
  part.next = LogOffset(message.next());
  part.digest = ReadDigest(message.digest());
  part.body = std::move(*message.mutable_body());
  message.clear_digest();
  message.clear_part();
  message.clear_body();
  part.header = message.SerializeAsString();
  by_nonce_[name->nonce].insert_or_assign(name->part, std::move(part));
  return absl::OkStatus();
}

void CheckpointCollector::Forget(std::string_view key) {
  std::optional<PartName> name = ParsePartKey(key);
  if (!name.has_value() || name->shard != shard_) return;
  auto at = by_nonce_.find(name->nonce);
  if (at == by_nonce_.end()) return;
  at->second.erase(name->part);
  if (at->second.empty()) by_nonce_.erase(at);
}

std::optional<Checkpoint> CheckpointCollector::PutTogether(const Parts& parts) {
  const Part& first = parts.begin()->second;
  v1::CheckpointPart header;
  MARQUEE_CHECK(header.ParseFromString(first.header));
  if (parts.size() != header.parts()) return std::nullopt;
  std::string state;
  for (const auto& [number, part] : parts) {
    if (part.header != first.header || part.digest != first.digest) return std::nullopt;
    state += part.body;
  }
  if (DigestOfWhole(first.header, state) != first.digest) return std::nullopt;
  return CheckpointOf(header, std::move(state));
}

std::optional<std::pair<uint64_t, Checkpoint>> CheckpointCollector::FindBest() const {
  std::vector<std::pair<LogOffset, uint64_t>> candidates;
  for (const auto& [nonce, parts] : by_nonce_)
    candidates.push_back({parts.begin()->second.next, nonce});
  std::sort(candidates.rbegin(), candidates.rend());
  for (const auto& [next, nonce] : candidates) {
    if (std::optional<Checkpoint> checkpoint = PutTogether(by_nonce_.at(nonce))) {
      return std::pair(nonce, std::move(*checkpoint));
    }
  }
  return std::nullopt;
}

std::optional<Checkpoint> CheckpointCollector::Best() const {
  auto best = FindBest();
  if (!best.has_value()) return std::nullopt;
  return std::move(best->second);
}

std::optional<uint64_t> CheckpointCollector::BestNonce() const {
  auto best = FindBest();
  if (!best.has_value()) return std::nullopt;
  return best->first;
}

std::vector<std::string> CheckpointCollector::KeysBelowBest() const {
  auto best = FindBest();
  std::vector<std::string> keys;
  if (!best.has_value()) return keys;
  for (const auto& [nonce, parts] : by_nonce_) {
    for (const auto& [number, part] : parts) {
      if (part.next < best->second.next) keys.push_back(PartKey(shard_, nonce, number));
    }
  }
  return keys;
}

}  // namespace marquee::domain
