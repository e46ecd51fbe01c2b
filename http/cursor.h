// Where a page of a list ended, as clients carry it: with the prior that ranked the list, so that
// the pages of one paging never mix two, on any server, restarted or not; and bound to the query it
// belongs to.
#ifndef MARQUEE_HTTP_CURSOR_H_
#define MARQUEE_HTTP_CURSOR_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "catalogue/catalogue.h"

namespace marquee::http {

// REQUIRES: `query` is the one that gave the page that ended at `end`.
std::string EncodeCursor(const catalogue::ListQuery& query, const catalogue::ListQuery::After& end);

// Sets `after` and `prior` of a query that is complete but for these; `prior.weight` has to be set.
// kInvalidArgument: not a cursor; kFailedPrecondition: one of another query.
absl::Status ApplyCursor(std::string_view cursor, catalogue::ListQuery* query);

}  // namespace marquee::http

#endif  // MARQUEE_HTTP_CURSOR_H_
