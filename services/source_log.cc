#include "services/source_log.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/crash_point.h"
#include "base/status.h"
#include "services/topic_reading.h"

namespace marquee::services {

using domain::SourceClaims;
using domain::SourceProgress;
using messaging::NewRecord;
using messaging::Offset;

SourceLog::SourceLog(const World& world, std::unique_ptr<messaging::Publisher> publisher,
                     std::unique_ptr<messaging::Subscription> reader)
    : shard_{world.topics.sources(), messaging::Shard(0)},
      publisher_(std::move(publisher)),
      reader_(std::move(reader)) {}

absl::StatusOr<std::unique_ptr<SourceLog>> SourceLog::Open(const World& world) {
  MARQUEE_ASSIGN_OR_RETURN(auto publisher, world.broker.OpenPublisher(world.topics.sources()));
  MARQUEE_ASSIGN_OR_RETURN(auto reader, world.broker.OpenReader({.headers = false}));
  std::unique_ptr<SourceLog> log(new SourceLog(world, std::move(publisher), std::move(reader)));
  MARQUEE_ASSIGN_OR_RETURN(messaging::Extent extent, world.broker.DescribeShard(log->shard_));
  MARQUEE_RETURN_IF_ERROR(log->reader_->Start(log->shard_, messaging::StartPosition::AtEarliest()));
  MARQUEE_RETURN_IF_ERROR(log->ReadTo(extent.end));
  return log;
}

absl::Status SourceLog::ReadTo(Offset end) {
  return ReadThrough(*reader_, shard_, end, [&](const messaging::Record& record) {
    return Annotate(claims_.Add(record.key, record.value, domain::LogOffset(record.offset.value())),
                    absl::StrCat(shard_.topic, " at offset ", record.offset.value()));
  });
}

absl::Status SourceLog::PublishAndRead(std::span<const NewRecord> records) {
  MARQUEE_RETURN_IF_ERROR(publisher_->Publish(records));
  MARQUEE_ASSIGN_OR_RETURN(messaging::FlushedThrough through, publisher_->Flush());
  return ReadTo(through.at(shard_.shard));
}

absl::Status SourceLog::Write(const SourceProgress& progress) {
  std::string key = domain::SourceProgressKey(progress);
  std::string value = domain::EncodeSourceProgress(progress);
  NewRecord record{.key = key, .value = value};
  return PublishAndRead({&record, 1});
}

absl::StatusOr<SourceClaims::Claim> SourceLog::MakeClaim(SourceProgress claim, Random& random) {
  claim.incarnation = domain::MakeIncarnation(claims_.NextOrdinal(claim.source), random.Next());
  MARQUEE_RETURN_IF_ERROR(Write(claim));
  if (claim.repeatable) {
    if (auto open = claims_.OpenClaim(claim.source)) return *open;
  } else {
    for (SourceClaims::Claim& made : claims_.OfSource(claim.source)) {
      if (made.incarnation == claim.incarnation) return made;
    }
  }
  return absl::AbortedError(
      absl::StrCat("the claim of source ", claim.source,
                   " was closed by another producer while it was made; start again"));
}

absl::StatusOr<domain::SourceProgress> SourceLog::ClaimLive(const World& world,
                                                            const std::string& source) {
  domain::SourceProgress record;
  record.source = source;
  record.writer = world.random.Next();
  MARQUEE_ASSIGN_OR_RETURN(domain::SourceClaims::Claim claim, MakeClaim(record, world.random));
  MARQUEE_CRASH_POINT("liveproducer.claimed");
  record.incarnation = claim.incarnation;
  record.claim = claim.claimed_at;
  record.next_sequence.assign(world.rules.shards, 1);
  MARQUEE_RETURN_IF_ERROR(ForgetOld(source, 2 * world.rules.incarnations_per_source_max));
  return record;
}

absl::Status SourceLog::ForgetOld(const std::string& source, uint32_t kept) {
  std::vector<SourceClaims::Claim> of_source = claims_.OfSource(source);
  std::sort(of_source.begin(), of_source.end(),
            [](const auto& a, const auto& b) { return a.incarnation > b.incarnation; });
  std::vector<std::string> keys;
  for (size_t i = kept; i < of_source.size(); ++i) {
    if (!of_source[i].repeatable)
      keys.push_back(domain::SourceProgressKey(of_source[i].furthest_done));
  }
  if (keys.empty()) return absl::OkStatus();
  std::vector<NewRecord> records;
  records.reserve(keys.size());
  for (const std::string& key : keys) records.push_back({.key = key, .value = std::nullopt});
  return PublishAndRead(records);
}

}  // namespace marquee::services
