#include "catalogue/sqlite/entry_order.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace marquee::catalogue {
namespace {

constexpr char kNone = '-';
constexpr char kSome = '=';

}  // namespace

std::string EncodeSortValue(const SortKey& key, SortBy sort) {
  if (key.none) return std::string(1, kNone);
  switch (sort) {
    case SortBy::kId:
      return std::string(1, kSome);
    case SortBy::kTitle:
      return absl::StrCat("=", absl::string_view(key.text.data(), key.text.size()));
    default:
      return absl::StrFormat("=%016x", std::bit_cast<uint64_t>(key.number));
  }
}

absl::StatusOr<SortKey> DecodeSortValue(const ListQuery::After& after, SortBy sort) {
  SortKey key{.none = false, .number = 0, .text = {}, .id = after.id};
  std::string_view value = after.sort_value;
  auto invalid = [] {
    return absl::InvalidArgumentError("the sort value of a page's end is malformed");
  };
  if (value.size() == 1 && value[0] == kNone) {
    key.none = true;
    return key;
  }
  if (value.empty() || value[0] != kSome) return invalid();
  value.remove_prefix(1);
  switch (sort) {
    case SortBy::kId:
      if (!value.empty()) return invalid();
      return key;
    case SortBy::kTitle:
      key.text = value;
      return key;
    default:
      uint64_t bits = 0;
      auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), bits, 16);
      if (value.size() != 16 || error != std::errc() || end != value.data() + value.size())
        return invalid();
      key.number = std::bit_cast<double>(bits);
      if (!std::isfinite(key.number)) return invalid();
      return key;
  }
}

bool EntryOrder::Before(const SortKey& a, const SortKey& b) const {
  if (by_id_) return descending_ ? a.id > b.id : a.id < b.id;
  if (a.none != b.none) return b.none;
  if (!a.none) {
    if (a.number != b.number) return (a.number < b.number) != descending_;
    if (int order = a.text.compare(b.text); order != 0) return (order < 0) != descending_;
  }
  return a.id < b.id;
}

FirstEntries::FirstEntries(EntryOrder order, size_t limit, std::optional<SortKey> after)
    : order_(order), limit_(limit), after_(after) {
  heap_.reserve(limit);
}

SortKey FirstEntries::KeyOf(const Kept& kept) const {
  SortKey key = kept.key;
  key.text = kept.text;
  return key;
}

void FirstEntries::Keep(const SortKey& key, Kept* slot) {
  slot->key = key;
  slot->key.text = {};
  slot->text = key.text;
}

void FirstEntries::Offer(const SortKey& key) {
  if (after_ && !order_.Before(*after_, key)) return;
  auto before = [this](const Kept& a, const Kept& b) { return order_.Before(KeyOf(a), KeyOf(b)); };
  if (heap_.size() < limit_) {
    Keep(key, &heap_.emplace_back());
    std::push_heap(heap_.begin(), heap_.end(), before);
    return;
  }
  if (!order_.Before(key, KeyOf(heap_.front()))) return;
  std::pop_heap(heap_.begin(), heap_.end(), before);
  Keep(key, &heap_.back());
  std::push_heap(heap_.begin(), heap_.end(), before);
}

std::vector<FirstEntries::Kept> FirstEntries::Take() {
  std::sort_heap(heap_.begin(), heap_.end(), [this](const Kept& a, const Kept& b) {
    return order_.Before(KeyOf(a), KeyOf(b));
  });
  return std::move(heap_);
}

}  // namespace marquee::catalogue
