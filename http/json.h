// What the API answers, as JSON. Texts are escaped so that they are harmless in JSON and in HTML;
// bytes that are not UTF-8 become U+FFFD.
//
// Threads: pure functions.
#ifndef MARQUEE_HTTP_JSON_H_
#define MARQUEE_HTTP_JSON_H_

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "catalogue/catalogue.h"

namespace marquee::http {

// With its quotation marks.
void AppendJsonString(std::string_view text, std::string* out);
// At most 6 decimals, none that is a zero at the end: "4.429022", "4.5", "4". REQUIRES: finite.
void AppendJsonNumber(double value, std::string* out);

// {"id": 318, "title": …, "year": …, "genres": […], "count": …, "sum_thousandths": …, "mean": …,
// "bayesian_mean": …, "histogram": […]}
void AppendMovieJson(const catalogue::Entry& entry, const catalogue::Prior& prior,
                     std::string* out);
// {"movies": […], "next_cursor": "…" or null}
std::string PageJson(const catalogue::ListPage& page, const catalogue::Prior& prior,
                     const std::optional<std::string>& next_cursor);

// A problem document of RFC 9457.
struct Problem {
  int status = 500;
  std::string type;   // "cursor-of-another-query": the end of the type's URI; empty: about:blank
  std::string title;  // empty: the status' own words
  std::string detail;
  std::vector<std::pair<size_t, std::string>>
      errors;  // index in the request and what is wrong with it
  std::vector<std::pair<std::string, std::string>> reasons;  // component and what is wrong with it
};
std::string ProblemJson(const Problem& problem);

// "Not Found" for 404.
std::string_view ReasonPhrase(int status);

}  // namespace marquee::http

#endif  // MARQUEE_HTTP_JSON_H_
