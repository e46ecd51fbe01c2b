#include "messaging/rabbitmq/absence.h"

#include <gtest/gtest.h>

#include "absl/time/time.h"

namespace marquee::messaging::rabbitmq {
namespace {

constexpr absl::Duration kStart = absl::Seconds(100);
const absl::Duration kStep = kNodeBehindMax / 10;

TEST(AbsenceTest, WhatNoLookFindsForLongerThanANodeMayBeBehindIsGone) {
  Absence absence;
  for (int i = 0; i <= 10; ++i) EXPECT_FALSE(absence.IsForGood(kStart + i * kStep)) << i;
  EXPECT_TRUE(absence.IsForGood(kStart + 11 * kStep));
  EXPECT_TRUE(absence.IsForGood(kStart + 12 * kStep));
}

TEST(AbsenceTest, LooksThatAreFarApartSayNothingOfWhatWasBetweenThem) {
  Absence absence;
  EXPECT_FALSE(absence.IsForGood(kStart));
  absl::Duration hours_later = kStart + absl::Hours(3);
  EXPECT_FALSE(absence.IsForGood(hours_later));
  EXPECT_FALSE(absence.IsForGood(hours_later + kNodeBehindMax));
  EXPECT_TRUE(absence.IsForGood(hours_later + kNodeBehindMax + kStep));
}

TEST(AbsenceTest, WhatALookDidNotFindIsLookedForAgainAfterAWhile) {
  Absence absence;
  EXPECT_TRUE(absence.IsDue(kStart)) << "never looked for";
  absence.IsForGood(kStart);
  EXPECT_FALSE(absence.IsDue(kStart + kLookAgainAfter / 2));
  EXPECT_TRUE(absence.IsDue(kStart + kLookAgainAfter));
  absence.IsForGood(kStart + kLookAgainAfter);
  EXPECT_FALSE(absence.IsDue(kStart + 3 * kLookAgainAfter / 2));
}

}  // namespace
}  // namespace marquee::messaging::rabbitmq
