#include "services/mean_rating_producer.h"

#include <limits>
#include <optional>
#include <set>
#include <utility>
#include <vector>

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

// Where the broker keeps them together. Elsewhere the watermark waits until the means are durable.
TEST_F(MeanRatingProducerTest, AWatermarkGoesWithItsMeansWhereItCannotBeSeenWithoutThem) {
  auto calls_with = [this](size_t together_bytes_max) {
    messaging::MemoryWorldOptions calm;
    calm.repeat_one_in = calm.empty_poll_one_in = calm.early_store_one_in = 0;
    calm.together_bytes_max = together_bytes_max;
    server_ = std::make_shared<messaging::MemoryWorld>(calm, clock_);
    broker_ = Connect();
    OpenTheSystem({.shards = 1});
    auto another = Connect();
    auto producer = Open(*another);
    EXPECT_TRUE(Turn(*producer).ok());
    Publish(3);
    uint64_t before = another->calls();
    EXPECT_TRUE(Turn(*producer).ok());
    EXPECT_EQ(ReadAll("mean-ratings").size(), 2u);
    return another->calls() - before;
  };
  uint64_t apart = calls_with(0);
  EXPECT_EQ(calls_with(1'000) + 2, apart) << "one call to publish and one to flush";
  EXPECT_EQ(calls_with(10), apart) << "they have more bytes than that";
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

class FarBehindTest : public MeanRatingProducerTest {
 protected:
  static constexpr uint32_t kShards = 6;
  static constexpr absl::Duration kTick = absl::Milliseconds(10);
  static constexpr absl::Duration kFlushInterval = absl::Milliseconds(480);

  void SetUp() override { OpenTheSystem({.shards = kShards}); }

  // As much behind as anybody can be who has not read all.
  MeanRatingProducerOptions FarBehind(absl::Duration checkpoint_interval) {
    return {.flush_interval = absl::Milliseconds(20),
            .backfill_flush_interval = kFlushInterval,
            .backfill_lag_messages = 0,
            .checkpoint_interval = checkpoint_interval};
  }
  void PublishMovies(int rows) {
    std::string text;
    for (int i = 0; i < rows; ++i)
      text += std::to_string(i) + "," + std::to_string(i % 200) + ",4.0,1\n";
    ASSERT_TRUE(PublishRatings({.source = "s", .path = Write("s.csv", text)}).ok());
  }
  int64_t NewestAsOf() {
    int64_t newest = 0;
    for (const auto& [key, value] : ReadAll("mean-ratings")) {
      auto mean = domain::DecodeMean(value);
      if (domain::ParseMovieKey(key) && mean.ok()) newest = std::max(newest, mean->as_of.value());
    }
    return newest;
  }
  std::vector<messaging::Offset> Ends(const std::string& topic) {
    std::vector<messaging::Offset> ends;
    for (uint32_t i = 0; i < kShards; ++i)
      ends.push_back(broker_->DescribeShard({topic, messaging::Shard(i)})->end);
    return ends;
  }
};

TEST_F(FarBehindTest, TheShardsTakeTurnsAndNoneWaitsLongerThanTheInterval) {
  PublishMovies(40'000);
  auto producer = Open(*broker_, FarBehind(/*checkpoint_interval=*/absl::ZeroDuration()));
  // Since when it has read something of the shard that is not published.
  std::vector<std::optional<absl::Duration>> waits_since(kShards);
  std::vector<int64_t> lags(kShards, std::numeric_limits<int64_t>::max());
  std::vector<messaging::Offset> before = Ends("mean-ratings");
  std::set<uint32_t> came;
  for (int i = 0; *producer->Lag() > 0 || i < 50; ++i) {
    ASSERT_LT(i, 10'000);
    ASSERT_TRUE(producer->Step(absl::ZeroDuration()).ok());
    clock_.Advance(kTick);
    std::vector<messaging::Offset> now = Ends("mean-ratings");
    size_t moved = 0;
    std::vector<MeanRatingProducer::ShardLag> all = *producer->Lags();
    for (const auto& [shard, records] : all) {
      bool is_read = records < std::exchange(lags[shard], records);
      if (now[shard] != before[shard]) {
        ++moved;
        came.insert(shard);
        waits_since[shard].reset();
      } else if (is_read && !waits_since[shard]) {
        waits_since[shard] = clock_.Uptime();
      }
    }
    before = now;
    if (came.size() < kShards || *producer->Lag() == 0) continue;
    EXPECT_LE(moved, kShards / 3);
    for (const std::optional<absl::Duration>& since : waits_since) {
      EXPECT_LE(clock_.Uptime() - since.value_or(clock_.Uptime()), kFlushInterval + 3 * kTick);
    }
  }
  EXPECT_EQ(came.size(), kShards);
  for (messaging::Offset end : Ends("mean-ratings-checkpoints")) EXPECT_GT(end.value(), 0);
}

TEST_F(FarBehindTest, WhoReadsAgainWhatWasPublishedIsReadyToFlushTheFirstNewMeans) {
  Publish(10'000);
  MeanRatingProducerOptions options = FarBehind(/*checkpoint_interval=*/absl::InfiniteDuration());
  options.backfill_flush_interval = absl::Seconds(100);
  auto crashed_broker = Connect();
  auto crashed = Open(*crashed_broker, options);
  ASSERT_TRUE(Turn(*crashed).ok());
  int64_t published_through = NewestAsOf();
  crashed_broker->Crash();
  crashed.reset();
  Publish(10'000, "t");
  clock_.Advance(absl::Seconds(10));

  auto producer = Open(*broker_, options);
  for (int i = 0; NewestAsOf() == published_through; ++i) {
    ASSERT_LT(i, 10'000);
    ASSERT_TRUE(producer->Step(absl::ZeroDuration()).ok());
    clock_.Advance(kTick);
  }
  EXPECT_GT(published_through, 9'000);
  EXPECT_LT(NewestAsOf(), published_through + 500);
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
