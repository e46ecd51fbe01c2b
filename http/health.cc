#include "http/health.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace marquee::http {

void Health::SetReady(const std::string& component) {
  MutexLock lock(mutex_);
  components_[component].not_ready.clear();
}

void Health::SetNotReady(const std::string& component, const std::string& reason) {
  MutexLock lock(mutex_);
  components_[component].not_ready = reason.empty() ? "not ready" : reason;
}

void Health::Beat(const std::string& component) {
  absl::Duration now = clock_.Uptime();
  MutexLock lock(mutex_);
  components_[component].beat = now;
}

void Health::SetLag(const std::string& component, std::vector<ShardLag> lags) {
  MutexLock lock(mutex_);
  components_[component].lags = std::move(lags);
}

void Health::Remove(const std::string& component) {
  MutexLock lock(mutex_);
  components_.erase(component);
}

Health::Report Health::Ready() const {
  Report report;
  MutexLock lock(mutex_);
  for (const auto& [name, component] : components_) {
    if (component.not_ready.empty()) continue;
    report.ok = false;
    report.reasons[name] = component.not_ready;
  }
  return report;
}

Health::Report Health::Alive() const {
  Report report;
  absl::Duration now = clock_.Uptime();
  MutexLock lock(mutex_);
  for (const auto& [name, component] : components_) {
    // One whose loop has not begun to turn yet is not stuck in it.
    if (component.beat == -absl::InfiniteDuration()) continue;
    absl::Duration silence = now - component.beat;
    if (silence <= kLoopSilenceMax) continue;
    report.ok = false;
    report.reasons[name] =
        absl::StrCat("its loop has not turned for ", absl::ToInt64Seconds(silence), " s, at most ",
                     absl::ToInt64Seconds(kLoopSilenceMax), " s are expected");
  }
  return report;
}

std::vector<ShardLag> Health::Lags() const {
  std::vector<ShardLag> all;
  MutexLock lock(mutex_);
  for (const auto& [name, component] : components_) {
    all.insert(all.end(), component.lags.begin(), component.lags.end());
  }
  return all;
}

}  // namespace marquee::http
