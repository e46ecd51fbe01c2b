#include "domain/source_progress.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/status.h"
#include "domain/message.h"
#include "domain/rating.h"
#include "domain/text.h"
#include "marquee/v1/source_progress.pb.h"

namespace marquee::domain {
namespace {

void SetMark(const InputMark& mark, v1::InputMark* message) {
  message->set_byte(mark.byte);
  message->set_line(mark.line);
  message->mutable_digest()->set_high(mark.digest.high);
  message->mutable_digest()->set_low(mark.digest.low);
}

InputMark ReadMark(const v1::InputMark& message) {
  InputMark mark;
  mark.byte = message.byte();
  mark.line = message.line();
  if (message.has_digest())
    mark.digest = {.high = message.digest().high(), .low = message.digest().low()};
  return mark;
}

bool IsFurther(const InputMark& mark, const InputMark& than) {
  return std::pair(mark.byte, mark.line) > std::pair(than.byte, than.line);
}

// The higher of both in each shard; a shard that is not listed is at 1.
void MergeNextSequence(const std::vector<uint64_t>& from, std::vector<uint64_t>* into) {
  if (into->size() < from.size()) into->resize(from.size(), 1);
  for (size_t i = 0; i < from.size(); ++i) (*into)[i] = std::max((*into)[i], from[i]);
}

SourceClaims::Claim ClaimOf(const SourceProgress& progress, LogOffset claimed_at) {
  SourceClaims::Claim claim;
  claim.source = progress.source;
  claim.incarnation = progress.incarnation;
  claim.repeatable = progress.repeatable;
  claim.claimed_at = claimed_at;
  claim.closed = progress.closed;
  claim.furthest_done = progress;
  claim.intended = progress.intended;
  claim.intents = {progress.intended};
  return claim;
}

// Another writer of the same incarnation.
void MergeWriter(const SourceProgress& progress, LogOffset claimed_at, SourceClaims::Claim* claim) {
  if (claimed_at < claim->claimed_at) {
    claim->claimed_at = claimed_at;
    claim->repeatable = progress.repeatable;
  }
  claim->closed |= progress.closed;
  std::vector<uint64_t> next_sequence = std::move(claim->furthest_done.next_sequence);
  MergeNextSequence(progress.next_sequence, &next_sequence);
  if (IsFurther(progress.done, claim->furthest_done.done)) claim->furthest_done = progress;
  claim->furthest_done.next_sequence = std::move(next_sequence);
  if (IsFurther(progress.intended, claim->intended)) claim->intended = progress.intended;
  claim->intents.push_back(progress.intended);
}

}  // namespace

std::string EncodeSourceProgress(const SourceProgress& progress) {
  v1::SourceProgress message;
  message.set_source(progress.source);
  message.set_incarnation(progress.incarnation.value());
  message.set_writer(progress.writer);
  message.set_repeatable(progress.repeatable);
  if (progress.claim.has_value()) message.set_claim(progress.claim->value());
  message.set_closed(progress.closed);
  SetMark(progress.done, message.mutable_done());
  SetMark(progress.intended, message.mutable_intended());
  message.mutable_next_sequence()->Add(progress.next_sequence.begin(),
                                       progress.next_sequence.end());
  message.set_rejected(progress.rejected);
  return message.SerializeAsString();
}

absl::StatusOr<SourceProgress> DecodeSourceProgress(std::string_view bytes) {
  v1::SourceProgress message;
  MARQUEE_RETURN_IF_ERROR(ReadMessageFrom(bytes, &message));
  MARQUEE_RETURN_IF_ERROR(ValidateSourceName(message.source()));
  if (message.incarnation() == 0) {
    return absl::InvalidArgumentError(
        Concat("the progress of source ", message.source(), " names no incarnation"));
  }
  SourceProgress progress;
  progress.source = std::move(*message.mutable_source());
  progress.incarnation = Incarnation(message.incarnation());
  progress.writer = message.writer();
  progress.repeatable = message.repeatable();
  if (message.has_claim()) progress.claim = LogOffset(message.claim());
  progress.closed = message.closed();
  progress.done = ReadMark(message.done());
  progress.intended = ReadMark(message.intended());
  progress.next_sequence.assign(message.next_sequence().begin(), message.next_sequence().end());
  progress.rejected = message.rejected();
  return progress;
}

std::string SourceProgressKey(const SourceProgress& progress) {
  return absl::StrFormat("%s/%d/%016x", progress.source, progress.incarnation.value(),
                         progress.writer);
}

absl::Status SourceClaims::Add(std::string_view key, std::optional<std::string_view> value,
                               LogOffset offset) {
  auto at = by_key_.find(key);
  if (!value.has_value()) {
    if (at != by_key_.end()) by_key_.erase(at);
    return absl::OkStatus();
  }
  MARQUEE_ASSIGN_OR_RETURN(SourceProgress progress, DecodeSourceProgress(*value));
  if (std::string expected = SourceProgressKey(progress); expected != key) {
    return absl::InvalidArgumentError(
        Concat("the progress of ", expected, " was found under the key ", key));
  }
  LogOffset claimed_at = progress.claim.value_or(offset);
  if (at == by_key_.end()) {
    by_key_.emplace(std::string(key), Held{std::move(progress), claimed_at});
    return absl::OkStatus();
  }
  progress.closed |= at->second.progress.closed;
  at->second.offset = std::min(at->second.offset, claimed_at);
  at->second.progress = std::move(progress);
  return absl::OkStatus();
}

std::vector<SourceClaims::Claim> SourceClaims::All() const {
  std::map<std::pair<std::string, Incarnation>, Claim> by_incarnation;
  for (const auto& [key, held] : by_key_) {
    auto [at, is_new] =
        by_incarnation.try_emplace({held.progress.source, held.progress.incarnation});
    if (is_new) {
      at->second = ClaimOf(held.progress, held.offset);
    } else {
      MergeWriter(held.progress, held.offset, &at->second);
    }
  }
  std::vector<Claim> claims;
  claims.reserve(by_incarnation.size());
  for (auto& [name, claim] : by_incarnation) claims.push_back(std::move(claim));
  std::sort(claims.begin(), claims.end(), [](const Claim& a, const Claim& b) {
    return std::tie(a.source, a.claimed_at, a.incarnation) <
           std::tie(b.source, b.claimed_at, b.incarnation);
  });
  return claims;
}

std::vector<SourceClaims::Claim> SourceClaims::OfSource(std::string_view source) const {
  std::vector<Claim> claims = All();
  std::erase_if(claims, [&](const Claim& claim) { return claim.source != source; });
  return claims;
}

std::optional<SourceClaims::Claim> SourceClaims::OpenClaim(std::string_view source) const {
  for (Claim& claim : OfSource(source)) {
    if (claim.repeatable && !claim.closed) return std::move(claim);
  }
  return std::nullopt;
}

uint64_t SourceClaims::NextOrdinal(std::string_view source) const {
  uint64_t highest = 0;
  for (const auto& [key, held] : by_key_) {
    if (held.progress.source == source) {
      highest = std::max(highest, OrdinalOf(held.progress.incarnation));
    }
  }
  return highest + 1;
}

}  // namespace marquee::domain
