#include "sources/movie_file.h"

#include <algorithm>
#include <cstdlib>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sources/testing/temporary_folder.h"

namespace marquee::sources {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

domain::Movie Split(std::string_view cell) {
  domain::Movie movie;
  SplitTitleAndYear(cell, &movie);
  return movie;
}

TEST(SplitTitleAndYear, TheYearAtTheEndLeavesTheTitle) {
  EXPECT_EQ(Split("Heat (1995)").title, "Heat");
  EXPECT_EQ(Split("Heat (1995)").year, 1995);
  EXPECT_EQ(Split("Heat (1995)  ").title, "Heat");
  EXPECT_EQ(Split("Heat (1995)  ").year, 1995);
  EXPECT_EQ(Split("(500) Days of Summer (2009)").title, "(500) Days of Summer");
  EXPECT_EQ(Split("1984 (1956) (1984)").title, "1984 (1956)");
  EXPECT_EQ(Split("(1995)").title, "");
}

TEST(SplitTitleAndYear, AnythingElseStaysInTheTitle) {
  for (const char* title :
       {"Babylon 5", "Death Note (2006–2007)", "The (12a5)", "1995", "(1)", "", "Far (9999)",
        "Old (1799)", "Heat (1995) uncut", "Heat (19950)", "Heat (+995)"}) {
    EXPECT_EQ(Split(title).title, title);
    EXPECT_FALSE(Split(title).year) << title;
  }
}

class MovieFileTest : public ::testing::Test {
 protected:
  MovieRows RowsOf(const std::string& name, std::string_view text) {
    folder_.Write(name, text);
    auto rows = ReadMovieFile(folder_.At(name));
    EXPECT_TRUE(rows.ok()) << rows.status();
    return *std::move(rows);
  }

