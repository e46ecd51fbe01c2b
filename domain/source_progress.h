// Claims and progress of producers: records of the topic `sources` (message
// marquee.v1.SourceProgress), and what follows from all of them together.
//
// A record's key is "SOURCE/INCARNATION/WRITER": each producer process has a WRITER nonce of its
// own, so that of two that share an incarnation (a restart and its zombie, or twins) neither
// overwrites what the other intends.
#ifndef MARQUEE_DOMAIN_SOURCE_PROGRESS_H_
#define MARQUEE_DOMAIN_SOURCE_PROGRESS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/digest.h"
#include "domain/ids.h"

namespace marquee::domain {

// A place in an input that can be read again, just after a whole line, and the digest of every byte
// before it.
struct InputMark {
  uint64_t byte = 0;
  uint64_t line = 0;  // lines before it, the heading included
  Digest digest = DigestOf("");
  friend bool operator==(const InputMark&, const InputMark&) = default;
};

struct SourceProgress {
  std::string source;
  Incarnation incarnation;
  uint64_t writer = 0;  // nonce of the process
  // The input can be read again (a file), so that the incarnation holds across restarts.
  bool repeatable = false;
  // The offset of the record that claimed the incarnation; none in that record itself.
  std::optional<LogOffset> claim;
  // Told to be over: a producer of the source takes a new incarnation.
  bool closed = false;

  InputMark done;      // published and flushed
  InputMark intended;  // may be published up to here
  // By shard: the sequence that follows the last one at `done`. Empty before the first: all 1.
  std::vector<uint64_t> next_sequence;
  uint64_t rejected = 0;  // rows up to `done` that took no number
  friend bool operator==(const SourceProgress&, const SourceProgress&) = default;
};

std::string EncodeSourceProgress(const SourceProgress& progress);
absl::StatusOr<SourceProgress> DecodeSourceProgress(std::string_view bytes);
std::string SourceProgressKey(const SourceProgress& progress);

// What all records of `sources` say of the claims.
class SourceClaims {
 public:
  // All writers of one (source, incarnation) taken together.
  struct Claim {
    std::string source;
    Incarnation incarnation;
    bool repeatable = false;
    LogOffset claimed_at;          // the lowest offset of a record that claims it
    bool closed = false;           // any writer says so
    SourceProgress furthest_done;  // of all writers, the one with the highest done.byte
    InputMark intended;            // the highest of all writers
    std::vector<InputMark>
        intents;  // of each writer, in no order: every producer of the source verifies them all
  };

  // A record as it is read, in order of offset. kInvalidArgument: not a SourceProgress, or under
  // another key.
  absl::Status Add(std::string_view key, std::optional<std::string_view> value, LogOffset offset);

  std::vector<Claim> All() const;  // by source, then by claimed_at
  std::vector<Claim> OfSource(std::string_view source) const;
  // The open claim with the lowest claimed_at, of a repeatable input.
  std::optional<Claim> OpenClaim(std::string_view source) const;
  // Above every ordinal claimed of `source`, from 1.
  uint64_t NextOrdinal(std::string_view source) const;

 private:
  struct Held {
    SourceProgress progress;
    LogOffset offset;  // of the record that claimed, as far as this writer's records tell
  };
  std::map<std::string, Held, std::less<>> by_key_;
};

}  // namespace marquee::domain

#endif  // MARQUEE_DOMAIN_SOURCE_PROGRESS_H_
