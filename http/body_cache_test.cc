#include "http/body_cache.h"

#include <gtest/gtest.h>

#include <vector>

namespace marquee::http {
namespace {

SharedBody Body(uint64_t read_after, int64_t as_of = 1, size_t bytes = 10, uint64_t prior = 1) {
  auto body = std::make_shared<RenderedBody>();
  body->body.assign(bytes, 'x');
  body->as_of = as_of;
  body->read_after = read_after;
  body->prior_number = prior;
  return body;
}

void Tell(ChangedMovies& changed, uint64_t number, std::vector<domain::MovieId> movies) {
  changed.Tell(number, movies);
}

TEST(MovieCacheTest, BodyHoldsUntilItsMovieChanges) {
  ChangedMovies changed;
  MovieCache cache(changed);
  domain::MovieId one(1), two(2);
  Tell(changed, 1, {one, two});
  cache.Put(one, Body(1));
  cache.Put(two, Body(1));
  EXPECT_NE(cache.Find(one, 1), nullptr);
  EXPECT_EQ(cache.Find(one, 2), nullptr) << "another prior";
  Tell(changed, 2, {two});
  EXPECT_NE(cache.Find(one, 1), nullptr);
  EXPECT_EQ(cache.Find(two, 1), nullptr);
}

TEST(MovieCacheTest, BodyReadBeforeACommitThatChangedItDoesNotHoldThoughItIsPutAfterwards) {
  ChangedMovies changed;
  MovieCache cache(changed);
  Tell(changed, 1, {domain::MovieId(1)});
  cache.Put(domain::MovieId(1), Body(0));
  EXPECT_EQ(cache.Find(domain::MovieId(1), 1), nullptr);
}

TEST(MovieCacheTest, CommitThatWasNotToldMakesAllReadAgain) {
  ChangedMovies changed;
  MovieCache cache(changed);
  Tell(changed, 1, {});
  cache.Put(domain::MovieId(1), Body(1));
  Tell(changed, 3, {domain::MovieId(2)});
  EXPECT_EQ(cache.Find(domain::MovieId(1), 1), nullptr);
}

TEST(MovieCacheTest, NothingHoldsWhileANewerStateWasSeenThanTold) {
  ChangedMovies changed;
  MovieCache cache(changed);
  Tell(changed, 1, {});
  cache.Put(domain::MovieId(1), Body(1));
  changed.Observe(2);
  EXPECT_EQ(cache.Find(domain::MovieId(1), 1), nullptr);
  Tell(changed, 2, {domain::MovieId(2)});
  EXPECT_NE(cache.Find(domain::MovieId(1), 1), nullptr);
}

TEST(MovieCacheTest, OlderBodyDoesNotReplaceANewerOne) {
  ChangedMovies changed;
  MovieCache cache(changed);
  cache.Put(domain::MovieId(1), Body(0, 9));
  cache.Put(domain::MovieId(1), Body(0, 8));
  EXPECT_EQ(cache.Find(domain::MovieId(1), 1)->as_of, 9);
}

TEST(MovieCacheTest, IsBoundedAndKeepsWhatIsAskedFor) {
  ChangedMovies changed;
  MovieCache cache(changed);
  cache.Put(domain::MovieId(1), Body(0));
  size_t found = 0;
  constexpr uint64_t kMovies = 4 * kCachedMoviesMax;
  for (uint64_t id = 2; id < kMovies; ++id) {
    cache.Put(domain::MovieId(id), Body(0));
    if (id % 100 == 0) {
      ASSERT_NE(cache.Find(domain::MovieId(1), 1), nullptr);
    }
  }
  for (uint64_t id = 2; id < kMovies; ++id) found += cache.Find(domain::MovieId(id), 1) != nullptr;
  EXPECT_LE(found, kCachedMoviesMax);
  EXPECT_GT(found, kCachedMoviesMax / 4);
  for (uint64_t id = 2; id < 2000; ++id) cache.Put(domain::MovieId(id), Body(0, 1, 1 << 20));
  found = 0;
  for (uint64_t id = 2; id < 2000; ++id) found += cache.Find(domain::MovieId(id), 1) != nullptr;
  EXPECT_LE(found, kCachedMovieBytesMax >> 20);
}

TEST(PageCacheTest, PageHoldsUntilTheNextCommit) {
  ChangedMovies changed;
  PageCache cache(changed);
  Tell(changed, 1, {});
  cache.Put("a", Body(1));
  EXPECT_NE(cache.Find("a", 1), nullptr);
  EXPECT_EQ(cache.Find("b", 1), nullptr);
  EXPECT_EQ(cache.Find("a", 2), nullptr);
  Tell(changed, 2, {});
  EXPECT_EQ(cache.Find("a", 1), nullptr);
  cache.Put("a", Body(1));
  EXPECT_EQ(cache.Find("a", 1), nullptr);
}

}  // namespace
}  // namespace marquee::http