  testing::TemporaryFolder folder_;
};

TEST_F(MovieFileTest, ReadsQuotesCommasEntitiesAndOddTitles) {
  MovieRows rows = RowsOf("movies.csv",
                          "\xef\xbb\xbfmovieId,title,genres\r\n"
                          "1,\"American President, The (1995)\",Comedy|Drama|Romance\r\n"
                          "2,\"\"\"Great Performances\"\" Cats (1998)\",Musical\r\n"
                          "\r\n"
                          "3,+1 (2013),(no genres listed)\r\n"
                          "4,Fast &amp; Furious <3 (2001),Action");
  ASSERT_EQ(rows.movies.size(), 4u);
  EXPECT_TRUE(rows.rejected.empty());
  EXPECT_EQ(rows.movies[0].title, "American President, The");
  EXPECT_THAT(rows.movies[0].genres, ElementsAre("Comedy", "Drama", "Romance"));
  EXPECT_EQ(rows.movies[1].title, "\"Great Performances\" Cats");
  EXPECT_EQ(rows.movies[1].year, 1998);
  EXPECT_EQ(rows.movies[2].title, "+1");
  EXPECT_TRUE(rows.movies[2].genres.empty());
  EXPECT_EQ(rows.movies[3].title, "Fast &amp; Furious <3");
}

TEST_F(MovieFileTest, ReadsAFileWithoutAHeading) {
  EXPECT_EQ(RowsOf("movies.csv", "1,Heat (1995),Crime\n").movies.size(), 1u);
  EXPECT_EQ(RowsOf("movies.csv", "\"1\",Heat (1995),Crime\n").movies.size(), 1u);
}

TEST_F(MovieFileTest, ReadsTheOlderSetsInLatin1AndInUtf8) {
  MovieRows rows = RowsOf(
      "movies.dat", "1::Mis\xe9rables, Les (1995)::Drama\n2::\xc3\xa9 (1995)::Action|Crime\n");
  ASSERT_EQ(rows.movies.size(), 2u);
  EXPECT_EQ(rows.movies[0].title, "Misérables, Les");
  EXPECT_EQ(rows.movies[1].title, "Ã©");  // a Latin-1 file as a whole
  EXPECT_EQ(rows.movies[1].genres.size(), 2u);
  rows = RowsOf("movies.dat", "1::Misérables, Les (1995)::Drama\r\n");
  ASSERT_EQ(rows.movies.size(), 1u);
  EXPECT_EQ(rows.movies[0].title, "Misérables, Les");
}

TEST_F(MovieFileTest, ATitleOfTheOlderSetsMayHoldColons) {
  MovieRows rows =
      RowsOf("movies.dat", "1::Face::Off: Again (1997)::Action\n2::Odd: (1990)::Drama\n");
  ASSERT_EQ(rows.movies.size(), 2u);
  EXPECT_EQ(rows.movies[0].title, "Face::Off: Again");
  EXPECT_EQ(rows.movies[1].title, "Odd:");
}

TEST_F(MovieFileTest, ABadRowIsRejectedWithItsLineAndWhatWasFound) {
  struct Case {
    std::string row;
    const char* found;
  };
  const Case cases[] = {{"x,Heat,Crime", "\"x\""},
                        {"0,Heat,Crime", "\"0\""},
                        {"-5,Heat,Crime", "\"-5\""},
                        {"9223372036854775808,Heat,Crime", "\"9223372036854775808\""},
                        {"5,Heat", "found 2"},
                        {"5,Heat,Crime,more", "found 4"},
                        {"6,\"Heat,Crime", "closing quote"},
                        {"7,\xff,Drama", "UTF-8"},
                        {std::string("7,He\0at,Drama", 13), "a NUL at byte 5"},
                        {"movieId,title,genres", "\"movieId\""},
                        {"8," + std::string(kRowBytesMax, 'x') + ",Drama", "at most 65536 bytes"}};
  for (const Case& bad : cases) {
    MovieRows rows = RowsOf("movies.csv", "movieId,title,genres\n1,Heat (1995),Crime\n" + bad.row +
                                              "\n2,Ran (1985),War\n");
    EXPECT_EQ(rows.movies.size(), 2u);
    ASSERT_EQ(rows.rejected.size(), 1u) << bad.row;
    EXPECT_EQ(rows.rejected[0].line, 3u);
    EXPECT_THAT(rows.rejected[0].reason, HasSubstr(bad.found));
    EXPECT_LE(rows.rejected[0].text.size(), kRowBytesMax);
  }
}

TEST_F(MovieFileTest, WhatIsNoFileOfMoviesIsRefused) {
  EXPECT_TRUE(absl::IsNotFound(ReadMovieFile(folder_.At("nowhere")).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(ReadMovieFile(folder_.path()).status()));
  folder_.Write("movies.csv", "hello\n");
  absl::Status status = ReadMovieFile(folder_.At("movies.csv")).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("found \"hello\""));
  EXPECT_TRUE(RowsOf("movies.csv", "").movies.empty());
}

TEST_F(MovieFileTest, TheRealSetHasItsOddities) {
  // The set may not be in the tree. Without it, the same code reads what the other tests make.
  const char* folder = std::getenv("MARQUEE_TEST_MOVIELENS");
  if (folder == nullptr) return;
  std::string path = std::string(folder) + "/movies.csv";
  auto rows = ReadMovieFile(path);
  ASSERT_TRUE(rows.ok()) << rows.status();
  const std::vector<domain::Movie>& movies = rows->movies;
  EXPECT_EQ(movies.size(), 9'742u);
  EXPECT_TRUE(rows->rejected.empty());
  auto count = [&](auto predicate) {
    return std::count_if(movies.begin(), movies.end(), predicate);
  };
  auto holds = [](const char* what) {
    return
        [what](const domain::Movie& m) { return m.title.find_first_of(what) != std::string::npos; };
  };
  EXPECT_EQ(count([](const domain::Movie& m) { return m.genres.empty(); }), 34);
  EXPECT_EQ(count(holds(",")), 2'079);
  EXPECT_EQ(count([](const domain::Movie& m) { return !m.year; }),
            13);  // 12 with none, and (2006–2007)
  EXPECT_EQ(count([](const domain::Movie& m) {
              return m.title.find("(2006–2007)") != std::string::npos;
            }),
            1);
  EXPECT_EQ(count(holds("&<>")), 119);
  EXPECT_EQ(count([](const domain::Movie& m) {
              return std::any_of(m.title.begin(), m.title.end(),
                                 [](char c) { return (c & 0x80) != 0; });
            }),
            293);
  EXPECT_EQ(
      std::max_element(movies.begin(), movies.end(), [](auto& a, auto& b) { return a.id < b.id; })
          ->id.value(),
      193'609u);
  EXPECT_EQ(count([](const domain::Movie& m) {
              return m.title == "11'09\"01 - September 11" && m.year == 2002;
            }),
            1);
}

}  // namespace
}  // namespace marquee::sources
