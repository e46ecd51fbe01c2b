#include "catalogue/sqlite/title_words.h"

#include <cstdint>

namespace marquee::catalogue {
namespace {

constexpr char32_t kInvalid = 0xfffd;

// U+00C0 .. U+00FF, then U+0100 .. U+017F: lower-case base letters. Two characters each; a dot
// stands for none.
constexpr std::string_view kLatin1 =
    "a.a.a.a.a.a.aec.e.e.e.e.i.i.i.i."
    "d.n.o.o.o.o.o.*.o.u.u.u.u.y.thss"
    "a.a.a.a.a.a.aec.e.e.e.e.i.i.i.i."
    "d.n.o.o.o.o.o.*.o.u.u.u.u.y.thy.";
constexpr std::string_view kLatinExtendedA =
    "a.a.a.a.a.a.c.c.c.c.c.c.c.c.d.d."
    "d.d.e.e.e.e.e.e.e.e.e.e.g.g.g.g."
    "g.g.g.g.h.h.h.h.i.i.i.i.i.i.i.i."
    "i.i.ijijj.j.k.k.k.l.l.l.l.l.l.l."
    "l.l.l.n.n.n.n.n.n.n.n.n.o.o.o.o."
    "o.o.oeoer.r.r.r.r.r.s.s.s.s.s.s."
    "s.s.t.t.t.t.t.t.u.u.u.u.u.u.u.u."
    "u.u.u.u.w.w.y.y.y.z.z.z.z.z.z.s.";
static_assert(kLatin1.size() == 2 * 64);
static_assert(kLatinExtendedA.size() == 2 * 128);

// Takes one character off `text`; kInvalid where it does not begin with one.
char32_t TakeCharacter(std::string_view* text) {
  auto byte = [&](size_t i) { return static_cast<uint8_t>((*text)[i]); };
  uint8_t first = byte(0);
  size_t length = first < 0x80       ? 1
                  : first >> 5 == 6  ? 2
                  : first >> 4 == 14 ? 3
                  : first >> 3 == 30 ? 4
                                     : 0;
  if (length == 0 || length > text->size()) {
    text->remove_prefix(1);
    return kInvalid;
  }
  char32_t c = length == 1 ? first : first & (0x7f >> length);
  for (size_t i = 1; i < length; ++i) {
    if (byte(i) >> 6 != 2) {
      text->remove_prefix(1);
      return kInvalid;
    }
    c = c << 6 | (byte(i) & 0x3f);
  }
  text->remove_prefix(length);
  return c;
}

void AppendCharacter(char32_t c, std::string* out) {
  if (c < 0x80) {
    *out += static_cast<char>(c);
  } else if (c < 0x800) {
    *out += static_cast<char>(0xc0 | c >> 6);
    *out += static_cast<char>(0x80 | (c & 0x3f));
  } else if (c < 0x10000) {
    *out += static_cast<char>(0xe0 | c >> 12);
    *out += static_cast<char>(0x80 | (c >> 6 & 0x3f));
    *out += static_cast<char>(0x80 | (c & 0x3f));
  } else {
    *out += static_cast<char>(0xf0 | c >> 18);
    *out += static_cast<char>(0x80 | (c >> 12 & 0x3f));
    *out += static_cast<char>(0x80 | (c >> 6 & 0x3f));
    *out += static_cast<char>(0x80 | (c & 0x3f));
  }
}

char32_t FoldGreek(char32_t c) {
  switch (c) {
    case 0x386:
    case 0x3ac:
      return 0x3b1;
    case 0x388:
    case 0x3ad:
      return 0x3b5;
    case 0x389:
    case 0x3ae:
      return 0x3b7;
    case 0x38a:
    case 0x3aa:
    case 0x390:
    case 0x3af:
    case 0x3ca:
      return 0x3b9;
    case 0x38c:
    case 0x3cc:
      return 0x3bf;
    case 0x38e:
    case 0x3ab:
    case 0x3b0:
    case 0x3cb:
    case 0x3cd:
      return 0x3c5;
    case 0x38f:
    case 0x3ce:
      return 0x3c9;
    case 0x3c2:
      return 0x3c3;
    default:
      return c >= 0x391 && c <= 0x3a9 ? c + 0x20 : c;
  }
}

char32_t FoldCyrillic(char32_t c) {
  if (c == 0x401 || c == 0x451) return 0x435;
  if (c >= 0x400 && c <= 0x40f) return c + 0x50;
  if (c >= 0x410 && c <= 0x42f) return c + 0x20;
  if (c >= 0x460 && c <= 0x4ff && c != 0x4c0) return c | 1;
  return c;
}

void AppendPair(std::string_view table, size_t index, std::string* out) {
  *out += table[2 * index];
  if (table[2 * index + 1] != '.') *out += table[2 * index + 1];
}

void AppendFolded(char32_t c, std::string* out) {
  if (c < 0x80) {
    *out += static_cast<char>(c >= 'A' && c <= 'Z' ? c + 0x20 : c);
  } else if (c >= 0xc0 && c <= 0xff && c != 0xd7 && c != 0xf7) {  // × and ÷ are no letters
    AppendPair(kLatin1, c - 0xc0, out);
  } else if (c >= 0x100 && c <= 0x17f) {
    AppendPair(kLatinExtendedA, c - 0x100, out);
  } else if (c >= 0x300 && c <= 0x36f) {
    // A combining accent.
  } else if (c >= 0x386 && c <= 0x3ce) {
    AppendCharacter(FoldGreek(c), out);
  } else if (c >= 0x400 && c <= 0x4ff) {
    AppendCharacter(FoldCyrillic(c), out);
  } else if (c >= 0x1e00 && c <= 0x1eff) {
    AppendCharacter(c | 1, out);
  } else if (c == kInvalid) {
    *out += '?';
  } else {
    AppendCharacter(c, out);
  }
}

bool IsApostrophe(char32_t c) {
  return c == '\'' || c == 0x2019 || c == 0x2018 || c == 0x60 || c == 0xb4;
}

bool IsLetterOrDigit(char32_t c) {
  if (c < 0x80) return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  if (c == 0xd7 || c == 0xf7 || c == kInvalid) return false;
  bool is_latin1_sign = c < 0xc0 && c != 0xaa && c != 0xb2 && c != 0xb3 && c != 0xb5 && c != 0xb9 &&
                        c != 0xba && !(c >= 0xbc && c <= 0xbe);
  bool is_punctuation = (c >= 0x2000 && c <= 0x206f) || (c >= 0x3000 && c <= 0x303f);
  return !is_latin1_sign && !is_punctuation;
}

}  // namespace

std::string FoldCase(std::string_view text) {
  std::string folded;
  folded.reserve(text.size());
  while (!text.empty()) AppendFolded(TakeCharacter(&text), &folded);
  return folded;
}

std::vector<std::string> WordsOf(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  auto end_word = [&] {
    if (!word.empty()) words.push_back(std::move(word));
    word.clear();
  };
  while (!text.empty()) {
    char32_t c = TakeCharacter(&text);
    if (IsApostrophe(c)) continue;
    if (IsLetterOrDigit(c)) {
      AppendFolded(c, &word);
    } else {
      end_word();
    }
  }
  end_word();
  return words;
}

std::string JoinWords(const std::vector<std::string>& words) {
  std::string joined = " ";
  for (const std::string& word : words) {
    joined += word;
    joined += ' ';
  }
  return joined;
}

}  // namespace marquee::catalogue
