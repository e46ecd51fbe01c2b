#include "messaging/setting_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace marquee::messaging {
namespace {

// The number of letters to change, add or take away (Levenshtein).
size_t Distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      size_t changed = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, changed});
    }
  }
  return row[b.size()];
}

}  // namespace

absl::Status UnknownSetting(std::string_view name, std::string_view backend,
                            std::span<const std::string> known) {
  constexpr size_t kShownBytesMax = 100;
  name = name.substr(0, kShownBytesMax);
  auto nearest =
      std::min_element(known.begin(), known.end(), [&](const std::string& a, const std::string& b) {
        return Distance(name, a) < Distance(name, b);
      });
  return absl::InvalidArgumentError(
      fmt::format("unknown setting {} of a {} broker; did you mean {}? Known are {}", name, backend,
                  *nearest, fmt::join(known, ", ")));
}

}  // namespace marquee::messaging
