#include "services/file_rating_producer.h"

#include "domain/dead_letter.h"
#include "domain/rating.h"
#include "services/audit.h"
#include "services/test_system.h"

namespace marquee::services {
namespace {

constexpr char kRows[] =
    "userId,movieId,rating,timestamp\n"
    "1,10,4.0,100\n"
    "1,11,3.5,101\n"
    "2,10,5.0,102\n"
    "2,12,0.5,103\n"
    "3,11,2.0,104\n";

class FileRatingProducerTest : public TestSystem {
 protected:
  void SetUp() override { OpenTheSystem(); }
  // Stamps in `ratings` as "source/sequence@shard", the shard by its number.
  size_t RatingsInTopic() { return ReadAll("ratings").size(); }
};

TEST_F(FileRatingProducerTest, PublishesEachRowOnceWithDenseSequencesInEachShard) {
  ASSERT_TRUE(PublishRatings({.source = "s", .path = Write("r.csv", kRows)}).ok());
  std::map<uint32_t, std::vector<uint64_t>> sequences;
  for (const auto& [key, value] : ReadAll("ratings")) {
    domain::Rating rating;
    ASSERT_TRUE(domain::ParseRating(value, &rating).ok());
    ASSERT_TRUE(rating.stamp);
    EXPECT_EQ(rating.stamp->source, "s");
    EXPECT_EQ(key, domain::MovieKey(rating.movie));
    sequences[messaging::ShardOfKey(key, 2).value()].push_back(rating.stamp->sequence.value());
  }
  size_t total = 0;
  for (const auto& [shard, of_shard] : sequences) {
    for (size_t i = 0; i < of_shard.size(); ++i) EXPECT_EQ(of_shard[i], i + 1);
    total += of_shard.size();
  }
  EXPECT_EQ(total, 5u);
}

TEST_F(FileRatingProducerTest, StartedAgainItPublishesNothingTwice) {
  FileRatingProducerOptions options{.source = "s", .path = Write("r.csv", kRows)};
  ASSERT_TRUE(PublishRatings(options).ok());
  ASSERT_TRUE(PublishRatings(options).ok());
  EXPECT_EQ(RatingsInTopic(), 5u);
}

TEST_F(FileRatingProducerTest, GoesOnWithWhatWasAppended) {
  FileRatingProducerOptions options{.source = "s", .path = Write("r.csv", kRows)};
  ASSERT_TRUE(PublishRatings(options).ok());
  Append("r.csv", "4,10,1.0,105\n");
  ASSERT_TRUE(PublishRatings(options).ok());
  EXPECT_EQ(RatingsInTopic(), 6u);
  EXPECT_EQ(Catalogue()[10].aggregate.count, 3u);
}

TEST_F(FileRatingProducerTest, FollowingALastLineWaitsUntilItIsWhole) {
  FileRatingProducerOptions options{
      .source = "s", .path = Write("r.csv", std::string(kRows) + "4,10,1.0"), .follow = true};
  auto producer = FileRatingProducer::Open(TheWorld(), options, progress_);
  ASSERT_TRUE(producer.ok()) << producer.status();
  ASSERT_TRUE(Turn(**producer).ok());
  EXPECT_EQ(RatingsInTopic(), 5u);
  Append("r.csv", ",105\n");
  ASSERT_TRUE(Turn(**producer).ok());
  ASSERT_TRUE((*producer)->Drain().ok());
  EXPECT_EQ(RatingsInTopic(), 6u);
}

TEST_F(FileRatingProducerTest, AnInputEditedWhereItWasPublishedIsRefused) {
  FileRatingProducerOptions options{.source = "s", .path = Write("r.csv", kRows)};
  ASSERT_TRUE(PublishRatings(options).ok());
  std::string edited = kRows;
  edited.replace(edited.find("3.5"), 3, "4.5");
  Write("r.csv", edited);
  absl::Status status = PublishRatings(options);
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_NE(status.message().find("--new-input"), absl::string_view::npos) << status;
  EXPECT_EQ(RatingsInTopic(), 5u);
}

TEST_F(FileRatingProducerTest, AnInputEditedWhereItMayHaveBeenPublishedIsRefused) {
  // The producer dies after its intent for the whole file; nothing is known to be done.
  FileRatingProducerOptions options{.source = "s", .path = Write("r.csv", kRows)};
  {
    auto broker = Connect();
    auto producer = FileRatingProducer::Open(TheWorld(*broker), options, progress_);
    ASSERT_TRUE(producer.ok()) << producer.status();
    broker->Crash();
  }
  std::string edited = kRows;
  edited.replace(edited.find("2.0"), 3, "2.5");
  Write("r.csv", edited);
  EXPECT_TRUE(absl::IsFailedPrecondition(PublishRatings(options)));
}

TEST_F(FileRatingProducerTest, ANewInputTakesANewIncarnationAndCounts) {
  FileRatingProducerOptions options{.source = "s", .path = Write("r.csv", kRows)};
  ASSERT_TRUE(PublishRatings(options).ok());
  Write("r.csv", "9,10,3.0,200\n");
  options.new_input = true;
  ASSERT_TRUE(PublishRatings(options).ok());
  EXPECT_EQ(Catalogue()[10].aggregate.count, 3u);
}

TEST_F(FileRatingProducerTest, StartedAgainAsANewInputItCountsNothingTwice) {
  FileRatingProducerOptions options{.source = "s", .path = Write("r.csv", kRows)};
  ASSERT_TRUE(PublishRatings(options).ok());
  Write("r.csv", "9,10,3.0,200\n");
  options.new_input = true;
  ASSERT_TRUE(PublishRatings(options).ok());
  // A supervisor starts it with the flags that it has.
  ASSERT_TRUE(PublishRatings(options).ok());
  EXPECT_EQ(Catalogue()[10].aggregate.count, 3u);
}

TEST_F(FileRatingProducerTest, ANewInputIsTakenAlsoWhereATwinLeftAClaimOfTheOldOne) {
  FileRatingProducerOptions options{.source = "s", .path = Write("r.csv", kRows)};
  ASSERT_TRUE(PublishRatings(options).ok());
  {
    // The twin claimed at the same moment, and lost.
    auto log = *SourceLog::Open(TheWorld());
    domain::SourceProgress lost = log->claims().OpenClaim("s")->furthest_done;
    lost.incarnation = domain::MakeIncarnation(1, lost.incarnation.value() + 1);
    lost.writer = 7;
    lost.claim.reset();
    ASSERT_TRUE(log->Write(lost).ok());
  }
  Write("r.csv", "9,10,3.0,200\n");
  options.new_input = true;
  absl::Status status = PublishRatings(options);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(Catalogue()[10].aggregate.count, 3u);
}

TEST_F(FileRatingProducerTest, TheAuditTakesWhatAFormerInputGaveFromTheTopic) {
  FileRatingProducerOptions options{.source = "s", .path = Write("r.csv", kRows)};
  ASSERT_TRUE(PublishRatings(options).ok());
  Write("r.csv", "9,10,3.0,200\n");
  options.new_input = true;
  ASSERT_TRUE(PublishRatings(options).ok());
  Catalogue();
  auto reader = *catalogue_->OpenReader();
  auto report = Audit(broker_.get(), *reader, rules_, {.files = {{"s", options.path}}});
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_TRUE(report->ok());
  EXPECT_EQ(report->ratings_from_files, 1u);
  EXPECT_EQ(report->ratings_from_topic, 5u);
}

TEST_F(FileRatingProducerTest, AnIntentThatTurnsOutWrongIsTakenBack) {
  // Both read the claim before either went on; their files differ beyond the first window.
  FileRatingProducerOptions right{.source = "s", .path = Write("a.csv", kRows), .window_bytes = 40};
  std::string other = kRows;
  other.replace(other.find("3,11,2.0"), 8, "3,11,2.5");
  FileRatingProducerOptions wrong{
      .source = "s", .path = Write("b.csv", other), .window_bytes = 1000};
  auto a = *FileRatingProducer::Open(TheWorld(), right, progress_);
  auto b = *FileRatingProducer::Open(TheWorld(), wrong, progress_);
  ASSERT_TRUE(Turn(*a).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(Turn(*b)));
  // The right one is not kept from going on.
  Append("a.csv", "4,10,1.0,105\n");
  EXPECT_TRUE(PublishRatings(right).ok());
}

TEST_F(FileRatingProducerTest, ATwinWithAnotherFileIsNoticedBeforeItPublishes) {
  // Both opened before either wrote a window beyond the claim.
  FileRatingProducerOptions mine{.source = "s", .path = Write("a.csv", kRows), .window_bytes = 40};
  FileRatingProducerOptions others{
      .source = "s", .path = Write("b.csv", "1,10,4.0,100\n7,10,1.0,9\n"), .window_bytes = 40};
  auto a = FileRatingProducer::Open(TheWorld(), mine, progress_);
  ASSERT_TRUE(a.ok()) << a.status();
  EXPECT_TRUE(
      absl::IsFailedPrecondition(FileRatingProducer::Open(TheWorld(), others, progress_).status()));
}

TEST_F(FileRatingProducerTest, ATwinWithTheSameFileChangesNothing) {
  FileRatingProducerOptions options{
      .source = "s", .path = Write("r.csv", kRows), .window_bytes = 40};
  auto a = FileRatingProducer::Open(TheWorld(), options, progress_);
  auto b = FileRatingProducer::Open(TheWorld(), options, progress_);
  ASSERT_TRUE(a.ok() && b.ok());
  ASSERT_TRUE(Turn(**a).ok());
  ASSERT_TRUE(Turn(**b).ok());
  auto catalogue = Catalogue();
  EXPECT_EQ(catalogue[10].aggregate.count, 2u);
  EXPECT_EQ(catalogue[11].aggregate.count, 2u);
}

TEST_F(FileRatingProducerTest, ABadRowGoesToTheDeadLettersOnceWithItsLine) {
  FileRatingProducerOptions options{
      .source = "s", .path = Write("r.csv", std::string(kRows) + "5,10,5.7,106\n6,10,1.0,107\n")};
  ASSERT_TRUE(PublishRatings(options).ok());
  ASSERT_TRUE(PublishRatings(options).ok());
  auto letters = ReadAll("ratings.dlq");
  ASSERT_EQ(letters.size(), 1u);
  auto letter = domain::DecodeDeadLetter(letters[0].second);
  ASSERT_TRUE(letter.ok()) << letter.status();
  EXPECT_EQ(letter->row->row, 7u);
  EXPECT_EQ(letter->value, "5,10,5.7,106");
  EXPECT_NE(letter->error.find("5.7"), std::string::npos) << letter->error;
  EXPECT_EQ(RatingsInTopic(), 6u);
}

TEST_F(FileRatingProducerTest, StrictEndsAtABadRowAndKeepsWhatStandsBeforeIt) {
  FileRatingProducerOptions options{
      .source = "s",
      .path = Write("r.csv", std::string(kRows) + "5,10,nan,106\n6,10,1.0,107\n"),
      .strict = true};
  absl::Status status = PublishRatings(options);
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_NE(status.message().find("line 7"), absl::string_view::npos) << status;
  EXPECT_EQ(RatingsInTopic(), 5u);
  EXPECT_TRUE(ReadAll("ratings.dlq").empty());
}

TEST_F(FileRatingProducerTest, ALimitEndsTheRunAndTheNextOneGoesOn) {
  FileRatingProducerOptions options{.source = "s", .path = Write("r.csv", kRows), .limit = 2};
  ASSERT_TRUE(PublishRatings(options).ok());
  EXPECT_EQ(RatingsInTopic(), 2u);
  ASSERT_TRUE(PublishRatings(options).ok());
  EXPECT_EQ(RatingsInTopic(), 4u);
  ASSERT_TRUE(PublishRatings({.source = "s", .path = options.path}).ok());
  EXPECT_EQ(RatingsInTopic(), 5u);
}

TEST_F(FileRatingProducerTest, ARateIsKept) {
  std::string rows = "userId,movieId,rating,timestamp\n";
  for (int i = 0; i < 400; ++i) rows += "1,10,4.0,1\n";
  FileRatingProducerOptions options{.source = "s", .path = Write("r.csv", rows), .rate_per_s = 100};
  auto producer = FileRatingProducer::Open(TheWorld(), options, progress_);
  ASSERT_TRUE(producer.ok()) << producer.status();
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE((*producer)->Step(absl::ZeroDuration()).ok());
    clock_.Advance(absl::Milliseconds(10));
  }
  ASSERT_TRUE((*producer)->Drain().ok());
  EXPECT_NEAR(static_cast<double>(RatingsInTopic()), 200, 3);
}

TEST_F(FileRatingProducerTest, AMissingFileIsNamed) {
  absl::Status status = PublishRatings({.source = "s", .path = folder_ / "nowhere.csv"});
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_NE(status.message().find("nowhere.csv"), absl::string_view::npos) << status;
}

}  // namespace
}  // namespace marquee::services
