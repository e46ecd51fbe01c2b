#include "services/mean_rating_producer.h"

#include "services/audit.h"
#include "services/test_system.h"

namespace marquee::services {
namespace {

class MeanRatingProducerTest : public TestSystem {
 protected:
  void SetUp() override { OpenTheSystem({.shards = 1}); }

  std::unique_ptr<MeanRatingProducer> Open(messaging::Broker& broker,
                                           MeanRatingProducerOptions options = {}) {
    auto producer = MeanRatingProducer::Open(TheWorld(broker), options);
    EXPECT_TRUE(producer.ok()) << producer.status();
    return *std::move(producer);
  }
  void Publish(int rows, const std::string& source = "s") {
    std::string text;
    for (int i = 0; i < rows; ++i) text += std::to_string(i) + ",10,4.0,1\n";
    ASSERT_TRUE(PublishRatings({.source = source, .path = Write(source + ".csv", text)}).ok());
  }
  // How many records each key has ever had in `mean-ratings` is gone with compaction; the end
  // offset tells that nothing came.
  messaging::Offset EndOfMeans() {
    return broker_->DescribeShard({"mean-ratings", messaging::Shard(0)})->end;
  }
};

TEST_F(MeanRatingProducerTest, AMeanThatDidNotChangeIsNotPublishedAgain) {
  auto producer = Open(*broker_);
  Publish(3);
  ASSERT_TRUE(Turn(*producer).ok());
  messaging::Offset end = EndOfMeans();
  ASSERT_TRUE(Turn(*producer).ok());
  EXPECT_EQ(EndOfMeans(), end);
  // Repeats move the watermark alone.
  auto records = ReadAll("ratings");
  auto publisher = *broker_->OpenPublisher("ratings");
  messaging::NewRecord again{.key = records[0].first, .value = records[0].second};
  ASSERT_TRUE(publisher->Publish({&again, 1}).ok());
  ASSERT_TRUE(publisher->Flush().ok());
  ASSERT_TRUE(Turn(*producer).ok());
  EXPECT_EQ(ReadAll("mean-ratings").size(), 2u);  // the movie, the watermark
  EXPECT_EQ(Catalogue()[10].aggregate.count, 3u);
}

// A member that restores all it gained in one go may be silent for so long that it loses it again,
// and so for ever.
TEST_F(MeanRatingProducerTest, BetweenTwoShardsThatItRestoresItPolls) {
  auto another = messaging::OpenMemoryBroker(server_, {}, clock_);
  ASSERT_TRUE(another.ok());
  auto system = OpenSystem(**another, Topics("p."), {.shards = 4}, random_);
  ASSERT_TRUE(system.ok()) << system.status();
  World world = TheWorld(**another);
  world.topics = Topics("p.");
  world.rules = system->rules;
  auto producer = MeanRatingProducer::Open(world, {});
  ASSERT_TRUE(producer.ok()) << producer.status();
  size_t owned = 0;
  for (int i = 0; i < 100 && owned < 4; ++i) {
    ASSERT_TRUE((*producer)->Step(absl::ZeroDuration()).ok());
    EXPECT_LE((*producer)->shards_owned(), owned + 1);
    owned = (*producer)->shards_owned();
    EXPECT_EQ((*producer)->NotReady().empty(), owned == 4) << owned;
    clock_.Advance(absl::Milliseconds(5));
  }
  EXPECT_EQ(owned, 4u);
}

TEST_F(MeanRatingProducerTest, AMemberForWhichNoShardIsLeftIsReadyAfterTheSessionTimeout) {
  auto owner = Open(*broker_);
  ASSERT_TRUE(Turn(*owner).ok());
  EXPECT_EQ(owner->NotReady(), "");
  auto another = messaging::OpenMemoryBroker(server_, {}, clock_);
  ASSERT_TRUE(another.ok());
  auto spare = Open(**another, {.session_timeout = absl::Seconds(6)});
  EXPECT_EQ(spare->NotReady(), "waiting for its share of the shards, has 0");
  clock_.Advance(absl::Seconds(6));
  EXPECT_EQ(spare->NotReady(), "");
}

TEST_F(MeanRatingProducerTest, ANewOwnerGoesOnFromTheCheckpointWithoutTheLogBeforeIt) {
  Publish(5);
  {
    auto producer = Open(*broker_);
    ASSERT_TRUE(Turn(*producer).ok());
    ASSERT_TRUE(producer->Drain().ok());
  }
  EXPECT_FALSE(ReadAll("mean-ratings-checkpoints").empty());
  Publish(2, "t");
  EXPECT_EQ(Catalogue()[10].aggregate.count, 7u);
}

TEST_F(MeanRatingProducerTest, OldCheckpointsAreDeleted) {
  auto producer = Open(*broker_, {.checkpoint_interval = absl::ZeroDuration()});
  for (int i = 0; i < 5; ++i) {
    Publish(2, "s" + std::to_string(i));
    ASSERT_TRUE(Turn(*producer).ok());
  }
  // The newest, and the one before it, which goes with the next.
  EXPECT_EQ(ReadAll("mean-ratings-checkpoints").size(), 2u);
}

TEST_F(MeanRatingProducerTest, ACheckpointOfAnotherLogIsAnErrorForAPerson) {
  Publish(5);
  {
    auto producer = Open(*broker_);
    ASSERT_TRUE(Turn(*producer).ok());
    ASSERT_TRUE(producer->Drain().ok());
  }
  ASSERT_TRUE(broker_->DeleteTopic("ratings").ok());
  ASSERT_TRUE(
      broker_->DeclareTopic({.name = "ratings", .kind = messaging::TopicKind::kEvent, .shards = 1})
          .ok());
  auto producer = Open(*broker_);
  absl::Status status = Turn(*producer);
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
}

TEST_F(MeanRatingProducerTest, AZombiesMeanThatBecameTheNewestRecordIsMended) {
  auto producer = Open(*broker_);
  Publish(2);
  ASSERT_TRUE(Turn(*producer).ok());
  domain::MeanRating old{
      .movie = domain::MovieId(10), .aggregate = {}, .shard = 0, .as_of = domain::LogOffset(0)};
  old.aggregate.Add(domain::Thousandths(500), domain::Scale());
  std::string value = domain::EncodeMean(old);
  auto zombie = *broker_->OpenPublisher("mean-ratings");
  messaging::NewRecord record{.key = "10", .value = value};
  ASSERT_TRUE(zombie->Publish({&record, 1}).ok());
  ASSERT_TRUE(zombie->Flush().ok());
  ASSERT_TRUE(Turn(*producer).ok());
  for (const auto& [key, bytes] : ReadAll("mean-ratings")) {
    if (key != "10") continue;
    EXPECT_EQ(domain::DecodeMean(bytes)->aggregate.count, 2u);
  }
}

TEST_F(MeanRatingProducerTest, WhatCannotBeCountedIsBuriedOnceWithItsReason) {
  auto publisher = *broker_->OpenPublisher("ratings");
  messaging::NewRecord poison{.key = "10", .value = "\xff\xff"};
  ASSERT_TRUE(publisher->Publish({&poison, 1}).ok());
  ASSERT_TRUE(publisher->Flush().ok());
  Publish(1);
  for (int i = 0; i < 2; ++i) {
    auto broker = Connect();
    auto producer = Open(*broker, {.session_timeout = absl::Milliseconds(10)});
    ASSERT_TRUE(Turn(*producer).ok());
    broker->Crash();
    clock_.Advance(absl::Seconds(1));
  }
  EXPECT_EQ(ReadAll("ratings.dlq").size(), 1u);
  EXPECT_EQ(Catalogue()[10].aggregate.count, 1u);
}

TEST_F(MeanRatingProducerTest, ADeadMembersShardsGoToOthers) {
  auto first_broker = Connect();
  auto first = Open(*first_broker, {.session_timeout = absl::Seconds(1)});
  ASSERT_TRUE(Turn(*first).ok());
  EXPECT_EQ(first->shards_owned(), 1u);
  first_broker->Crash();
  auto second = Open(*broker_, {.session_timeout = absl::Seconds(1)});
  clock_.Advance(absl::Seconds(2));
  ASSERT_TRUE(Turn(*second).ok());
  EXPECT_EQ(second->shards_owned(), 1u);
}

// ---- The sink and the audit, which need means

TEST_F(MeanRatingProducerTest, ARatingOfAnUnknownMovieCountsAndShowsWhenTheMovieComes) {
  Publish(3);
  auto before = Catalogue();
  EXPECT_EQ(before[10].aggregate.count, 3u);
  EXPECT_FALSE(before[10].title);
  auto movies = MovieDataProducer::Open(
      TheWorld(),
      {.source = "m", .path = Write("movies.csv", "movieId,title,genres\n10,Heat (1995),Crime\n")});
  ASSERT_TRUE(movies.ok()) << movies.status();
  ASSERT_TRUE(Turn(**movies).ok());
  auto after = Catalogue();
  EXPECT_EQ(after[10].title, "Heat");
  EXPECT_EQ(after[10].year, 1995);
  EXPECT_EQ(after[10].aggregate.count, 3u);
}

TEST_F(MeanRatingProducerTest, ADeletedCatalogueIsBuiltAgainFromTheLog) {
  Publish(3);
  auto first = Catalogue("a.db");
  auto second = Catalogue("b.db");
  EXPECT_EQ(first[10].aggregate, second[10].aggregate);
  EXPECT_EQ(second[10].aggregate.count, 3u);
}

TEST_F(MeanRatingProducerTest, ALogThatWasReplacedUnderACatalogueIsRefused) {
  Publish(3);
  Catalogue();
  ASSERT_TRUE(broker_->DeleteTopic("mean-ratings").ok());
  ASSERT_TRUE(broker_
                  ->DeclareTopic(
                      {.name = "mean-ratings", .kind = messaging::TopicKind::kEntity, .shards = 1})
                  .ok());
  auto sink = MovieDataSink::Open(TheWorld(), {}, *catalogue_, visibility_);
  EXPECT_TRUE(absl::IsFailedPrecondition(sink.status())) << sink.status();
}

TEST_F(MeanRatingProducerTest, TheAuditFindsAMeanThatIsWrong) {
  Publish(3);
  Catalogue();
  auto reader = *catalogue_->OpenReader();
  AuditOptions options{.files = {{"s", folder_ / "s.csv"}}};
  auto right = Audit(broker_.get(), *reader, rules_, options);
  ASSERT_TRUE(right.ok()) << right.status();
  EXPECT_TRUE(right->ok());
  EXPECT_EQ(right->ratings_expected, 3u);
  {
    auto writer = *catalogue_->OpenWriter();
    domain::MeanRating wrong{.movie = domain::MovieId(10),
                             .aggregate = {},
                             .shard = 0,
                             .as_of = domain::LogOffset(1'000'000)};
    wrong.aggregate.count = 3;
    wrong.aggregate.sum_thousandths = 12'001;
    catalogue::Changes changes;
    changes.means.push_back(wrong);
    ASSERT_TRUE(writer->Commit(changes).ok());
  }
  auto found = Audit(broker_.get(), *reader, rules_, options);
  ASSERT_TRUE(found.ok()) << found.status();
  ASSERT_EQ(found->movies.size(), 1u);
  EXPECT_EQ(found->movies[0].movie.value(), 10u);
}

TEST_F(MeanRatingProducerTest, TheAuditFindsRatingsThatWereLost) {
  // A producer says that three are done; the log holds one of them.
  Publish(3);
  auto records = ReadAll("ratings");
  ASSERT_TRUE(broker_->DeleteTopic("ratings").ok());
  ASSERT_TRUE(
      broker_->DeclareTopic({.name = "ratings", .kind = messaging::TopicKind::kEvent, .shards = 1})
          .ok());
  auto publisher = *broker_->OpenPublisher("ratings");
  messaging::NewRecord record{.key = records[1].first, .value = records[1].second};
  ASSERT_TRUE(publisher->Publish({&record, 1}).ok());
  ASSERT_TRUE(publisher->Flush().ok());
  Catalogue();
  auto reader = *catalogue_->OpenReader();
  auto report = Audit(broker_.get(), *reader, rules_, {.files = {}});
  ASSERT_TRUE(report.ok()) << report.status();
  ASSERT_FALSE(report->others.empty());
  EXPECT_NE(report->others[0].find("2 of them were not accepted"), std::string::npos)
      << report->others[0];
}

}  // namespace
}  // namespace marquee::services
