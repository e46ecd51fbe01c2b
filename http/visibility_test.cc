#include "http/visibility.h"

#include <gtest/gtest.h>

#include <atomic>
#include <iostream>
#include <thread>

#include "base/random.h"

namespace marquee::http {
namespace {

using Answer = Visibility::Answer;

domain::Watermark Mark(uint32_t shard, int64_t through, const std::string& identity = "log") {
  return {
      .shard = shard, .ratings_through = domain::LogOffset(through), .ratings_identity = identity};
}

LogPosition At(std::map<uint32_t, int64_t> through) {
  LogPosition position{.ratings_identity = "log", .through = {}};
  for (auto [shard, offset] : through) position.through[shard] = domain::LogOffset(offset);
  return position;
}

void Advance(Visibility& visibility, std::vector<domain::Watermark> watermarks,
             uint64_t commit = 0) {
  visibility.Advance(watermarks, commit);
}

TEST(VisibilityTest, PositionIsVisibleWhenEveryShardHasPassedIt) {
  Visibility visibility;
  int called = 0;
  Visibility::WaiterId id = 0;
  ASSERT_EQ(visibility.Wait(
                At({{0, 5}, {2, 7}}), [&] { ++called; }, &id),
            Answer::kWaiting);
  Advance(visibility, {Mark(2, 100)});
  EXPECT_EQ(called, 0);
  EXPECT_FALSE(visibility.Covers(At({{0, 5}, {2, 7}})));
  Advance(visibility, {Mark(0, 4)});
  EXPECT_EQ(called, 0);
  EXPECT_FALSE(visibility.Covers(At({{0, 5}})));
  Advance(visibility, {Mark(0, 5)});
  EXPECT_EQ(called, 1);
  EXPECT_TRUE(visibility.Covers(At({{0, 5}, {2, 7}})));
  EXPECT_FALSE(visibility.Cancel(id));
  EXPECT_EQ(visibility.Wait(
                At({{0, 5}}), [&] { ++called; }, &id),
            Answer::kVisible);
  EXPECT_EQ(visibility.Wait(
                At({}), [&] { ++called; }, &id),
            Answer::kVisible);
  Advance(visibility, {Mark(0, 9)});
  EXPECT_EQ(called, 1);
}

TEST(VisibilityTest, WatermarksNeverGoBack) {
  Visibility visibility;
  Advance(visibility, {Mark(0, 9)}, 5);
  Advance(visibility, {Mark(0, 4)}, 3);
  EXPECT_EQ(visibility.watermarks()[0].ratings_through.value(), 9);
  EXPECT_EQ(visibility.commit_number(), 5u);
}

TEST(VisibilityTest, CancelledWaiterIsNotCalled) {
  Visibility visibility;
  Visibility::WaiterId id = 0;
  bool called = false;
  ASSERT_EQ(visibility.Wait(
                At({{0, 5}}), [&] { called = true; }, &id),
            Answer::kWaiting);
  EXPECT_TRUE(visibility.Cancel(id));
  EXPECT_FALSE(visibility.Cancel(id));
  Advance(visibility, {Mark(0, 5)});
  EXPECT_FALSE(called);
}

TEST(VisibilityTest, PositionOfAnotherLogIsToldApart) {
  Visibility visibility;
  Visibility::WaiterId id = 0;
  Advance(visibility, {Mark(0, 9, "other")});
  EXPECT_EQ(visibility.Wait(
                At({{0, 1}}), [] {}, &id),
            Answer::kAnotherLog);
  EXPECT_FALSE(visibility.Covers(At({{0, 1}})));
}

TEST(VisibilityTest, MoreThanTheLimitDoNotWait) {
  Visibility visibility;
  Visibility::WaiterId id = 0;
  for (size_t i = 0; i < kVisibilityWaitersMax; ++i) {
    ASSERT_EQ(visibility.Wait(
                  At({{0, 5}}), [] {}, &id),
              Answer::kWaiting);
  }
  EXPECT_EQ(visibility.Wait(
                At({{0, 5}}), [] {}, &id),
            Answer::kTooManyWaiters);
  EXPECT_TRUE(visibility.Cancel(id));
  EXPECT_EQ(visibility.Wait(
                At({{0, 5}}), [] {}, &id),
            Answer::kWaiting);
}

TEST(VisibilityTest, CallbackMayWaitAgain) {
  Visibility visibility;
  Visibility::WaiterId id = 0;
  Answer inner = Answer::kVisible;
  visibility.Wait(
      At({{0, 5}}),
      [&] {
        inner = visibility.Wait(
            At({{0, 6}}), [] {}, &id);
      },
      &id);
  Advance(visibility, {Mark(0, 5)});
  EXPECT_EQ(inner, Answer::kWaiting);
}

// Waiters come, give up and are served from several threads; each is called once or cancelled,
// never both.
TEST(VisibilityTest, EachWaiterIsCalledOnceOrCancelled) {
  uint64_t seed = Random::FromSystem().Next();
  std::cout << "seed " << seed << "\n";
  Visibility visibility;
  std::atomic<int> called = 0, cancelled = 0, visible = 0;
  std::vector<std::thread> threads;
  constexpr int kWaits = 3000;
  for (uint64_t t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      Random random(seed + t);
      for (int i = 0; i < kWaits; ++i) {
        Visibility::WaiterId id = 0;
        auto offset = static_cast<int64_t>(random.Below(5000));
        Answer answer = visibility.Wait(
            At({{0, offset}, {1, offset / 2}}), [&] { ++called; }, &id);
        if (answer == Answer::kVisible) ++visible;
        if (answer == Answer::kWaiting && random.OneIn(3) && visibility.Cancel(id)) ++cancelled;
      }
    });
  }
  for (int64_t through = 0; through <= 5000; through += 10) {
    Advance(visibility, {Mark(0, through), Mark(1, through)}, static_cast<uint64_t>(through));
  }
  for (std::thread& thread : threads) thread.join();
  Advance(visibility, {Mark(0, 5000), Mark(1, 5000)});
  EXPECT_EQ(called + cancelled + visible, 3 * kWaits);
}

}  // namespace
}  // namespace marquee::http
