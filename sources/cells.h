// The cells of a line, and text as it may be shown and kept.
#ifndef MARQUEE_SOURCES_CELLS_H_
#define MARQUEE_SOURCES_CELLS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace marquee::sources {

inline constexpr uint64_t kIdMax = (uint64_t{1} << 63) - 1;
inline constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

// The cells of a CSV line; a quoted cell may hold commas, and quotes that are doubled. A line is a
// row: a cell holds no line break. False where a quote is not closed.
bool SplitCsv(std::string_view line, std::vector<std::string>* cells);
// The cells of a line of the older sets, between "::".
std::vector<std::string> SplitDat(std::string_view line);

// A whole number of digits alone, up to kIdMax; nullopt where it is anything else.
std::optional<uint64_t> ParseWholeNumber(std::string_view cell);

// Whether a cell begins as a number does.
bool LooksLikeNumber(std::string_view cell);

// Takes the "\r" of "\r\n" away.
std::string_view WithoutCarriageReturn(std::string_view line);

// Empty where `text` is valid UTF-8 without a NUL, otherwise what is wrong with it and where.
std::string WhatIsUnclean(std::string_view text);

// `text` as valid UTF-8 of at most `bytes_max` bytes: what is not valid, and each NUL, becomes
// U+FFFD.
std::string CleanText(std::string_view text, size_t bytes_max);

// The begin of `text`, in quotes, for an error.
std::string Shown(std::string_view text);

}  // namespace marquee::sources

#endif  // MARQUEE_SOURCES_CELLS_H_
