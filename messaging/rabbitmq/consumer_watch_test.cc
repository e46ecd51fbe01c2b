#include "messaging/rabbitmq/consumer_watch.h"

#include <gtest/gtest.h>

#include "absl/time/time.h"

namespace marquee::messaging::rabbitmq {
namespace {

using Act = ConsumerWatch::Act;

constexpr absl::Duration kStep = absl::Milliseconds(10);
constexpr absl::Duration kSilenceMax = absl::Seconds(4);

class ConsumerWatchTest : public testing::Test {
 protected:
  // How long it takes until there is something to do.
  absl::Duration Wait() {
    for (absl::Duration waited; waited < absl::Minutes(2); waited += kStep) {
      act_ = watch_.Due(now_);
      if (act_ != Act::kNothing) return waited;
      now_ += kStep;
    }
    return absl::InfiniteDuration();
  }

  ConsumerWatch watch_{kSilenceMax};
  absl::Duration now_ = absl::Seconds(100);
  Act act_ = Act::kNothing;
};

TEST_F(ConsumerWatchTest, OneThatIsSilentIsMadeAnewLessAndLessOften) {
  for (int seconds : {1, 2, 4, 4, 4}) {
    watch_.Begun(now_);
    watch_.Heard(now_, /*is_news=*/false);
    EXPECT_EQ(Wait(), absl::Seconds(seconds));
    EXPECT_EQ(act_, Act::kRenew);
  }
}

TEST_F(ConsumerWatchTest, NewsShortenItsPatienceAgain) {
  for (int i = 0; i < 5; ++i) {
    watch_.Begun(now_);
    watch_.Heard(now_, false);
    Wait();
  }
  watch_.Begun(now_);
  watch_.Heard(now_, /*is_news=*/true);
  EXPECT_EQ(Wait(), absl::Seconds(1));
}

TEST_F(ConsumerWatchTest, OneThatSpeaksIsLeftAlone) {
  watch_.Begun(now_);
  for (int i = 0; i < 1000; ++i) {
    watch_.Heard(now_, true);
    now_ += absl::Milliseconds(900);
    ASSERT_EQ(watch_.Due(now_), Act::kNothing);
  }
}

TEST_F(ConsumerWatchTest, OneThatWasNeverServedIsNudgedAndThenLookedForElsewhere) {
  watch_.Begun(now_);
  EXPECT_EQ(Wait(), absl::Seconds(1));
  EXPECT_EQ(act_, Act::kNudge);
  EXPECT_EQ(Wait(), absl::Seconds(2));
  EXPECT_EQ(act_, Act::kLookElsewhere);
  for (int seconds : {4, 8, 16, 32, 32}) {
    EXPECT_EQ(Wait(), absl::Seconds(seconds));
    EXPECT_EQ(act_, Act::kLookElsewhere);
  }
  watch_.Heard(now_, false);
  EXPECT_EQ(watch_.Due(now_), Act::kNothing);
}

}  // namespace
}  // namespace marquee::messaging::rabbitmq
