#include "sources/movielens.h"

#include <filesystem>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sources/testing/temporary_folder.h"

namespace marquee::sources {
namespace {

using ::testing::HasSubstr;

std::string MessageOf(const std::string& folder) {
  absl::Status status = FindMovieLens(folder).status();
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  return std::string(status.message());
}

TEST(FindMovieLens, FindsTheFilesOfBothKindsOfSets) {
  testing::TemporaryFolder folder;
  folder.Write("ratings.dat", "");
  folder.Write("movies.dat", "");
  auto found = FindMovieLens(folder.path());
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->ratings, folder.At("ratings.dat"));
  EXPECT_EQ(found->movies, folder.At("movies.dat"));
  folder.Write("ratings.csv", "");
  folder.Write("movies.csv", "");
  found = FindMovieLens(folder.path());
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->ratings, folder.At("ratings.csv"));
  EXPECT_EQ(found->movies, folder.At("movies.csv"));
}

TEST(FindMovieLens, SaysWhatItFoundInstead) {
  testing::TemporaryFolder folder;
  EXPECT_THAT(MessageOf(folder.path()), HasSubstr("found an empty folder"));
  folder.Write("movies.csv", "");
  EXPECT_THAT(MessageOf(folder.path()), HasSubstr("found movies.csv"));
  EXPECT_THAT(MessageOf(folder.At("nowhere")), HasSubstr("nothing there"));
  EXPECT_THAT(MessageOf(folder.At("movies.csv")), HasSubstr("no folder"));
}

TEST(FindMovieLens, NamesTheFolderInsideThatWasMeant) {
  testing::TemporaryFolder folder;
  std::filesystem::create_directories(folder.At("ml-25m"));
  folder.Write("ml-25m/ratings.csv", "");
  folder.Write("ml-25m/movies.csv", "");
  EXPECT_THAT(MessageOf(folder.path()), HasSubstr(folder.At("ml-25m") + " has them"));
}

}  // namespace
}  // namespace marquee::sources
