#include "services/audit.h"

#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "domain/rating.h"
#include "domain/shard_state.h"
#include "domain/source_progress.h"
#include "services/topic_reading.h"
#include "sources/rating_file.h"

namespace marquee::services {
namespace {

using domain::Aggregate;
using domain::InputMark;
using domain::MovieId;
using domain::ShardState;
using domain::SourceClaims;
using messaging::Offset;
using messaging::Shard;

constexpr size_t kRowsPerRead = 8192;

class Auditor {
 public:
  Auditor(messaging::Broker* broker, catalogue::Reader& catalogue, const domain::Rules& rules,
          const AuditOptions& options)
      : broker_(broker), catalogue_(catalogue), rules_(rules), options_(options) {}

  absl::StatusOr<AuditReport> Run() {
    if (broker_ != nullptr) {
      MARQUEE_RETURN_IF_ERROR(ReadClaims());
    } else {
      report_.notes.push_back(
          "no broker: what did not come from the files named, and stamps, were not checked");
    }
    for (const AuditInput& file : options_.files) MARQUEE_RETURN_IF_ERROR(AddFile(file));
    if (broker_ != nullptr) {
      MARQUEE_RETURN_IF_ERROR(ReadWatermarks());
      for (uint32_t shard = 0; shard < rules_.shards; ++shard)
        MARQUEE_RETURN_IF_ERROR(AddShard(shard));
    }
    MARQUEE_RETURN_IF_ERROR(Compare());
    return std::move(report_);
  }

 private:
  void Differ(std::string what) { report_.others.push_back(std::move(what)); }

  absl::Status ReadClaims() {
    messaging::TopicShard shard{options_.topics.sources(), Shard(0)};
    return ReadShard(*broker_, shard, [&](const messaging::Record& record) {
      return claims_.Add(record.key, record.value, domain::LogOffset(record.offset.value()));
    });
  }

  absl::Status ReadWatermarks() {
    MARQUEE_ASSIGN_OR_RETURN(std::vector<domain::Watermark> watermarks, catalogue_.Watermarks());
    MARQUEE_ASSIGN_OR_RETURN(messaging::TopicInfo ratings,
                             broker_->DescribeTopic(options_.topics.ratings()));
    for (const domain::Watermark& watermark : watermarks) {
      if (watermark.ratings_identity != ratings.identity) {
        return absl::FailedPreconditionError(
            absl::StrCat("the catalogue was filled from the topic ", watermark.ratings_identity,
                         ", the broker's ", options_.topics.ratings(), " is ", ratings.identity));
      }
      watermarks_[watermark.shard] = Offset(watermark.ratings_through.value());
    }
    return absl::OkStatus();
  }

  // The rows of a file that its source says are done; all of them where nobody says anything.
  absl::Status AddFile(const AuditInput& input) {
    MARQUEE_ASSIGN_OR_RETURN(auto file, sources::RatingFile::Open(
                                            input.path, {.scale = rules_.scale, .finished = true}));
    MARQUEE_ASSIGN_OR_RETURN(uint64_t until, file->Size());
    if (broker_ != nullptr) {
      std::optional<SourceClaims::Claim> claim = claims_.OpenClaim(input.source);
      if (!claim) {
        bool is_stream = !claims_.OfSource(input.source).empty();
        Differ(absl::StrCat("source ", input.source,
                            is_stream ? ": its ratings came from a stream, not from a file, and "
                                        "are recomputed from the topic; leave it out"
                                      : ": nobody has published it",
                            " (", input.path, " was named for it)"));
        return absl::OkStatus();
      }
      file_sources_[input.source] = claim->incarnation;
      const InputMark& done = claim->furthest_done.done;
      if (absl::Status verified = file->Verify(done); !verified.ok()) {
        Differ(absl::StrCat("source ", input.source, ": ", input.path,
                            " is not what was published: ", verified.message()));
        return absl::OkStatus();
      }
      if (claim->intended.byte > done.byte) {
        Differ(absl::StrCat("source ", input.source,
                            " is under way, or was interrupted after line ", done.line,
                            ": what it published beyond is not known for certain; let its producer "
                            "finish, then audit again"));
      } else if (done.byte < until) {
        report_.notes.push_back(absl::StrCat("source ", input.source, " is published up to line ",
                                             done.line, ", byte ", done.byte, " of ", until,
                                             ": the rest is not expected"));
      }
      until = done.byte;
    }
    MARQUEE_RETURN_IF_ERROR(file->Seek(0, 0));
    sources::RowBatch batch;
    while (batch.byte < until) {
      uint64_t before = batch.byte;
      MARQUEE_RETURN_IF_ERROR(file->Read(until, kRowsPerRead, &batch));
      for (const sources::RatingRow& row : batch.ratings)
        expected_[row.movie].Add(row.value, rules_.scale);
      report_.ratings_from_files += batch.ratings.size();
      report_.rejected += batch.rejected.size();
      if (batch.byte == before) break;
    }
    return absl::OkStatus();
  }

