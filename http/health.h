// What /livez, /readyz and /lag answer: each component of the process says how it is. Threads: any.
#ifndef MARQUEE_HTTP_HEALTH_H_
#define MARQUEE_HTTP_HEALTH_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "base/clock.h"
#include "base/mutex.h"

namespace marquee::http {

struct ShardLag {
  std::string topic;
  uint32_t shard = 0;
  std::string group;
  int64_t records = 0;
};

class Health {
 public:
  explicit Health(Clock& clock) : clock_(clock) {}

  // A component that was never heard of is ready once it says so: name it as not ready first.
  void SetReady(const std::string& component);
  void SetNotReady(const std::string& component, const std::string& reason);
  // The component's loop turned. One that did not for kLoopSilenceMax is not alive.
  void Beat(const std::string& component);
  void SetLag(const std::string& component, std::vector<ShardLag> lags);
  // A component that ended as it should is neither waited for nor reported any more.
  void Remove(const std::string& component);

  struct Report {
    bool ok = true;
    std::map<std::string, std::string> reasons;  // component → why it is not
  };
  Report Ready() const;
  Report Alive() const;
  std::vector<ShardLag> Lags() const;

 private:
  struct Component {
    std::string not_ready;  // empty: ready
    absl::Duration beat = -absl::InfiniteDuration();
    std::vector<ShardLag> lags;
  };
  Clock& clock_;
  mutable Mutex mutex_;
  std::map<std::string, Component> components_ ABSL_GUARDED_BY(mutex_);
};

inline constexpr absl::Duration kLoopSilenceMax = absl::Seconds(30);

}  // namespace marquee::http

#endif  // MARQUEE_HTTP_HEALTH_H_
