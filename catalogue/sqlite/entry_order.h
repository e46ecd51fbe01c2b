// The order of a list, and the best entries of many in that order.
//
// The order: by sort value, ascending or descending; what has none (no mean, no title, no year)
// comes last in both; equal ones by id, ascending. Sorted by id, descending turns the ids around.
//
// Threads: one at a time.
#ifndef MARQUEE_CATALOGUE_SQLITE_ENTRY_ORDER_H_
#define MARQUEE_CATALOGUE_SQLITE_ENTRY_ORDER_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "catalogue/catalogue.h"

namespace marquee::catalogue {

struct SortKey {
  bool none = false;
  double number = 0;
  std::string_view text;
  domain::MovieId id;
};

// As text and back, exactly: doubles by their bits. kInvalidArgument: not such a text.
std::string EncodeSortValue(const SortKey& key, SortBy sort);
absl::StatusOr<SortKey> DecodeSortValue(const ListQuery::After& after, SortBy sort);

class EntryOrder {
 public:
  EntryOrder(SortBy sort, bool descending) : by_id_(sort == SortBy::kId), descending_(descending) {}
  bool Before(const SortKey& a, const SortKey& b) const;

 private:
  bool by_id_;
  bool descending_;
};

// Keeps the first `limit` of the keys it is offered, of those after `after`.
class FirstEntries {
 public:
  // REQUIRES: limit > 0.
  FirstEntries(EntryOrder order, size_t limit, std::optional<SortKey> after);

  void Offer(const SortKey& key);

  struct Kept {
    SortKey key;  // its text is unset: see `text`
    std::string text;
  };
  // In order. Once.
  std::vector<Kept> Take();

 private:
  SortKey KeyOf(const Kept& kept) const;
  void Keep(const SortKey& key, Kept* slot);

  EntryOrder order_;
  size_t limit_;
  std::optional<SortKey> after_;
  std::vector<Kept> heap_;  // the last in the order at the front
};

}  // namespace marquee::catalogue

#endif  // MARQUEE_CATALOGUE_SQLITE_ENTRY_ORDER_H_
