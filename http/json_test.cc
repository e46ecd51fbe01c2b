#include "http/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>

namespace marquee::http {
namespace {

std::string Quoted(std::string_view text) {
  std::string out;
  AppendJsonString(text, &out);
  return out;
}

std::string Number(double value) {
  std::string out;
  AppendJsonNumber(value, &out);
  return out;
}

TEST(JsonTest, TextsAreHarmlessInJsonAndHtml) {
  EXPECT_EQ(Quoted("a\"b\\c\n\t\x01\x7f"), R"("a\"b\\c\n\t\u0001\u007f")");
  EXPECT_EQ(Quoted("<script>&"), R"("\u003cscript\u003e\u0026")");
  EXPECT_EQ(Quoted("Amélie 七"), "\"Amélie 七\"");
  EXPECT_EQ(Quoted("\xe2\x80\xa8\xe2\x80\xa9"), R"("\u2028\u2029")");
  EXPECT_EQ(Quoted(std::string_view("\0", 1)), R"("\u0000")");
}

TEST(JsonTest, WhatIsNotUtf8IsReplaced) {
  EXPECT_EQ(Quoted("a\xff"), "\"a\xef\xbf\xbd\"");
  EXPECT_EQ(Quoted("\xed\xa0\x80").find("\xed"), std::string::npos);
}

TEST(JsonTest, AnyBytesBecomeATextThatAParserTakes) {
  for (int a = 0; a < 256; ++a) {
    for (int b : {0, 0x22, 0x5c, 0x80, 0xbf, 0xc3, 0xe2, 0xf0, 0xff}) {
      std::string bytes = {static_cast<char>(a), static_cast<char>(b), 'x'};
      EXPECT_TRUE(boost::json::parse(Quoted(bytes)).is_string());
    }
  }
}

TEST(JsonTest, NumbersHaveAtMostSixDecimals) {
  EXPECT_EQ(Number(1404.0 / 317), "4.429022");
  EXPECT_EQ(Number(4.5), "4.5");
  EXPECT_EQ(Number(4), "4");
  EXPECT_EQ(Number(0), "0");
  EXPECT_EQ(Number(-1e-9), "0");
  EXPECT_EQ(Number(2.0 / 3), "0.666667");
}

TEST(JsonTest, PageAndProblemAreWhole) {
  EXPECT_EQ(PageJson({}, {}, std::nullopt), "{\"movies\":[],\"next_cursor\":null}\n");
  Problem problem;
  problem.status = 400;
  problem.detail = "2 ratings are wrong";
  problem.errors = {{3, "why \"x\""}};
  EXPECT_EQ(ProblemJson(problem),
            "{\"type\":\"about:blank\",\"title\":\"Bad Request\",\"status\":400,\"detail\":\"2 "
            "ratings are wrong\","
            "\"errors\":[{\"index\":3,\"detail\":\"why \\\"x\\\"\"}]}\n");
}

}  // namespace
}  // namespace marquee::http
