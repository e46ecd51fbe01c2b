#include "http/ratings_body.h"

#include <algorithm>
#include <array>
#include <boost/json/basic_parser_impl.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/digest.h"
#include "http/routes.h"

namespace marquee::http {
namespace {

namespace json = boost::json;
using boost::system::error_code;

constexpr int64_t kExponentMax = 1000;
constexpr size_t kDigitsMax = 9;  // of thousandths
constexpr size_t kShownBytesMax = 40;

std::string Shown(std::string_view text) {
  return std::string(text.substr(0, kShownBytesMax)) + (text.size() > kShownBytesMax ? "…" : "");
}

enum Field { kUser, kMovie, kRating, kTimestamp, kFields, kRatings, kNoField };
constexpr std::array<const char*, kFields> kFieldNames = {"user_id", "movie_id", "rating",
                                                          "timestamp"};

Field FieldOf(std::string_view name) {
  for (int field = 0; field < kFields; ++field) {
    if (kFieldNames[field] == name) return static_cast<Field>(field);
  }
  return name == "ratings" ? kRatings : kNoField;
}

// Takes the events of the JSON parser. Errors of one rating are collected; those of the shape of
// the body end the parsing.
class Handler {
 public:
  static constexpr size_t max_object_size = ~size_t{0};
  static constexpr size_t max_array_size = ~size_t{0};
  static constexpr size_t max_key_size = 1 << 16;
  static constexpr size_t max_string_size = ~size_t{0};

  Handler(const domain::Scale& scale, size_t ratings_max, int64_t now_seconds)
      : scale_(scale), ratings_max_(ratings_max), now_seconds_(now_seconds) {}

  bool on_document_begin(error_code&) { return true; }
  bool on_document_end(error_code&) { return true; }

  bool on_object_begin(error_code& ec) {
    if (skipped_ > 0) return Skip(+1);
    switch (place_) {
      case Place::kStart:
        place_ = Place::kFirst;
        rating_ = {};
        return true;
      case Place::kArray:
        if (index_ == ratings_max_)
          return Fail(ec, 413, absl::StrCat("more than ", ratings_max_, " ratings in one request"));
        place_ = Place::kRating;
        rating_ = {};
        return true;
      default:
        return SkipValue("an object", ec);
    }
  }
  bool on_object_end(size_t, error_code&) {
    if (skipped_ > 0) return Skip(-1);
    if (place_ == Place::kWrapper) {
      place_ = Place::kEnd;
      return true;
    }
    EndRating();
    place_ = place_ == Place::kFirst ? Place::kEnd : Place::kArray;
    return true;
  }
  bool on_array_begin(error_code& ec) {
    if (skipped_ > 0) return Skip(+1);
    if (place_ == Place::kStart) {
      place_ = Place::kArray;
      return true;
    }
    if (place_ == Place::kFirst && field_ == kRatings) {
      if (rating_.any) return Fail(ec, 400, "the object has \"ratings\" and fields of a rating");
      place_ = Place::kArray;
      wrapped_ = true;
      return true;
    }
    return SkipValue("an array", ec);
  }
  bool on_array_end(size_t, error_code&) {
    if (skipped_ > 0) return Skip(-1);
    place_ = wrapped_ ? Place::kWrapper : Place::kEnd;
    return true;
  }
  bool on_key_part(std::string_view part, size_t, error_code&) {
    if (skipped_ == 0) key_ += part;
    return true;
  }
  bool on_key(std::string_view part, size_t, error_code& ec) {
    if (skipped_ > 0) return true;
    key_ += part;
    std::string key = std::exchange(key_, {});
    field_ = FieldOf(key);
    if (place_ == Place::kWrapper)
      return Fail(ec, 400, absl::StrCat("unknown field \"", Shown(key), "\" beside \"ratings\""));
    if (field_ == kRatings && place_ == Place::kFirst) return true;
    rating_.any = true;
    if (field_ >= kFields) {
      field_ = kNoField;
      Error(absl::StrCat("unknown field \"", Shown(key),
                         "\"; known: user_id, movie_id, rating, timestamp"));
    } else if (rating_.given[field_]) {
      Error(absl::StrCat(kFieldNames[field_], " is given twice"));
    } else {
      rating_.given[field_] = true;
    }
    return true;
  }
  bool on_string_part(std::string_view, size_t, error_code&) { return true; }
  bool on_string(std::string_view, size_t, error_code& ec) { return Value("a string", ec); }
  bool on_number_part(std::string_view part, error_code&) {
    number_ += part;
    return true;
  }
  bool on_int64(int64_t, std::string_view part, error_code& ec) { return Number(part, ec); }
  bool on_uint64(uint64_t, std::string_view part, error_code& ec) { return Number(part, ec); }
  bool on_double(double, std::string_view part, error_code& ec) { return Number(part, ec); }
  bool on_bool(bool, error_code& ec) { return Value("true or false", ec); }
  bool on_null(error_code& ec) { return Value("null", ec); }
  bool on_comment_part(std::string_view, error_code&) { return true; }
  bool on_comment(std::string_view, error_code&) { return true; }

