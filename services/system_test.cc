#include "services/system.h"

#include "services/test_system.h"

namespace marquee::services {
namespace {

class SystemTest : public TestSystem {};

TEST_F(SystemTest, RecordsTheDefaultsOnceAndSaysThatItDid) {
  auto first = OpenSystem(*broker_, Topics(), {}, random_);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_TRUE(first->first);
  EXPECT_EQ(first->rules.shards, 12u);
  auto second = OpenSystem(*broker_, Topics(), {}, random_);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_FALSE(second->first);
}

TEST_F(SystemTest, WhatIsLeftOutFollowsWhatIsRecorded) {
  ASSERT_TRUE(OpenSystem(*broker_, Topics(), {.shards = 5}, random_).ok());
  auto system = OpenSystem(*broker_, Topics(), {}, random_);
  ASSERT_TRUE(system.ok()) << system.status();
  EXPECT_EQ(system->rules.shards, 5u);
}

TEST_F(SystemTest, ADifferingSettingIsRefusedWithBothShown) {
  ASSERT_TRUE(OpenSystem(*broker_, Topics(), {.shards = 5}, random_).ok());
  auto system = OpenSystem(*broker_, Topics(), {.shards = 6}, random_);
  EXPECT_TRUE(absl::IsFailedPrecondition(system.status())) << system.status();
  EXPECT_NE(system.status().message().find("5"), absl::string_view::npos) << system.status();
  EXPECT_NE(system.status().message().find("6"), absl::string_view::npos) << system.status();
}

TEST_F(SystemTest, OfTwoThatRecordAtOnceTheFirstInTheLogHolds) {
  // Both found nothing and both wrote; the second one's record is newer and must not count.
  ASSERT_TRUE(
      broker_
          ->DeclareTopic({.name = "settings", .kind = messaging::TopicKind::kEntity, .shards = 1})
          .ok());
  auto publisher = *broker_->OpenPublisher("settings");
  for (uint32_t shards : {3, 4}) {
    domain::Rules rules;
    rules.shards = shards;
    std::string key = "rules/" + std::to_string(9 - shards), value = domain::EncodeRules(rules);
    messaging::NewRecord record{.key = key, .value = value};
    ASSERT_TRUE(publisher->Publish({&record, 1}).ok());
  }
  ASSERT_TRUE(publisher->Flush().ok());
  auto system = OpenSystem(*broker_, Topics(), {}, random_);
  ASSERT_TRUE(system.ok()) << system.status();
  EXPECT_EQ(system->rules.shards, 3u);
  EXPECT_TRUE(
      absl::IsFailedPrecondition(OpenSystem(*broker_, Topics(), {.shards = 4}, random_).status()));
}

TEST_F(SystemTest, TenantsAreApart) {
  ASSERT_TRUE(OpenSystem(*broker_, Topics("a-"), {.shards = 2}, random_).ok());
  auto other = OpenSystem(*broker_, Topics("b-"), {.shards = 3}, random_);
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_EQ(other->rules.shards, 3u);
}

TEST_F(SystemTest, ToolsThatLookDeclareNothing) {
  EXPECT_TRUE(absl::IsNotFound(FindSystem(*broker_, Topics()).status()));
  EXPECT_TRUE(broker_->ListTopics()->empty());
}

}  // namespace
}  // namespace marquee::services
