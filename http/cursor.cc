#include "http/cursor.h"

#include <bit>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "base/digest.h"
#include "http/opaque_text.h"

namespace marquee::http {
namespace {

constexpr uint8_t kKind = 2;
constexpr double kPriorMeanMax = 1'000'000;  // stars; beyond any scale

uint64_t DigestOfQuery(const catalogue::ListQuery& query) {
  return DigestOf(absl::StrCat(query.text.size(), ":", query.text, query.genre.size(), ":",
                               query.genre, static_cast<int>(query.sort),
                               query.descending ? "d" : "a", query.rated_only ? "r" : "e",
                               std::bit_cast<uint64_t>(query.prior.weight)))
      .low;
}

}  // namespace

std::string EncodeCursor(const catalogue::ListQuery& query,
                         const catalogue::ListQuery::After& end) {
  return OpaqueTextWriter(kKind)
      .Add(DigestOfQuery(query))
      .Add(query.prior.number)
      .Add(std::bit_cast<uint64_t>(query.prior.mean))
      .Add(end.id.value())
      .Add(end.sort_value)
      .Finish();
}

absl::Status ApplyCursor(std::string_view cursor, catalogue::ListQuery* query) {
  OpaqueTextReader reader(kKind, cursor);
  uint64_t digest = reader.TakeNumber();
  catalogue::Prior prior = query->prior;
  prior.number = reader.TakeNumber();
  prior.mean = std::bit_cast<double>(reader.TakeNumber());
  catalogue::ListQuery::After after;
  after.id = domain::MovieId(reader.TakeNumber());
  after.sort_value = reader.TakeText();
  bool plausible = std::isfinite(prior.mean) && std::abs(prior.mean) <= kPriorMeanMax;
  if (!reader.Ok() || !plausible) {
    return absl::InvalidArgumentError(
        "not a cursor: expected the next_cursor of an earlier page, unchanged");
  }
  if (digest != DigestOfQuery(*query)) {
    return absl::FailedPreconditionError(
        "the cursor belongs to another query: repeat query, genre, sort and order of the page it "
        "came from, or start "
        "without a cursor");
  }
  query->prior = prior;
  query->after = std::move(after);
  return absl::OkStatus();
}

}  // namespace marquee::http