  Problem& problem() { return problem_; }
  bool failed() const { return failed_; }
  PostedRatings TakePosted() {
    posted_.body_digest = digest_.digest().low;
    return std::move(posted_);
  }
  size_t ratings() const { return index_; }

 private:
  // kFirst: in an object at the top, which may turn out to be the wrapper of an array.
  enum class Place { kStart, kFirst, kWrapper, kArray, kRating, kEnd };
  struct Rating {
    std::array<bool, kFields> given{};
    std::array<int64_t, kFields> value{};
    bool any = false;
    std::string error;  // the first
  };

  bool Skip(int change) {
    skipped_ += change;
    return true;
  }
  bool Fail(error_code& ec, int status, std::string detail) {
    if (!failed_) {
      problem_.status = status;
      problem_.detail = std::move(detail);
    }
    failed_ = true;
    ec = make_error_code(boost::system::errc::invalid_argument);
    return false;
  }
  void Error(std::string what) {
    if (rating_.error.empty()) rating_.error = std::move(what);
  }
  // A value of a type that is wrong wherever it may stand.
  bool Value(const char* what, error_code& ec) {
    if (skipped_ > 0) return true;
    number_.clear();
    switch (place_) {
      case Place::kStart:
        return Fail(
            ec, 400,
            absl::StrCat("expected a rating, an array of them or {\"ratings\": [...]}, found ",
                         what));
      case Place::kArray:
        if (index_ == ratings_max_)
          return Fail(ec, 413, absl::StrCat("more than ", ratings_max_, " ratings in one request"));
        rating_ = {};
        Error(absl::StrCat("expected an object, found ", what));
        EndRating();
        return true;
      default:
        if (field_ == kRatings)
          return Fail(ec, 400, absl::StrCat("\"ratings\" has to be an array, found ", what));
        if (field_ < kFields)
          Error(absl::StrCat(kFieldNames[field_], " has to be a number, found ", what));
        return true;
    }
  }
  bool SkipValue(const char* what, error_code& ec) {
    if (!Value(what, ec)) return false;
    return Skip(+1);
  }
  bool Number(std::string_view part, error_code& ec) {
    if (skipped_ > 0 || place_ == Place::kStart || place_ == Place::kArray || field_ >= kFields) {
      return Value("a number", ec);
    }
    number_ += part;
    TakeNumber(std::exchange(number_, {}));
    return true;
  }
  void TakeNumber(const std::string& text) {
    if (field_ == kRating) {
      absl::StatusOr<domain::Thousandths> value = ThousandthsOfJsonNumber(text);
      if (!value.ok()) {
        Error(absl::StrCat("rating is ", Shown(text), ": ", value.status().message()));
      } else if (!scale_.Contains(*value)) {
        Error(absl::StrCat("rating is ", Shown(text), ", expected ", scale_.ToString()));
      } else {
        rating_.value[kRating] = value->value();
      }
      return;
    }
    std::optional<uint64_t> value = ParseDecimal(text);
    uint64_t least = field_ == kMovie ? 1 : 0;
    uint64_t most = field_ == kTimestamp ? uint64_t{kTimeSecondsMax} : ~uint64_t{0} >> 1;
    if (!value || *value < least || *value > most) {
      Error(absl::StrCat(kFieldNames[field_], " is ", Shown(text), ", expected an integer from ",
                         least, " to ", most));
    } else {
      rating_.value[field_] = static_cast<int64_t>(*value);
    }
  }
  void EndRating() {
    for (Field field : {kUser, kMovie, kRating}) {
      if (!rating_.given[field] && rating_.error.empty())
        Error(absl::StrCat(kFieldNames[field], " is missing"));
    }
    if (!rating_.error.empty()) {
      ++errors_;
      if (problem_.errors.size() < kBodyErrorsMax)
        problem_.errors.emplace_back(index_, std::move(rating_.error));
      problem_.status = 400;
      problem_.detail = absl::StrCat(errors_, errors_ == 1 ? " rating is" : " ratings are",
                                     " wrong; none was taken");
    } else {
      AddRating();
    }
    ++index_;
  }
  void AddRating() {
    const auto& value = rating_.value;
    std::array<int64_t, kFields + 1> said = {value[kUser], value[kMovie], value[kRating],
                                             rating_.given[kTimestamp], value[kTimestamp]};
    digest_.Add({reinterpret_cast<const char*>(said.data()), sizeof(said)});
    posted_.ratings.push_back(
        {.user = domain::UserId(static_cast<uint64_t>(value[kUser])),
         .movie = domain::MovieId(static_cast<uint64_t>(value[kMovie])),
         .value = domain::Thousandths(static_cast<int32_t>(value[kRating])),
         .time_seconds = rating_.given[kTimestamp] ? value[kTimestamp] : now_seconds_});
  }

