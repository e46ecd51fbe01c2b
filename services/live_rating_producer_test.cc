#include "services/live_rating_producer.h"

#include "services/test_system.h"

namespace marquee::services {
namespace {

class LiveRatingProducerTest : public TestSystem {
 protected:
  void SetUp() override { OpenTheSystem(); }

  std::unique_ptr<LiveRatingProducer> Open(messaging::Broker& broker) {
    auto producer = LiveRatingProducer::Open(TheWorld(broker), {.source = "web"}, queue_);
    EXPECT_TRUE(producer.ok()) << producer.status();
    return *std::move(producer);
  }

  static http::PostedRatings Request(uint64_t movie, std::optional<std::string> key,
                                     uint64_t digest) {
    return {.ratings = {{.user = domain::UserId(1),
                         .movie = domain::MovieId(movie),
                         .value = domain::Thousandths(4000)}},
            .idempotency_key = std::move(key),
            .body_digest = digest};
  }
  // The answer, once it is there.
  std::shared_ptr<std::optional<absl::StatusOr<http::LogPosition>>> Submit(
      http::PostedRatings request) {
    auto answer = std::make_shared<std::optional<absl::StatusOr<http::LogPosition>>>();
    queue_.Submit(std::move(request), [answer](absl::StatusOr<http::LogPosition> position) {
      *answer = std::move(position);
    });
    return answer;
  }

  LiveRatingQueue queue_;
};

TEST_F(LiveRatingProducerTest, AnswersAfterTheFlushWithAPositionThatCoversTheRating) {
  auto producer = Open(*broker_);
  auto answer = Submit(Request(10, "k", 1));
  EXPECT_FALSE(answer->has_value());
  ASSERT_TRUE(producer->Step(absl::ZeroDuration()).ok());
  ASSERT_TRUE(answer->has_value());
  ASSERT_TRUE((*answer)->ok()) << (*answer)->status();
  EXPECT_EQ((**answer)->through.size(), 1u);
  EXPECT_FALSE(visibility_.Covers(***answer));
  EXPECT_EQ(Catalogue()[10].aggregate.count, 1u);
  EXPECT_TRUE(visibility_.Covers(***answer));
}

TEST_F(LiveRatingProducerTest, TheMoreItFlushedTheLongerItGathers) {
  auto producer = Open(*broker_);
  auto gathers_after = [&](size_t ratings) {
    http::PostedRatings request = Request(10, std::nullopt, 1);
    request.ratings.resize(ratings, request.ratings.front());
    Submit(std::move(request));
    EXPECT_TRUE(producer->Step(absl::Seconds(1)).ok());
    absl::Duration began = clock_.Uptime();
    Submit(Request(10, std::nullopt, 1));
    EXPECT_TRUE(producer->Step(absl::Seconds(1)).ok());
    absl::Duration gathered = clock_.Uptime() - began;
    clock_.Advance(absl::Seconds(1));
    return gathered;
  };
  EXPECT_LT(gathers_after(1), absl::Microseconds(100));
  EXPECT_EQ(gathers_after(100), absl::Milliseconds(2));
  EXPECT_EQ(gathers_after(2000), absl::Milliseconds(5));
}

TEST_F(LiveRatingProducerTest, ARequestSentAgainThroughARestartedProducerCountsOnce) {
  {
    auto broker = Connect();
    auto producer = Open(*broker);
    Submit(Request(10, "k", 1));
    ASSERT_TRUE(producer->Step(absl::ZeroDuration()).ok());
    broker->Crash();
  }
  auto producer = Open(*broker_);
  auto answer = Submit(Request(10, "k", 1));
  ASSERT_TRUE(producer->Step(absl::ZeroDuration()).ok());
  ASSERT_TRUE(answer->has_value() && (*answer)->ok());
  EXPECT_EQ(ReadAll("ratings").size(), 2u);
  EXPECT_EQ(Catalogue()[10].aggregate.count, 1u);
}

TEST_F(LiveRatingProducerTest, TheSameKeyWithAnotherBodyIsRefused) {
  auto producer = Open(*broker_);
  Submit(Request(10, "k", 1));
  auto answer = Submit(Request(10, "k", 2));
  ASSERT_TRUE(answer->has_value());
  EXPECT_TRUE(absl::IsFailedPrecondition((*answer)->status()));
}

TEST_F(LiveRatingProducerTest, WhatCouldNotBeFlushedIsAnsweredSo) {
  auto broker = Connect();
  auto producer = Open(*broker);
  auto answer = Submit(Request(10, "k", 1));
  broker->FailAtCall(2, absl::UnavailableError("away"));  // Publish, then Flush
  EXPECT_FALSE(producer->Step(absl::ZeroDuration()).ok());
  ASSERT_TRUE(answer->has_value());
  EXPECT_TRUE(absl::IsUnavailable((*answer)->status())) << (*answer)->status();
}

TEST_F(LiveRatingProducerTest, WithoutAProducerRequestsAreRefusedAtOnce) {
  auto answer = Submit(Request(10, "k", 1));
  ASSERT_TRUE(answer->has_value());
  EXPECT_TRUE(absl::IsUnavailable((*answer)->status()));
}

TEST_F(LiveRatingProducerTest, AFullQueueRefusesInsteadOfGrowing) {
  auto producer = Open(*broker_);
  http::PostedRatings request = Request(10, std::nullopt, 1);
  request.ratings.resize(kQueuedRatingsMax, request.ratings[0]);
  Submit(request);
  auto answer = Submit(Request(10, std::nullopt, 1));
  ASSERT_TRUE(answer->has_value());
  EXPECT_TRUE(absl::IsResourceExhausted((*answer)->status()));
}

TEST_F(LiveRatingProducerTest, EachStartTakesAnIncarnationAboveAllBefore) {
  std::vector<uint64_t> ordinals;
  for (int i = 0; i < 3; ++i) {
    auto producer = Open(*broker_);
    auto log = SourceLog::Open(TheWorld());
    ASSERT_TRUE(log.ok());
    uint64_t highest = 0;
    for (const auto& claim : (*log)->claims().OfSource("web"))
      highest = std::max(highest, domain::OrdinalOf(claim.incarnation));
    ordinals.push_back(highest);
  }
  EXPECT_EQ(ordinals, (std::vector<uint64_t>{1, 2, 3}));
}

}  // namespace
}  // namespace marquee::services
