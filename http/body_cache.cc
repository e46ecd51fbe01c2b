#include "http/body_cache.h"

#include <utility>

namespace marquee::http {
namespace {

// What an entry takes besides its texts.
constexpr size_t kEntryBytes = 160;

size_t BytesOf(const RenderedBody& body) {
  return body.body.size() + body.etag.size() + kEntryBytes;
}

}  // namespace

bool MovieCache::Holds(const RenderedBody& body, domain::MovieId movie) const {
  return changed_.LastChange(movie) <= body.read_after && changed_.Settled();
}

SharedBody MovieCache::Find(domain::MovieId movie, uint64_t prior_number) {
  Part& part = PartOf(movie);
  MutexLock lock(part.mutex);
  auto found = part.young.find(movie);
  bool is_young = found != part.young.end();
  if (!is_young) {
    found = part.old.find(movie);
    if (found == part.old.end()) return nullptr;
  }
  SharedBody body = found->second;
  if (body->prior_number != prior_number || !Holds(*body, movie)) return nullptr;
  if (!is_young) {
    part.old.erase(found);
    Insert(part, movie, body);
  }
  return body;
}

void MovieCache::Insert(Part& part, domain::MovieId movie, SharedBody body) {
  size_t bytes = BytesOf(*body);
  if (part.young.size() >= kCachedMoviesMax / kParts / 2 ||
      part.young_bytes + bytes > kCachedMovieBytesMax / kParts / 2) {
    part.old = std::exchange(part.young, Bodies());
    part.young_bytes = 0;
  }
  SharedBody& place = part.young[movie];
  if (place) part.young_bytes -= BytesOf(*place);
  part.young_bytes += bytes;
  place = std::move(body);
}

void MovieCache::Put(domain::MovieId movie, SharedBody body) {
  Part& part = PartOf(movie);
  MutexLock lock(part.mutex);
  for (Bodies* bodies : {&part.young, &part.old}) {
    auto found = bodies->find(movie);
    if (found != bodies->end() && found->second->as_of > body->as_of &&
        Holds(*found->second, movie))
      return;
  }
  part.old.erase(movie);
  Insert(part, movie, std::move(body));
}

SharedBody PageCache::Find(const std::string& key, uint64_t prior_number) {
  MutexLock lock(mutex_);
  auto found = pages_.find(key);
  if (found == pages_.end() || found->second->prior_number != prior_number) return nullptr;
  if (found->second->read_after != changed_.told() || !changed_.Settled()) return nullptr;
  return found->second;
}

void PageCache::Put(const std::string& key, SharedBody body) {
  size_t bytes = BytesOf(*body) + key.size();
  MutexLock lock(mutex_);
  if (body->read_after < read_after_ || bytes > kCachedPageBytesMax) return;
  if (body->read_after > read_after_ || pages_.size() >= kCachedPagesMax ||
      bytes_ + bytes > kCachedPageBytesMax) {
    pages_.clear();
    bytes_ = 0;
    read_after_ = body->read_after;
  }
  if (pages_.insert_or_assign(key, std::move(body)).second) bytes_ += bytes;
}

}  // namespace marquee::http
