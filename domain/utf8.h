// Whether text is UTF-8, as protobuf demands it of its strings.
#ifndef MARQUEE_DOMAIN_UTF8_H_
#define MARQUEE_DOMAIN_UTF8_H_

#include <string>
#include <string_view>

namespace marquee::domain {

// Well-formed by Unicode 15, table 3-7: no surrogates, nothing overlong, nothing above U+10FFFF.
bool IsValidUtf8(std::string_view text);

// `text` with each byte that is not part of a well-formed character replaced by U+FFFD.
std::string ToValidUtf8(std::string_view text);

}  // namespace marquee::domain

#endif  // MARQUEE_DOMAIN_UTF8_H_
