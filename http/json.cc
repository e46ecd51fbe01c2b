#include "http/json.h"

#include <fmt/format.h>

#include <cmath>

#include "base/status.h"
#include "domain/utf8.h"

namespace marquee::http {
namespace {

void AppendByteEscaped(char c, std::string* out) {
  switch (c) {
    case '"':
      *out += "\\\"";
      return;
    case '\\':
      *out += "\\\\";
      return;
    case '\n':
      *out += "\\n";
      return;
    case '\t':
      *out += "\\t";
      return;
    default:
      break;
  }
  if (static_cast<uint8_t>(c) < 0x20 || c == 0x7f || c == '<' || c == '>' || c == '&') {
    fmt::format_to(std::back_inserter(*out), "\\u{:04x}", static_cast<uint8_t>(c));
  } else {
    *out += c;
  }
}

template <typename Integer>
void AppendInteger(Integer value, std::string* out) {
  fmt::format_int text(value);
  out->append(text.data(), text.size());
}

void AppendMeans(const catalogue::Entry& entry, const catalogue::Prior& prior, std::string* out) {
  const domain::Aggregate& aggregate = entry.aggregate;
  *out += ",\"count\":";
  AppendInteger(aggregate.count, out);
  *out += ",\"sum_thousandths\":";
  AppendInteger(aggregate.sum_thousandths, out);
  if (aggregate.count == 0) {
    *out += ",\"mean\":null,\"bayesian_mean\":null";
  } else {
    *out += ",\"mean\":";
    AppendJsonNumber(domain::MeanOf(aggregate), out);
    *out += ",\"bayesian_mean\":";
    AppendJsonNumber(domain::BayesianMeanOf(aggregate.count, aggregate.sum_thousandths, prior.mean,
                                            prior.weight),
                     out);
  }
  *out += ",\"histogram\":[";
  for (size_t bin = 0; bin < aggregate.histogram.size(); ++bin) {
    if (bin > 0) *out += ',';
    AppendInteger(aggregate.histogram[bin], out);
  }
  *out += ']';
}

}  // namespace

void AppendJsonString(std::string_view text, std::string* out) {
  std::string replaced;
  if (!domain::IsValidUtf8(text)) {
    replaced = domain::ToValidUtf8(text);
    text = replaced;
  }
  *out += '"';
  for (size_t i = 0; i < text.size(); ++i) {
    std::string_view rest = text.substr(i);
    if (rest.starts_with("\xe2\x80\xa8") || rest.starts_with("\xe2\x80\xa9")) {
      // Line ends to JavaScript, not to JSON.
      *out += rest[2] == '\xa8' ? "\\u2028" : "\\u2029";
      i += 2;
    } else {
      AppendByteEscaped(text[i], out);
    }
  }
  *out += '"';
}

void AppendJsonNumber(double value, std::string* out) {
  MARQUEE_CHECK(std::isfinite(value));
  size_t begin = out->size();
  fmt::format_to(std::back_inserter(*out), "{:.6f}", value);
  while (out->back() == '0') out->pop_back();
  if (out->back() == '.') out->pop_back();
  if (out->compare(begin, std::string::npos, "-0") == 0) out->erase(begin, 1);
}

void AppendMovieJson(const catalogue::Entry& entry, const catalogue::Prior& prior,
                     std::string* out) {
  *out += "{\"id\":";
  AppendInteger(entry.id.value(), out);
  *out += ",\"title\":";
  entry.title ? AppendJsonString(*entry.title, out) : void(*out += "null");
  *out += ",\"year\":";
  entry.year ? AppendInteger(*entry.year, out) : void(*out += "null");
  *out += ",\"genres\":[";
  for (size_t i = 0; i < entry.genres.size(); ++i) {
    if (i > 0) *out += ',';
    AppendJsonString(entry.genres[i], out);
  }
  *out += ']';
  AppendMeans(entry, prior, out);
  *out += '}';
}

std::string PageJson(const catalogue::ListPage& page, const catalogue::Prior& prior,
                     const std::optional<std::string>& next_cursor) {
  std::string out = "{\"movies\":[";
  for (size_t i = 0; i < page.entries.size(); ++i) {
    if (i > 0) out += ',';
    AppendMovieJson(page.entries[i], prior, &out);
  }
  out += "],\"next_cursor\":";
  next_cursor ? AppendJsonString(*next_cursor, &out) : void(out += "null");
  out += "}\n";
  return out;
}

std::string ProblemJson(const Problem& problem) {
  std::string out = "{\"type\":";
  AppendJsonString(problem.type.empty() ? "about:blank" : "urn:marquee:problem:" + problem.type,
                   &out);
  out += ",\"title\":";
  AppendJsonString(
      problem.title.empty() ? ReasonPhrase(problem.status) : std::string_view(problem.title), &out);
  out += ",\"status\":";
  AppendInteger(problem.status, &out);
  out += ",\"detail\":";
  AppendJsonString(problem.detail, &out);
  if (!problem.errors.empty()) {
    out += ",\"errors\":[";
    for (size_t i = 0; i < problem.errors.size(); ++i) {
      out += i > 0 ? ",{\"index\":" : "{\"index\":";
      AppendInteger(problem.errors[i].first, &out);
      out += ",\"detail\":";
      AppendJsonString(problem.errors[i].second, &out);
      out += '}';
    }
    out += ']';
  }
  if (!problem.reasons.empty()) {
    out += ",\"reasons\":{";
    for (size_t i = 0; i < problem.reasons.size(); ++i) {
      if (i > 0) out += ',';
      AppendJsonString(problem.reasons[i].first, &out);
      out += ':';
      AppendJsonString(problem.reasons[i].second, &out);
    }
    out += '}';
  }
  out += "}\n";
  return out;
}

std::string_view ReasonPhrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 202:
      return "Accepted";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 422:
      return "Unprocessable Content";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Unknown";
  }
}

}  // namespace marquee::http
