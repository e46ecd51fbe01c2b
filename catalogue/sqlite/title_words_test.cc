#include "catalogue/sqlite/title_words.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace marquee::catalogue {
namespace {

using ::testing::ElementsAre;

TEST(TitleWordsTest, FoldsCaseAndAccentsOfLatinGreekAndCyrillic) {
  EXPECT_EQ(FoldCase("Amélie"), "amelie");
  EXPECT_EQ(FoldCase("AMÉLIE"), "amelie");
  EXPECT_EQ(FoldCase("Ame\xcc\x81lie"), "amelie");
  EXPECT_EQ(FoldCase("Straße"), "strasse");
  EXPECT_EQ(FoldCase("Þór ÆØÅ"), "thor aeoa");
  EXPECT_EQ(FoldCase("Łódź Đurđević ŽIŽEK Ÿ ij"), "lodz durdevic zizek y ij");
  EXPECT_EQ(FoldCase("ŒUVRE œuvre Ŧ ŧ Ŵ Ż ż ſ Ő Ų"), "oeuvre oeuvre t t w z z s o u");
  EXPECT_EQ(FoldCase("Ёжик В ТУМАНЕ"), "ежик в тумане");
  EXPECT_EQ(FoldCase("ΈΛΛΗΝΑΣ Έλληνας"), "ελληνασ ελληνασ");
  EXPECT_EQ(FoldCase("七人の侍"), "七人の侍");
  EXPECT_EQ(FoldCase("a\xff\xc3"), "a??");
}

TEST(TitleWordsTest, FoldingTwiceIsFoldingOnce) {
  for (const char* text : {"Amélie", "ΈΛΛΗΝΑΣ", "Ёжик", "Ắ ế", "ĲŸ", "Œ×÷"}) {
    EXPECT_EQ(FoldCase(FoldCase(text)), FoldCase(text)) << text;
  }
}

TEST(TitleWordsTest, WordsEndAtAnythingButLettersDigitsAndApostrophes) {
  EXPECT_THAT(WordsOf("Schindler's List"), ElementsAre("schindlers", "list"));
  EXPECT_THAT(WordsOf("Schindler’s—List…"), ElementsAre("schindlers", "list"));
  EXPECT_THAT(WordsOf("2001: A Space  Odyssey"), ElementsAre("2001", "a", "space", "odyssey"));
  EXPECT_THAT(WordsOf("8½"), ElementsAre("8½"));
  EXPECT_THAT(WordsOf("¿?! "), ElementsAre());
  EXPECT_EQ(JoinWords({"a", "b"}), " a b ");
}

}  // namespace
}  // namespace marquee::catalogue
