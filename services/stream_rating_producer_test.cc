#include "services/stream_rating_producer.h"

#include <unistd.h>

#include "gmock/gmock.h"
#include "services/test_system.h"

namespace marquee::services {
namespace {

using ::testing::HasSubstr;

class StreamRatingProducerTest : public TestSystem {
 protected:
  void SetUp() override {
    OpenTheSystem();
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    read_end_ = ends[0];
    write_end_ = ends[1];
    stream_.emplace(read_end_, "standard input", domain::Scale());
  }
  void TearDown() override {
    EndInput();
    close(read_end_);
  }

  void Feed(std::string_view text) {
    ASSERT_EQ(write(write_end_, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  void EndInput() {
    if (write_end_ >= 0) close(write_end_);
    write_end_ = -1;
  }
  std::unique_ptr<StreamRatingProducer> Open(messaging::Broker& broker,
                                             const StreamRatingProducerOptions& options = {}) {
    auto producer = StreamRatingProducer::Open(TheWorld(broker), options, *stream_, progress_);
    EXPECT_TRUE(producer.ok()) << producer.status();
    return *std::move(producer);
  }

  int read_end_ = -1;
  int write_end_ = -1;
  std::optional<sources::RatingStream> stream_;
};

TEST_F(StreamRatingProducerTest, CountsEachRowOnceAndFinishesAtTheEnd) {
  auto producer = Open(*broker_);
  Feed("userId,movieId,rating,timestamp\n1,10,4,100\n2,10,3,101\n");
  ASSERT_TRUE(producer->Step(absl::ZeroDuration()).ok());
  EXPECT_EQ(producer->flushed_line(), 3u);
  Feed("3,20,5,102");
  EndInput();
  ASSERT_TRUE(Turn(*producer).ok());
  EXPECT_TRUE(producer->caught_up());
  EXPECT_EQ(producer->flushed_line(), 4u);
  auto catalogue = Catalogue();
  EXPECT_EQ(catalogue[10].aggregate.count, 2u);
  EXPECT_EQ(catalogue[20].aggregate.count, 1u);
}

TEST_F(StreamRatingProducerTest, WhatCouldNotBeFlushedIsPublishedAgainAndCountsOnce) {
  auto broker = Connect();
  auto producer = Open(*broker);
  Feed("1,10,4,100\n2,10,3,101\nbad\n3,20,5,102\n");
  // Of the first two attempts the ratings are published, and their flush fails.
  for (int attempt = 0; attempt < 2; ++attempt) {
    broker->FailAtCall(4, absl::UnavailableError("away"));
    auto turn = producer->Step(absl::ZeroDuration());
    ASSERT_TRUE(turn.ok()) << turn.status();
    EXPECT_EQ(*turn, services::Turn::kIdle);
    EXPECT_EQ(producer->flushed_line(), 0u);
  }
  Feed("4,20,5,103\n");
  EndInput();
  ASSERT_TRUE(Turn(*producer).ok());
  EXPECT_EQ(producer->flushed_line(), 5u);
  EXPECT_EQ(progress_.ratings, 4u);
  EXPECT_EQ(progress_.rejected, 1u);
  EXPECT_EQ(ReadAll("ratings.dlq").size(), 1u);
  auto catalogue = Catalogue();
  EXPECT_EQ(catalogue[10].aggregate.count, 2u);
  EXPECT_EQ(catalogue[20].aggregate.count, 2u);
}

TEST_F(StreamRatingProducerTest, AnErrorThatStaysSaysWhatIsDurable) {
  auto broker = Connect();
  auto producer = Open(*broker);
  Feed("1,10,4,100\n");
  ASSERT_TRUE(producer->Step(absl::ZeroDuration()).ok());
  Feed("2,10,3,101\n");
  broker->FailAtCall(2, absl::DataLossError("damaged"));
  absl::Status status = producer->Step(absl::ZeroDuration()).status();
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_THAT(status.message(), HasSubstr("up to line 1 of standard input are durable"));
  EXPECT_THAT(status.message(), HasSubstr("up to line 2 may be or not"));
}

TEST_F(StreamRatingProducerTest, DrainingWhileTheBrokerIsAwayIsAnErrorThatDoesNotStartAnew) {
  auto broker = Connect();
  auto producer = Open(*broker);
  Feed("1,10,4,100\n");
  broker->FailAtCall(2, absl::UnavailableError("away"));
  ASSERT_TRUE(producer->Step(absl::ZeroDuration()).ok());
  broker->FailAtCall(1, absl::UnavailableError("away"));
  absl::Status status = producer->Drain();
  EXPECT_FALSE(status.ok());
  EXPECT_FALSE(MayPass(status)) << status;
}

TEST_F(StreamRatingProducerTest, StrictPublishesWhatStandsBeforeTheBadRowAndEnds) {
  auto producer = Open(*broker_, {.strict = true});
  Feed("1,10,4,100\nbad\n2,10,3,101\n");
  absl::Status status = Turn(*producer);
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(status.message(), HasSubstr("standard input line 2"));
  EXPECT_EQ(Catalogue()[10].aggregate.count, 1u);
}

TEST_F(StreamRatingProducerTest, PublishesNoMoreThanTheLimitAndKeepsToTheRate) {
  auto producer = Open(*broker_, {.rate_per_s = 100, .limit = 3});
  Feed("1,10,4,100\n2,10,3,101\n3,10,3,102\n4,10,3,103\n");
  absl::Duration began = clock_.Uptime();
  ASSERT_TRUE(Turn(*producer).ok());
  EXPECT_TRUE(producer->caught_up());
  EXPECT_GE(clock_.Uptime() - began, absl::Milliseconds(30));
  EXPECT_EQ(Catalogue()[10].aggregate.count, 3u);
}

}  // namespace
}  // namespace marquee::services
