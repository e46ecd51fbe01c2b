// `marquee audit`: recomputes every movie from its inputs and compares count, sum and histogram
// with a catalogue.
#ifndef MARQUEE_SERVICES_AUDIT_H_
#define MARQUEE_SERVICES_AUDIT_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "catalogue/catalogue.h"
#include "domain/aggregate.h"
#include "domain/rules.h"
#include "messaging/broker.h"
#include "services/topics.h"

namespace marquee::services {

struct AuditInput {
  std::string source;
  std::string path;
};

struct AuditOptions {
  // What these sources published is recomputed from their files; everything else is taken from the
  // topic.
  std::vector<AuditInput> files;
  Topics topics = Topics();
};

struct AuditReport {
  struct MovieDifference {
    domain::MovieId movie;
    domain::Aggregate expected;
    domain::Aggregate found;
  };
  std::vector<MovieDifference> movies;
  std::vector<std::string> others;  // losses, sequences that are missing, means that are not
                                    // visible yet: one sentence each
  std::vector<std::string> notes;   // what the proof rests on: one sentence each

  uint64_t movies_compared = 0;
  uint64_t ratings_expected = 0;
  uint64_t ratings_from_files = 0;
  uint64_t ratings_from_topic = 0;
  uint64_t repeats_dropped = 0;
  uint64_t rejected = 0;

  bool ok() const { return movies.empty() && others.empty(); }
};

// With a broker: files up to what `sources` says is done, the rest from the topic up to the
// catalogue's watermarks, and the stamps against `sources`. `broker` may be null: files and
// catalogue alone.
absl::StatusOr<AuditReport> Audit(messaging::Broker* broker, catalogue::Reader& catalogue,
                                  const domain::Rules& rules, const AuditOptions& options);

}  // namespace marquee::services

#endif  // MARQUEE_SERVICES_AUDIT_H_
