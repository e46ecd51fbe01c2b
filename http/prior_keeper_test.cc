#include "http/prior_keeper.h"

#include <gtest/gtest.h>

#include "catalogue/sqlite/catalogue_model.h"
#include "catalogue/sqlite/sqlite_catalogue.h"

namespace marquee::http {
namespace {

using catalogue::MakeMean;

TEST(PriorKeeperTest, PriorIsTakenAfreshAtMostOnceAMinute) {
  catalogue::TemporaryFolder folder;
  auto catalogue = *catalogue::OpenSqliteCatalogue({.path = folder.File("c.db")});
  auto writer = *catalogue->OpenWriter();
  auto reader = *catalogue->OpenReader();
  ManualClock clock;
  PriorKeeper keeper(clock, 50, absl::Minutes(1));
  EXPECT_EQ(keeper.Current(*reader)->mean, 0);
  EXPECT_EQ(keeper.Current(*reader)->number, 0u);
  // The first rating makes one at once.
  ASSERT_TRUE(writer->Commit({.means = {MakeMean(1, 1, 1, 4000)}}).ok());
  catalogue::Prior first = *keeper.Current(*reader);
  EXPECT_EQ(first.mean, 4);
  EXPECT_EQ(first.weight, 50);
  EXPECT_GT(first.number, 0u);
  ASSERT_TRUE(writer->Commit({.means = {MakeMean(2, 2, 1, 2000)}}).ok());
  clock.Advance(absl::Seconds(59));
  EXPECT_EQ(keeper.Current(*reader)->number, first.number);
  clock.Jump(-absl::Hours(1));
  clock.Advance(absl::Seconds(1));
  EXPECT_EQ(keeper.Current(*reader)->mean, 3);
  EXPECT_GT(keeper.Current(*reader)->number, first.number);
}

}  // namespace
}  // namespace marquee::http
