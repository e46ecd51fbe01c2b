// When a watermark of `mean-ratings` holds: docs/design/0008.
#include "services/movie_data_sink.h"

#include <optional>
#include <string>
#include <vector>

#include "services/test_system.h"

namespace marquee::services {
namespace {

class MovieDataSinkTest : public TestSystem {
 protected:
  // A sink that commits each record by itself, as one does that is far behind.
  void SetUp() override {
    messaging::MemoryWorldOptions one_by_one;
    one_by_one.repeat_one_in = one_by_one.empty_poll_one_in = one_by_one.early_store_one_in = 0;
    one_by_one.batch_records_max = 1;
    broker_.reset();
    server_ = std::make_shared<messaging::MemoryWorld>(one_by_one, clock_);
    broker_ = Connect();
    OpenTheSystem({.shards = 1});
    identity_ = broker_->DescribeTopic("ratings")->identity;
    publisher_ = *broker_->OpenPublisher("mean-ratings");
    catalogue_ = *catalogue::OpenSqliteCatalogue({.path = folder_ / "catalogue.db"});
    OpenSink();
  }

  void OpenSink() {
    sink_.reset();
    MovieDataSinkOptions options;
    options.commit_interval = absl::ZeroDuration();
    sink_ = *MovieDataSink::Open(TheWorld(), options, *catalogue_, visibility_);
  }

  void PutMean(uint64_t movie, int64_t as_of) {
    domain::MeanRating mean{.movie = domain::MovieId(movie), .as_of = domain::LogOffset(as_of)};
    mean.aggregate.Add(domain::Thousandths(4000), rules_.scale);
    Put(domain::MovieKey(mean.movie), domain::EncodeMean(mean));
  }
  void PutWatermark(int64_t through) {
    Put(domain::WatermarkKey(0),
        domain::EncodeWatermark(
            {.ratings_through = domain::LogOffset(through), .ratings_identity = identity_}));
  }

  int64_t Watermark() {
    auto watermarks = *(*catalogue_->OpenReader())->Watermarks();
    return watermarks.empty() ? -1 : watermarks[0].ratings_through.value();
  }
  bool Has(uint64_t movie) {
    bool found = false;
    EXPECT_TRUE(
        (*catalogue_->OpenReader())
            ->ForEach([&](const catalogue::Entry& entry) { found |= entry.id.value() == movie; })
            .ok());
    return found;
  }
  void Step() { ASSERT_TRUE(sink_->Step(absl::ZeroDuration()).ok()); }

  std::string identity_;
  std::unique_ptr<messaging::Publisher> publisher_;
  std::unique_ptr<MovieDataSink> sink_;

 private:
  void Put(const std::string& key, const std::string& value) {
    messaging::NewRecord record{.key = key, .value = value, .shard = messaging::Shard(0)};
    ASSERT_TRUE(publisher_->Publish({&record, 1}).ok());
    ASSERT_TRUE(publisher_->Flush().ok());
  }
};

TEST_F(MovieDataSinkTest, AWatermarkIsHeldBackWhereCompactionTookAMean) {
  PutMean(1, 1);
  PutWatermark(2);
  ASSERT_TRUE(Turn(*sink_).ok());
  ASSERT_EQ(Watermark(), 2);
  PutMean(2, 3);
  PutWatermark(4);
  PutMean(2, 5);  // takes the one before the watermark away
  for (int i = 0; i < 10 && Watermark() < 4; ++i) {
    ASSERT_NO_FATAL_FAILURE(Step());
    EXPECT_TRUE(Watermark() < 4 || Has(2)) << "the watermark speaks of its mean";
  }
  EXPECT_EQ(Watermark(), 4);
}

TEST_F(MovieDataSinkTest, WhereNothingIsMissingItHoldsAtOnce) {
  PutMean(1, 1);
  PutWatermark(2);
  ASSERT_TRUE(Turn(*sink_).ok());
  PutMean(2, 3);
  PutWatermark(4);
  PutMean(3, 5);
  for (int i = 0; i < 10 && Watermark() < 4; ++i) ASSERT_NO_FATAL_FAILURE(Step());
  EXPECT_EQ(Watermark(), 4);
  EXPECT_TRUE(Has(2));
  EXPECT_FALSE(Has(3)) << "the shard was not read to its end yet";
}

TEST_F(MovieDataSinkTest, ASinkThatBeganHoldsItBackUntilTheEnd) {
  PutMean(1, 1);
  PutWatermark(2);
  PutMean(2, 3);
  for (int i = 0; i < 10 && !Has(2); ++i) {
    EXPECT_EQ(Watermark(), -1);
    ASSERT_NO_FATAL_FAILURE(Step());
  }
  ASSERT_TRUE(Turn(*sink_).ok());
  EXPECT_EQ(Watermark(), 2);
  // And again after a restart: what it missed before its position it cannot know.
  OpenSink();
  PutMean(3, 3);
  PutWatermark(4);
  PutMean(4, 5);
  for (int i = 0; i < 10 && !Has(4); ++i) {
    EXPECT_EQ(Watermark(), 2);
    ASSERT_NO_FATAL_FAILURE(Step());
  }
  ASSERT_TRUE(Turn(*sink_).ok());
  EXPECT_EQ(Watermark(), 4);
}

}  // namespace
}  // namespace marquee::services