  const domain::Scale& scale_;
  const size_t ratings_max_;
  const int64_t now_seconds_;
  Place place_ = Place::kStart;
  bool wrapped_ = false;
  int skipped_ = 0;  // how deep in a value that nobody wants
  Field field_ = kNoField;
  std::string key_;
  std::string number_;
  Rating rating_;
  size_t index_ = 0;
  size_t errors_ = 0;
  bool failed_ = false;
  Problem problem_{.status = 0, .type = {}, .title = {}, .detail = {}, .errors = {}, .reasons = {}};
  PostedRatings posted_;
  StreamDigest digest_;
};

}  // namespace

absl::StatusOr<domain::Thousandths> ThousandthsOfJsonNumber(std::string_view text) {
  auto not_a_multiple = [] { return absl::InvalidArgumentError("expected a multiple of 0.001"); };
  bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  std::string digits;
  int64_t exponent = 3;  // the value in thousandths is digits * 10^exponent
  size_t i = 0;
  bool fraction = false;
  for (; i < text.size() && text[i] != 'e' && text[i] != 'E'; ++i) {
    if (text[i] == '.') {
      fraction = true;
      continue;
    }
    if (!digits.empty() || text[i] != '0') digits += text[i];
    if (fraction) --exponent;
  }
  if (i < text.size()) {
    std::string_view power = text.substr(i + 1);
    bool down = power.starts_with('-');
    if (down || power.starts_with('+')) power.remove_prefix(1);
    int64_t amount = 0;
    for (char c : power) amount = std::min(amount * 10 + (c - '0'), kExponentMax);
    exponent += down ? -amount : amount;
  }
  while (!digits.empty() && digits.back() == '0') {
    digits.pop_back();
    ++exponent;
  }
  if (digits.empty()) return domain::Thousandths(0);
  if (exponent < 0) return not_a_multiple();
  if (digits.size() + static_cast<size_t>(exponent) > kDigitsMax) {
    return absl::InvalidArgumentError("beyond any scale");
  }
  int32_t value = 0;
  for (char c : digits) value = value * 10 + (c - '0');
  for (; exponent > 0; --exponent) value *= 10;
  return domain::Thousandths(negative ? -value : value);
}

std::variant<PostedRatings, Problem> ParseRatingsBody(std::string_view body,
                                                      const domain::Scale& scale,
                                                      size_t ratings_max, int64_t now_seconds) {
  json::basic_parser<Handler> parser(json::parse_options(), scale, ratings_max, now_seconds);
  error_code ec;
  size_t read = parser.write_some(false, body.data(), body.size(), ec);
  Handler& handler = parser.handler();
  if (handler.failed()) return handler.problem();
  if (ec || !parser.done() || read != body.size()) {
    std::string detail = absl::StrCat(
        "the body is not JSON: ", ec ? ec.message() : "more text after its end", " at byte ", read);
    return Problem{
        .status = 400, .type = {}, .title = {}, .detail = detail, .errors = {}, .reasons = {}};
  }
  if (!handler.problem().errors.empty()) return handler.problem();
  if (handler.ratings() == 0) {
    return Problem{.status = 400,
                   .type = {},
                   .title = {},
                   .detail = "the body has no rating",
                   .errors = {},
                   .reasons = {}};
  }
  return handler.TakePosted();
}

}  // namespace marquee::http