  // What the shard's log says up to the catalogue's watermark, with the rules of the owner.
  absl::Status AddShard(uint32_t number) {
    messaging::TopicShard shard{options_.topics.ratings(), Shard(number)};
    MARQUEE_ASSIGN_OR_RETURN(messaging::Extent extent, broker_->DescribeShard(shard));
    Offset through = watermarks_.contains(number) ? watermarks_[number] : Offset(0);
    if (through < extent.end) {
      Differ(absl::StrCat("shard ", number, ": the log ends at offset ", extent.end.value(),
                          ", the means are complete up to ", through.value(),
                          ": something is not visible yet; audit again when the lag is 0"));
    }
    ShardState state(rules_, number);
    uint64_t rejected = 0;
    MARQUEE_ASSIGN_OR_RETURN(auto reader, broker_->OpenReader({.headers = false}));
    MARQUEE_RETURN_IF_ERROR(reader->Start(shard, messaging::StartPosition::AtEarliest()));
    MARQUEE_RETURN_IF_ERROR(ReadThrough(
        *reader, shard, std::min(through, extent.end), [&](const messaging::Record& record) {
          domain::LogOffset offset(record.offset.value());
          if (offset < state.next() || record.offset >= through) return absl::OkStatus();
          domain::Outcome outcome =
              state.Apply({.offset = offset, .key = record.key, .value = record.value});
          if (outcome == domain::Outcome::kDeadLetter) ++rejected;
          if (outcome == domain::Outcome::kCounted) AddMessage(*record.value);
          return absl::OkStatus();
        }));
    report_.repeats_dropped += state.counters().repeats;
    report_.rejected += rejected;
    if (state.Lost() > 0) {
      Differ(absl::StrCat("shard ", number, ": ", state.Lost(),
                          " ratings are missing that their producers knew to be durable"));
    }
    CheckAccepted(state);
    return absl::OkStatus();
  }

  void AddMessage(std::string_view value) {
    domain::Rating rating;
    if (!domain::ParseRating(value, &rating).ok()) return;
    if (rating.stamp && IsFromAFile(*rating.stamp)) return;
    expected_[rating.movie].Add(rating.value, rules_.scale);
    ++report_.ratings_from_topic;
  }

  bool IsFromAFile(const domain::Stamp& stamp) const {
    auto file = file_sources_.find(stamp.source);
    return file != file_sources_.end() && file->second == stamp.incarnation;
  }

  // Everything that `sources` says is done has been accepted.
  void CheckAccepted(const ShardState& state) {
    std::vector<ShardState::AcceptedEntry> accepted = state.AllAccepted();
    for (const SourceClaims::Claim& claim : claims_.All()) {
      const std::vector<uint64_t>& next = claim.furthest_done.next_sequence;
      if (state.shard() >= next.size() || next[state.shard()] <= 1) continue;
      uint64_t done = next[state.shard()] - 1;
      auto found = std::find_if(
          accepted.begin(), accepted.end(), [&](const ShardState::AcceptedEntry& entry) {
            return entry.source == claim.source && entry.incarnation == claim.incarnation;
          });
      if (found == accepted.end() && IsForgotten(claim, accepted)) continue;
      uint64_t missing =
          found == accepted.end() ? done : found->accepted.sequences.MissingThrough(done);
      if (missing > 0) {
        Differ(absl::StrCat("shard ", state.shard(), ": source ", claim.source, " says that ", done,
                            " ratings of incarnation ", claim.incarnation.value(), " are done, ",
                            missing, " of them were not accepted"));
      }
    }
  }

  // Only the newest incarnations of a source are kept in the state.
  bool IsForgotten(const SourceClaims::Claim& claim,
                   const std::vector<ShardState::AcceptedEntry>& accepted) {
    auto newer = std::count_if(
        accepted.begin(), accepted.end(), [&](const ShardState::AcceptedEntry& entry) {
          return entry.source == claim.source && entry.incarnation > claim.incarnation;
        });
    return newer >= static_cast<int64_t>(rules_.incarnations_per_source_max);
  }

  absl::Status Compare() {
    for (const auto& [movie, aggregate] : expected_) report_.ratings_expected += aggregate.count;
    absl::flat_hash_set<MovieId> seen;
    MARQUEE_RETURN_IF_ERROR(catalogue_.ForEach([&](const catalogue::Entry& entry) {
      auto expected = expected_.find(entry.id);
      Aggregate wanted = expected == expected_.end() ? Aggregate() : expected->second;
      if (wanted.count > 0) seen.insert(entry.id);
      if (wanted.count > 0 || entry.aggregate.count > 0) ++report_.movies_compared;
      if (wanted != entry.aggregate) report_.movies.push_back({entry.id, wanted, entry.aggregate});
    }));
    for (const auto& [movie, aggregate] : expected_) {
      if (seen.contains(movie)) continue;
      ++report_.movies_compared;
      report_.movies.push_back({movie, aggregate, Aggregate()});
    }
    std::sort(report_.movies.begin(), report_.movies.end(),
              [](const auto& a, const auto& b) { return a.movie < b.movie; });
    if (report_.ratings_from_topic > 0) {
      report_.notes.push_back(absl::StrCat(
          report_.ratings_from_topic,
          " ratings were recomputed from the topic, since no file was named for their source"));
    }
    return absl::OkStatus();
  }

  messaging::Broker* broker_;
  catalogue::Reader& catalogue_;
  const domain::Rules& rules_;
  const AuditOptions& options_;
  // Of each file's source the incarnation that the file was claimed for; what former inputs of the
  // source gave is taken from the topic.
  std::map<std::string, domain::Incarnation, std::less<>> file_sources_;
  SourceClaims claims_;
  std::map<uint32_t, Offset> watermarks_;
  absl::flat_hash_map<MovieId, Aggregate> expected_;
  AuditReport report_;
};

}  // namespace

absl::StatusOr<AuditReport> Audit(messaging::Broker* broker, catalogue::Reader& catalogue,
                                  const domain::Rules& rules, const AuditOptions& options) {
  return Auditor(broker, catalogue, rules, options).Run();
}

}  // namespace marquee::services
