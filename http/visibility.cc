#include "http/visibility.h"

#include <algorithm>
#include <utility>

namespace marquee::http {

void Visibility::Advance(std::span<const domain::Watermark> watermarks, uint64_t commit_number) {
  changed_movies_.TellAll(commit_number);
  AdvanceWatermarks(watermarks, commit_number);
}

void Visibility::Advance(std::span<const domain::Watermark> watermarks, uint64_t commit_number,
                         std::span<const domain::MovieId> changed) {
  // Before anybody is told that it is visible: they must not be served what was rendered earlier.
  changed_movies_.Tell(commit_number, changed);
  AdvanceWatermarks(watermarks, commit_number);
}

void Visibility::AdvanceWatermarks(std::span<const domain::Watermark> watermarks,
                                   uint64_t commit_number) {
  std::vector<std::function<void()>> visible;
  {
    MutexLock lock(mutex_);
    commit_number_ = std::max(commit_number_, commit_number);
    for (const domain::Watermark& watermark : watermarks) {
      domain::Watermark& known = watermarks_[watermark.shard];
      if (known.ratings_identity == watermark.ratings_identity &&
          known.ratings_through >= watermark.ratings_through) {
        continue;
      }
      known = watermark;
      MoveLine(watermark.shard, &visible);
    }
  }
  for (const std::function<void()>& callback : visible) callback();
}

void Visibility::MoveLine(uint32_t shard, std::vector<std::function<void()>>* visible) {
  auto line = lines_.find(shard);
  if (line == lines_.end()) return;
  int64_t through = watermarks_[shard].ratings_through.value();
  while (!line->second.empty() && line->second.begin()->first <= through) {
    WaiterId id = line->second.begin()->second;
    line->second.erase(line->second.begin());
    Waiter& waiter = waiters_.at(id);
    // One that waits for another log than the one that came goes on until its deadline.
    if (CoverOf(waiter.position, &waiter.shard, &waiter.offset) == Cover::kNo) {
      lines_[waiter.shard].emplace(waiter.offset, id);
      continue;
    }
    visible->push_back(std::move(waiter.visible));
    waiters_.erase(id);
  }
  if (line->second.empty()) lines_.erase(line);
}

Visibility::Cover Visibility::CoverOf(const LogPosition& position, uint32_t* shard,
                                      int64_t* offset) const {
  for (const auto& [number, watermark] : watermarks_) {
    if (watermark.ratings_identity != position.ratings_identity) return Cover::kAnotherLog;
  }
  for (const auto& [number, through] : position.through) {
    auto watermark = watermarks_.find(number);
    if (watermark != watermarks_.end() && watermark->second.ratings_through >= through) continue;
    *shard = number;
    *offset = through.value();
    return Cover::kNo;
  }
  return Cover::kYes;
}

Visibility::Answer Visibility::Wait(const LogPosition& position, std::function<void()> visible,
                                    WaiterId* id) {
  MutexLock lock(mutex_);
  Waiter waiter{.position = position, .visible = std::move(visible)};
  switch (CoverOf(position, &waiter.shard, &waiter.offset)) {
    case Cover::kYes:
      return Answer::kVisible;
    case Cover::kAnotherLog:
      return Answer::kAnotherLog;
    case Cover::kNo:
      break;
  }
  if (waiters_.size() >= kVisibilityWaitersMax) return Answer::kTooManyWaiters;
  *id = next_id_++;
  lines_[waiter.shard].emplace(waiter.offset, *id);
  waiters_.emplace(*id, std::move(waiter));
  return Answer::kWaiting;
}

void Visibility::RemoveFromLine(const Waiter& waiter, WaiterId id) {
  auto line = lines_.find(waiter.shard);
  if (line == lines_.end()) return;
  auto [first, last] = line->second.equal_range(waiter.offset);
  auto place = std::find_if(first, last, [id](const auto& each) { return each.second == id; });
  if (place != last) line->second.erase(place);
  if (line->second.empty()) lines_.erase(line);
}

bool Visibility::Cancel(WaiterId id) {
  MutexLock lock(mutex_);
  auto waiter = waiters_.find(id);
  if (waiter == waiters_.end()) return false;
  RemoveFromLine(waiter->second, id);
  waiters_.erase(waiter);
  return true;
}

bool Visibility::Covers(const LogPosition& position) const {
  MutexLock lock(mutex_);
  uint32_t shard;
  int64_t offset;
  return CoverOf(position, &shard, &offset) == Cover::kYes;
}

std::vector<domain::Watermark> Visibility::watermarks() const {
  MutexLock lock(mutex_);
  std::vector<domain::Watermark> all;
  for (const auto& [shard, watermark] : watermarks_) all.push_back(watermark);
  return all;
}

uint64_t Visibility::commit_number() const {
  MutexLock lock(mutex_);
  return commit_number_;
}

}  // namespace marquee::http
