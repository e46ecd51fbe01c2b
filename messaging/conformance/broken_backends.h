// Backends that break one sentence each, on purpose: decorators around a working one. They prove
// that the suite can fail (broken_backends_test.cc).
#ifndef MARQUEE_MESSAGING_CONFORMANCE_BROKEN_BACKENDS_H_
#define MARQUEE_MESSAGING_CONFORMANCE_BROKEN_BACKENDS_H_

#include <memory>
#include <optional>
#include <string_view>

#include "messaging/broker.h"

namespace marquee::messaging::conformance {

enum class Defect {
  kNone,              // the decorator alone: the suite passes
  kDrops,             // one record in a thousand is not published
  kRepeatsAnew,       // one record in a thousand is published twice: again, with a new offset
  kReorders,          // two neighbours of one call in a hundred change places
  kGivesShardsToTwo,  // every member of a group gets all its shards
  kForgetsFlushed,    // Flush returns before the last record was sent
  kCompactsNewest,    // entity topics: one update in a hundred is what vanishes, not the record
                      // before it
};

std::optional<Defect> DefectOf(std::string_view word);

std::unique_ptr<Broker> Break(Defect defect, std::unique_ptr<Broker> inner);

}  // namespace marquee::messaging::conformance

#endif  // MARQUEE_MESSAGING_CONFORMANCE_BROKEN_BACKENDS_H_
