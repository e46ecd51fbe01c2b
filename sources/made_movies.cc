#include "sources/made_movies.h"

#include <fmt/core.h>

#include <iterator>
#include <numeric>
#include <string_view>

namespace marquee::sources {
namespace {

using Words = std::span<const std::string_view>;

// Ids in the real sets have gaps; here they are about twice as many as the movies.
constexpr uint64_t kIdStepMax = 3;
constexpr uint64_t kYearFirst = 1920;
constexpr uint64_t kYears = 104;

// How often each half-star value comes in a thousand ratings (0.5 first), for movies from bad to
// good. All together they have the peaks of the real sets at 4, 3 and 5, and a mean of about 3.5.
constexpr std::array<std::array<uint32_t, 10>, 5> kValuesByQuality = {{
    {60, 110, 60, 170, 110, 220, 100, 120, 20, 30},
    {30, 50, 30, 110, 90, 240, 140, 210, 40, 60},
    {14, 30, 17, 70, 55, 200, 140, 270, 90, 114},
    {8, 18, 8, 40, 35, 150, 130, 310, 131, 170},
    {5, 12, 5, 25, 20, 100, 100, 300, 173, 260},
}};
constexpr std::array<uint32_t, 5> kQualityPercents = {5, 15, 40, 30, 10};

// The value for each of a thousand draws, by quality.
constexpr auto MakeValueTable() {
  std::array<std::array<uint8_t, 1000>, kValuesByQuality.size()> table{};
  for (size_t quality = 0; quality < table.size(); ++quality) {
    size_t at = 0;
    for (size_t value = 0; value < 10; ++value) {
      for (uint32_t i = 0; i < kValuesByQuality[quality][value]; ++i) {
        table[quality][at++] = static_cast<uint8_t>(value + 1);
      }
    }
  }
  return table;
}
constexpr auto kValueTable = MakeValueTable();
static_assert(std::accumulate(kQualityPercents.begin(), kQualityPercents.end(), 0u) == 100);
static_assert([] {
  for (const auto& row : kValueTable) {
    if (row.back() != 10) return false;  // a row of fewer than a thousand
  }
  return true;
}());

constexpr std::string_view kAdjectives[] = {
    "Quiet",  "Midnight", "Golden",  "Broken", "Secret",  "Silent", "Last",   "First",
    "Hidden", "Crimson",  "Distant", "Wild",   "Perfect", "Lonely", "Bitter", "Electric",
    "Little", "Burning",  "Frozen",  "Second", "Velvet",  "Hollow", "Savage", "Invisible"};
constexpr std::string_view kNouns[] = {
    "River",    "Harvest", "Detective", "Garden",  "Voyage",  "Machine", "Winter",   "Brothers",
    "Mountain", "Letter",  "Engine",    "Horizon", "Planet",  "Island",  "Stranger", "Kingdom",
    "Daughter", "Bridge",  "Orchestra", "Shadow",  "Station", "Summer",  "Witness",  "Lighthouse"};
constexpr std::string_view kForeign[] = {
    "Étoile perdue, L'", "Señor Otoño",       "Über den Dächern",
    "Déjà vu à Orléans", "Mañana será tarde", "Crème brûlée",
    "Gör det själv",     "七つの川",          "Żółta łódź"};
constexpr std::string_view kArticles[] = {"The", "A", "An"};
constexpr std::string_view kGenres[] = {
    "Action",      "Adventure", "Animation", "Children",  "Comedy", "Crime",
    "Documentary", "Drama",     "Fantasy",   "Film-Noir", "Horror", "Musical",
    "Mystery",     "Romance",   "Sci-Fi",    "Thriller",  "War",    "Western"};

std::string MakeWords(Draws& draws) {
  std::string_view adjective = draws.OneOf(Words(kAdjectives));
  std::string_view noun = draws.OneOf(Words(kNouns));
  switch (draws.Below(5)) {
    case 0:
      return fmt::format("{} {}, {}", adjective, noun, draws.OneOf(Words(kArticles)));
    case 1:
      return fmt::format("{} of the {} {}", noun, adjective, draws.OneOf(Words(kNouns)));
    case 2:
      return fmt::format("{} {}", noun, 2 + draws.Below(8));
    case 3:
      return fmt::format("{}'s {}", noun, draws.OneOf(Words(kNouns)));
    default:
      return fmt::format("{} {}", adjective, noun);
  }
}

// About as often as in the real sets.
std::string MakeTitle(Draws& draws) {
  std::string title =
      draws.OneIn(33) ? std::string(draws.OneOf(Words(kForeign))) : MakeWords(draws);
  if (draws.OneIn(400)) title = fmt::format("\"Great {}\" {}", draws.OneOf(Words(kNouns)), title);
  if (draws.OneIn(90)) title += fmt::format(" & {}", draws.OneOf(Words(kNouns)));
  if (draws.OneIn(900)) title += " &amp; More";
  if (draws.OneIn(1200)) title += " <3";
  if (draws.OneIn(1200)) title += " -> Home";
  if (draws.OneIn(2000)) title.insert(0, "+");
  if (draws.OneIn(4000)) title.insert(0, "=");
  if (draws.OneIn(12)) title += fmt::format(" (a.k.a. {})", MakeWords(draws));
  uint64_t year = kYearFirst + draws.Below(kYears);
  switch (draws.Below(800)) {
    case 0:
      return title;
    case 1:
      return title + fmt::format(" ({}–{})", year, year + 1);
    case 2:
      return title + fmt::format(" ({}) ", year);
    default:
      return title + fmt::format(" ({})", year);
  }
}

void AppendCell(std::string_view text, std::string* out) {
  if (text.find_first_of(",\"") == std::string_view::npos) {
    out->append(text);
    return;
  }
  out->push_back('"');
  for (char c : text) {
    if (c == '"') out->push_back('"');
    out->push_back(c);
  }
  out->push_back('"');
}

void AppendGenres(Draws& draws, std::string* out) {
  if (draws.OneIn(280)) {
    out->append("(no genres listed)");
    return;
  }
  const size_t begin = out->size();
  for (std::string_view genre : kGenres) {
    if (!draws.OneIn(8)) continue;
    if (out->size() > begin) out->push_back('|');
    out->append(genre);
  }
  if (out->size() == begin) out->append("Drama");
}

uint32_t DrawQuality(Draws& draws) {
  auto draw = static_cast<uint32_t>(draws.Below(100));
  uint32_t quality = 0;
  while (draw >= kQualityPercents[quality]) draw -= kQualityPercents[quality++];
  return quality;
}

}  // namespace

MadeMovie AppendMovie(uint64_t last_id, Draws& draws, std::string* out) {
  MadeMovie movie{.id = last_id + 1 + draws.Below(kIdStepMax), .quality = DrawQuality(draws)};
  out->append(fmt::format("{},", movie.id));
  AppendCell(MakeTitle(draws), out);
  out->push_back(',');
  AppendGenres(draws, out);
  out->push_back('\n');
  return movie;
}

uint32_t DrawHalfStars(uint32_t quality, Draws& draws) {
  return kValueTable[quality][draws.Below(1000)];
}

}  // namespace marquee::sources
