// How titles and genres are compared: in any case, accents and punctuation aside. What these
// functions return is stored in the catalogue: a change of theirs is a change of its schema
// version.
//
// Threads: pure functions.
#ifndef MARQUEE_CATALOGUE_SQLITE_TITLE_WORDS_H_
#define MARQUEE_CATALOGUE_SQLITE_TITLE_WORDS_H_

#include <string>
#include <string_view>
#include <vector>

namespace marquee::catalogue {

// Lower case, letters without their accents ("Amélie" → "amelie", "Straße" → "strasse", "ЁЖ" →
// "еж"): Latin, Greek and Cyrillic. What is neither a letter nor known stays; bytes that are not
// UTF-8 become '?'.
std::string FoldCase(std::string_view text);

// The words of a text, folded: separated by anything but letters and digits; apostrophes are
// dropped, so that "Schindler's" is one word.
std::vector<std::string> WordsOf(std::string_view text);

// " word word ": what is searched for ` word` as the beginning of one of its words.
std::string JoinWords(const std::vector<std::string>& words);

}  // namespace marquee::catalogue

#endif  // MARQUEE_CATALOGUE_SQLITE_TITLE_WORDS_H_
