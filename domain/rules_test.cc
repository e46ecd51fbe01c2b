#include "domain/rules.h"

#include "domain/aggregate.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace marquee::domain {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(Scale, HoldsHalfStarsByDefault) {
  Scale scale;
  EXPECT_EQ(scale.values(), 10);
  EXPECT_EQ(scale.ToString(), "0.5 to 5 in steps of 0.5");
  for (int32_t value : {500, 1000, 4500, 5000}) EXPECT_TRUE(scale.Contains(Thousandths(value)));
  for (int32_t value : {0, -500, 499, 750, 5500, INT32_MIN, INT32_MAX}) {
    EXPECT_FALSE(scale.Contains(Thousandths(value))) << value;
  }
}

TEST(Rules, AreReadAsTheyWereWritten) {
  Rules rules;
  rules.version = 3;
  rules.shards = 7;
  rules.scale = {Thousandths(0), Thousandths(100'000), Thousandths(250)};
  rules.idempotency_window_messages = 5;
  rules.sequence_distance_max = 6;
  rules.incarnations_per_source_max = 2;
  absl::StatusOr<Rules> read = DecodeRules(EncodeRules(rules));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, rules);
}

TEST(Rules, DifferencesNameEachFieldThatDiffers) {
  Rules recorded, here;
  EXPECT_THAT(Differences(recorded, here), IsEmpty());
  here.shards = 6;
  here.scale.min = Thousandths(1000);
  here.scale.step = Thousandths(1000);
  EXPECT_THAT(Differences(recorded, here),
              ElementsAre("shards: 12 recorded, 6 here",
                          "scale: 0.5 to 5 in steps of 0.5 recorded, 1 to 5 in steps of 1 here"));
  here = recorded;
  here.version = 2;
  here.idempotency_window_messages = 1;
  here.sequence_distance_max = 2;
  here.incarnations_per_source_max = 3;
  EXPECT_EQ(Differences(recorded, here).size(), 4u);
}

TEST(Rules, FieldsOutOfRangeAreRefusedByName) {
  Rules rules;
  EXPECT_TRUE(rules.Validate().ok());
  rules.shards = 0;
  EXPECT_THAT(std::string(rules.Validate().message()),
              HasSubstr("shards is 0; expected 1 to 1024"));
  rules = Rules();
  rules.scale.step = Thousandths(700);
  EXPECT_THAT(std::string(rules.Validate().message()),
              HasSubstr("the scale is 0.5 to 5 in steps of 0.7"));
  rules.scale.step = Thousandths(0);
  EXPECT_FALSE(rules.Validate().ok());
  rules = Rules();
  rules.incarnations_per_source_max = 0;
  EXPECT_FALSE(rules.Validate().ok());
  EXPECT_FALSE(DecodeRules("").ok());
  EXPECT_FALSE(DecodeRules("\xff").ok());
}

TEST(Thousandths, AreReadWithoutRounding) {
  const std::pair<const char*, int32_t> kRead[] = {
      {"0.5", 500},  {"4.5", 4500},  {"3", 3000},
      {"3.0", 3000}, {"0.125", 125}, {"3.5000", 3500},
      {"-1", -1000}, {"0", 0},       {"2147483.647", INT32_MAX}};
  for (const auto& [text, value] : kRead) {
    absl::StatusOr<Thousandths> read = ParseThousandths(text);
    ASSERT_TRUE(read.ok()) << text << read.status();
    EXPECT_EQ(read->value(), value) << text;
  }
}

TEST(Thousandths, OtherTextsAreRefusedWithTheReason) {
  for (const char* text :
       {"", "-", "NaN", "inf", "1e3", ".5", "5.", "+5", " 5", "5 ", "4,5", "0x1", "4.5.0"}) {
    EXPECT_THAT(std::string(ParseThousandths(text).status().message()),
                HasSubstr("not a decimal number"))
        << text;
  }
  EXPECT_THAT(std::string(ParseThousandths("5.7500001").status().message()),
              HasSubstr("\"5.7500001\" has more than 3 decimals"));
  for (const char* text : {"2147484", "2147483.648", "99999999999999999999"}) {
    EXPECT_THAT(std::string(ParseThousandths(text).status().message()), HasSubstr("too large"))
        << text;
  }
}

TEST(Thousandths, AreShownAsShortAsTheyCanBe) {
  EXPECT_EQ(FormatThousandths(Thousandths(4500)), "4.5");
  EXPECT_EQ(FormatThousandths(Thousandths(3000)), "3");
  EXPECT_EQ(FormatThousandths(Thousandths(125)), "0.125");
  EXPECT_EQ(FormatThousandths(Thousandths(0)), "0");
  EXPECT_EQ(FormatThousandths(Thousandths(10'000)), "10");
  EXPECT_EQ(FormatThousandths(Thousandths(-500)), "-0.5");
  EXPECT_EQ(FormatThousandths(Thousandths(INT32_MIN)), "-2147483.648");
}

TEST(Aggregate, CountsSumsAndBins) {
  Aggregate aggregate;
  aggregate.Add(Thousandths(500), Scale());
  aggregate.Add(Thousandths(5000), Scale());
  aggregate.Add(Thousandths(5000), Scale());
  EXPECT_EQ(aggregate.count, 3u);
  EXPECT_EQ(aggregate.sum_thousandths, 10'500);
  EXPECT_THAT(aggregate.histogram, ElementsAre(1, 0, 0, 0, 0, 0, 0, 0, 0, 2));
  EXPECT_DOUBLE_EQ(MeanOf(aggregate), 3.5);
}

TEST(Aggregate, ScaleOfManyValuesHasNoHistogram) {
  Scale percent{Thousandths(0), Thousandths(100'000), Thousandths(1000)};
  Aggregate aggregate;
  aggregate.Add(Thousandths(99'000), percent);
  EXPECT_EQ(aggregate.sum_thousandths, 99'000);
  EXPECT_THAT(aggregate.histogram, ::testing::Each(0));
}

TEST(BayesianMean, MovesFromThePriorToTheMeanAsRatingsCome) {
  EXPECT_DOUBLE_EQ(BayesianMeanOf(0, 0, 3.5, 50), 3.5);
  EXPECT_DOUBLE_EQ(BayesianMeanOf(50, 250'000, 3.0, 50), 4.0);
  EXPECT_NEAR(BayesianMeanOf(1, 5'000, 3.5, 50), 3.5294, 0.0001);
}

}  // namespace
}  // namespace marquee::domain
