#include "sources/rating_rows.h"

#include <string>
#include <string_view>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sources/cells.h"

namespace marquee::sources {
namespace {

using ::testing::HasSubstr;

constexpr domain::Scale kHalfStars;

// Whether the parser for the usual rows takes the line.
bool IsUsual(std::string_view line, RatingFormat format = RatingFormat::kCsv,
             domain::Scale scale = kHalfStars) {
  std::vector<RatingRow> rows;
  std::string padded = std::string(line) + "\n" + std::string(8, 'x');
  auto parsed = RatingRowParser(format, scale)
                    .ParseUsualRows(std::string_view(padded).substr(0, line.size() + 1), 10, &rows);
  EXPECT_EQ(parsed.rows, rows.size());
  EXPECT_EQ(parsed.bytes, rows.empty() ? 0 : line.size() + 1);
  return rows.size() == 1;
}

std::string ReasonAgainst(std::string_view line, RatingFormat format = RatingFormat::kCsv,
                          domain::Scale scale = kHalfStars) {
  RatingRow row;
  std::string reason;
  if (RatingRowParser(format, scale).ParseRow(line, &row, &reason)) return "";
  EXPECT_FALSE(reason.empty()) << line;
  return reason;
}

TEST(RatingRowParser, TheFastAndTheSlowWayReadTheSame) {
  for (const char* line : {"1,2,4.5,99", "0,1,0.5,0", "12345678,123456789,5.0,1234567890",
                           "123456789012345,999999999999999,3,978300760", "00001,0002,4.0,0000099",
                           "7,2,4.0,99\r", "1,87654321,2.5,8", "1,7654321,2.5,12345678"}) {
    std::string lines = std::string(line) + "\n";
    std::string padded = lines + "........";
    for (auto [format, text] :
         {std::pair(RatingFormat::kCsv, padded), std::pair(RatingFormat::kDat, padded)}) {
      if (format == RatingFormat::kDat) {
        for (size_t at; (at = text.find(',')) != std::string::npos;) text.replace(at, 1, "::");
      }
      RatingRowParser parser(format, kHalfStars);
      std::vector<RatingRow> rows;
      ASSERT_EQ(
          parser.ParseUsualRows(std::string_view(text).substr(0, text.size() - 8), 10, &rows).rows,
          1u)
          << text;
      RatingRow slow;
      std::string reason;
      std::string_view alone = std::string_view(text).substr(0, text.find('\n'));
      ASSERT_TRUE(parser.ParseRow(WithoutCarriageReturn(alone), &slow, &reason)) << reason;
      EXPECT_EQ(rows[0].user, slow.user) << text;
      EXPECT_EQ(rows[0].movie, slow.movie) << text;
      EXPECT_EQ(rows[0].value, slow.value) << text;
      EXPECT_EQ(rows[0].time_seconds, slow.time_seconds) << text;
    }
  }
}

TEST(RatingRowParser, TheFastWayLeavesWhatIsUnusualToTheSlowOne) {
  EXPECT_TRUE(IsUsual("1,2,4.0,9"));
  EXPECT_TRUE(IsUsual("1::2::4::9", RatingFormat::kDat));
  for (const char* line : {"",
                           "1",
                           "1,",
                           "1,2,",
                           "1,2,4.0",
                           "1,2,4.0,",
                           "1,2,4.0,9,",
                           "1,2,4.0,9 ",
                           " 1,2,4.0,9",
                           "1,2,4.50,9",
                           "1,2,4.,9",
                           "1,2,.5,9",
                           "1,2,5.5,9",
                           "1,2,0,9",
                           "1,2,4.7,9",
                           "1,2,10,9",
                           "1,2,-1,9",
                           "1,0,4.0,9",
                           "-1,2,4.0,9",
                           "\"1\",2,4.0,9",
                           "1,2,4.0,9\r\r",
                           "1234567890123456,2,4.0,9",
                           "1,9223372036854775808,4.0,9",
                           "1,2,4.0,99999999999999999999",
                           "1::2::4::9",
                           "1,2,4\xff,9"}) {
    EXPECT_FALSE(IsUsual(line)) << line;
  }
  EXPECT_FALSE(IsUsual("1:2::4::9", RatingFormat::kDat));
  EXPECT_FALSE(IsUsual("1,2,4.0,9", RatingFormat::kDat));
}

TEST(RatingRowParser, ItStopsAtTheFirstUnusualRowAndAtTheLimit) {
  std::string text = "1,2,4.0,9\n3,4,4.5,8\n\n5,6,3.0,7\n........";
  std::string_view lines = std::string_view(text).substr(0, text.size() - 8);
  RatingRowParser parser(RatingFormat::kCsv, kHalfStars);
  std::vector<RatingRow> rows;
  RatingRowParser::Parsed parsed = parser.ParseUsualRows(lines, 10, &rows);
  EXPECT_EQ(parsed.rows, 2u);
  EXPECT_EQ(parsed.bytes, 20u);
  parsed = parser.ParseUsualRows(lines, 1, &rows);
  EXPECT_EQ(parsed.rows, 1u);
  EXPECT_EQ(parsed.bytes, 10u);
  EXPECT_EQ(rows.size(), 3u);
}

TEST(RatingRowParser, EveryReasonSaysWhatWasExpectedAndFound) {
  struct Case {
    std::string_view row;
    const char* expected;
    const char* found;
  };
  const Case cases[] = {
      {"1,2,5.7,9", "0.5 to 5 in steps of 0.5", "\"5.7\""},
      {"1,2,0,9", "0.5 to 5", "\"0\""},
      {"1,2,-1,9", "0.5 to 5", "\"-1\""},
      {"1,2,NaN,9", "0.5 to 5", "\"NaN\""},
      {"1,2,inf,9", "0.5 to 5", "\"inf\""},
      {"1,2,1e0,9", "0.5 to 5", "\"1e0\""},
      {"1,2,4.0001,9", "0.5 to 5", "\"4.0001\""},
      {"1,2,99999999999999999999,9", "0.5 to 5", "\"99999999999999999999\""},
      {"1,2,,9", "0.5 to 5", "\"\""},
      {"1,2,4.0", "expected 4 cells", "found 3"},
      {"1,2,4.0,9,9", "expected 4 cells", "found 5"},
      {"nonsense", "expected 4 cells", "found 1 in \"nonsense\""},
      {"x,2,4.0,9", "the user's id", "\"x\""},
      {",2,4.0,9", "the user's id", "\"\""},
      {"-1,2,4.0,9", "the user's id", "\"-1\""},
      {"9223372036854775808,2,4.0,9", "2^63 - 1", "\"9223372036854775808\""},
      {"1,0,4.0,9", "from 1 to", "\"0\""},
      {"1,9223372036854775808,4.0,9", "2^63 - 1", "\"9223372036854775808\""},
      {"1,18446744073709551617,4.0,9", "2^63 - 1", "\"18446744073709551617\""},
      {"1,2.5,4.0,9", "the movie's id", "\"2.5\""},
      {"1,2,4.0,soon", "seconds since 1970", "\"soon\""},
      {"1,2,4.0,-9", "seconds since 1970", "\"-9\""},
      {"1,2,4.0,", "seconds since 1970", "\"\""},
      {"1,2,4.0,9 ", "seconds since 1970", "\"9 \""},
      {"1,2,\"4.0,9", "a closing quote", "found none"},
      {"1,2,4.0,\xff", "UTF-8", "found other bytes in \"1,2,4.0,\xef\xbf\xbd\""},
      {std::string_view("1,2,4\0.0,9", 10), "text", "a NUL at byte 6"},
      {"userId,movieId,rating,timestamp", "a whole number", "\"userId\""},
  };
  for (const Case& bad : cases) {
    std::string reason = ReasonAgainst(bad.row);
    EXPECT_THAT(reason, HasSubstr(bad.expected)) << bad.row;
    EXPECT_THAT(reason, HasSubstr(bad.found)) << bad.row;
  }
}

TEST(RatingRowParser, AReasonShowsOnlyTheBeginOfALongCellAndCutsNoCharacter) {
  std::string cell;
  for (int i = 0; i < 1000; ++i) cell += "é";
  std::string reason = ReasonAgainst("1,2,x" + cell + ",9");
  EXPECT_LT(reason.size(), 150u);
  EXPECT_THAT(reason, HasSubstr("éé…\""));
}

TEST(RatingRowParser, ReadsQuotedCellsAndOtherWaysToWriteAValue) {
  for (const char* line : {"\"1\",\"2\",\"4.5\",\"99\"", "1,2,4.50,99", "1,2,4.500000,99",
                           "1,2,004.5,99", "1,\"2\",4.5,99"}) {
    RatingRow row;
    std::string reason;
    ASSERT_TRUE(RatingRowParser(RatingFormat::kCsv, kHalfStars).ParseRow(line, &row, &reason))
        << line << ": " << reason;
    EXPECT_EQ(row.user.value(), 1u);
    EXPECT_EQ(row.movie.value(), 2u);
    EXPECT_EQ(row.value.value(), 4500);
    EXPECT_EQ(row.time_seconds, 99);
  }
}

TEST(RatingRowParser, TheLargestIdsAreRead) {
  RatingRow row;
  std::string reason;
  ASSERT_TRUE(RatingRowParser(RatingFormat::kCsv, kHalfStars)
                  .ParseRow("9223372036854775807,9223372036854775807,5,9223372036854775807", &row,
                            &reason));
  EXPECT_EQ(row.user.value(), kIdMax);
  EXPECT_EQ(row.movie.value(), kIdMax);
  EXPECT_EQ(row.time_seconds, INT64_MAX);
}

TEST(RatingRowParser, AnotherScaleAllowsItsOwnValues) {
  using domain::Thousandths;
  domain::Scale hundred{Thousandths(0), Thousandths(100'000), Thousandths(250)};
  EXPECT_EQ(ReasonAgainst("1,2,100,9", RatingFormat::kCsv, hundred), "");
  EXPECT_EQ(ReasonAgainst("1,2,99.75,9", RatingFormat::kCsv, hundred), "");
  EXPECT_EQ(ReasonAgainst("1,2,0,9", RatingFormat::kCsv, hundred), "");
  EXPECT_THAT(ReasonAgainst("1,2,99.8,9", RatingFormat::kCsv, hundred),
              HasSubstr("0 to 100 in steps of 0.25"));
  EXPECT_TRUE(IsUsual("1,2,0,9", RatingFormat::kCsv, hundred));
  EXPECT_TRUE(IsUsual("1,2,9.5,9", RatingFormat::kCsv, hundred));
  EXPECT_FALSE(IsUsual("1,2,9.6,9", RatingFormat::kCsv, hundred));
}

TEST(DetectRatingFormat, TellsTheFormatsApartOrSaysWhatTheLineWas) {
  EXPECT_EQ(*DetectRatingFormat("userId,movieId,rating,timestamp"), RatingFormat::kCsv);
  EXPECT_EQ(*DetectRatingFormat("1,2,3,4,5"), RatingFormat::kCsv);
  EXPECT_EQ(*DetectRatingFormat("1::1193::5::978300760"), RatingFormat::kDat);
  for (const char* line :
       {"movieId,title,genres", "1::Toy Story (1995)::Comedy", "hello", "1;2;4.5;9"}) {
    absl::Status status = DetectRatingFormat(line).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << line;
    EXPECT_THAT(std::string(status.message()), HasSubstr(line));
  }
}

TEST(IsRatingHeading, NoCellOfAHeadingIsANumber) {
  EXPECT_TRUE(IsRatingHeading("userId,movieId,rating,timestamp", RatingFormat::kCsv));
  EXPECT_TRUE(
      IsRatingHeading("\"userId\",\"movieId\",\"rating\",\"timestamp\"", RatingFormat::kCsv));
  EXPECT_TRUE(IsRatingHeading("UserID::MovieID::Rating::Timestamp", RatingFormat::kDat));
  EXPECT_FALSE(IsRatingHeading("1,2,4.0,9", RatingFormat::kCsv));
  // Damaged first rows.
  EXPECT_FALSE(IsRatingHeading("x,2,4.0,9", RatingFormat::kCsv));
  EXPECT_FALSE(IsRatingHeading("-1,2,4.0,9", RatingFormat::kCsv));
  EXPECT_FALSE(IsRatingHeading(",,,", RatingFormat::kCsv));
}

}  // namespace
}  // namespace marquee::sources
