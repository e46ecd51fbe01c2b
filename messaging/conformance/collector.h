// What was read of some shards, and whether reading kept the rules: within a batch offsets grow and
// are below the position after it; a record that comes again is the same as before.
//
// A broken rule fails the test that runs. Threads: one.
#ifndef MARQUEE_MESSAGING_CONFORMANCE_COLLECTOR_H_
#define MARQUEE_MESSAGING_CONFORMANCE_COLLECTOR_H_

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "messaging/broker.h"

namespace marquee::messaging::conformance {

// A record that owns its bytes.
struct Got {
  TopicShard at;
  Offset offset;
  std::string key;
  std::optional<std::string> value;
  std::vector<std::pair<std::string, std::string>> headers;
  absl::Time published;

  friend bool operator==(const Got&, const Got&) = default;
  friend std::ostream& operator<<(std::ostream& out, const Got& got);
};

class Collector {
 public:
  void Add(const Batch& batch);

  // Of one shard, or of all shards, shard by shard; each record once, by offset.
  std::vector<Got> Records(const TopicShard& shard) const;
  std::vector<Got> Records() const;
  // Of each key, the record with the highest offset.
  std::map<std::string, Got> Newest() const;
  size_t size() const;

 private:
  std::map<TopicShard, std::map<Offset, Got>> got_;
};

}  // namespace marquee::messaging::conformance

#endif  // MARQUEE_MESSAGING_CONFORMANCE_COLLECTOR_H_
