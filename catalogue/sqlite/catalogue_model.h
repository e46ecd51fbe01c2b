// For tests: a catalogue as plain maps, and changes drawn at random to give to both.
//
// Threads: one at a time.
#ifndef MARQUEE_CATALOGUE_SQLITE_CATALOGUE_MODEL_H_
#define MARQUEE_CATALOGUE_SQLITE_CATALOGUE_MODEL_H_

#include <stdlib.h>

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/random.h"
#include "base/status.h"
#include "catalogue/catalogue.h"

namespace marquee::catalogue {

// A folder that goes with the object.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name =
        (std::filesystem::temp_directory_path() / "marquee-catalogue-XXXXXX").string();
    MARQUEE_CHECK(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  std::string File(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

inline domain::Movie MakeMovie(uint64_t id, const std::string& title,
                               std::optional<int> year = std::nullopt,
                               std::vector<std::string> genres = {}) {
  return {.id = domain::MovieId(id),
          .title = title,
          .year = year,
          .genres = std::move(genres),
          .source = "test"};
}

// Of `count` ratings of `thousandths` each.
inline domain::MeanRating MakeMean(uint64_t id, int64_t as_of, uint64_t count,
                                   int32_t thousandths) {
  domain::MeanRating mean{
      .movie = domain::MovieId(id), .aggregate = {}, .shard = 0, .as_of = domain::LogOffset(as_of)};
  for (uint64_t i = 0; i < count; ++i)
    mean.aggregate.Add(domain::Thousandths(thousandths), domain::Scale());
  return mean;
}

inline Changes::MovieChange Titled(domain::Movie movie) {
  domain::MovieId id = movie.id;
  return {.id = id, .movie = std::move(movie)};
}

// All that a catalogue holds.
struct Contents {
  std::map<uint64_t, Entry> entries;
  std::vector<domain::Watermark> watermarks;
  std::vector<TopicPosition> positions;
  uint64_t ratings = 0;
  int64_t sum_thousandths = 0;
  friend bool operator==(const Contents&, const Contents&) = default;
};

inline absl::StatusOr<Contents> ReadContents(Catalogue& catalogue) {
  MARQUEE_ASSIGN_OR_RETURN(auto reader, catalogue.OpenReader());
  Contents contents;
  MARQUEE_RETURN_IF_ERROR(
      reader->ForEach([&](const Entry& entry) { contents.entries[entry.id.value()] = entry; }));
  MARQUEE_ASSIGN_OR_RETURN(contents.watermarks, reader->Watermarks());
  MARQUEE_ASSIGN_OR_RETURN(contents.positions, reader->Positions());
  MARQUEE_ASSIGN_OR_RETURN(Totals totals, reader->ReadTotals());
  contents.ratings = totals.ratings;
  contents.sum_thousandths = totals.sum_thousandths;
  if (totals.movies != contents.entries.size()) {
    return absl::InternalError(
        absl::StrCat("totals say ", totals.movies, " movies, there are ", contents.entries.size()));
  }
  return contents;
}

class CatalogueModel {
 public:
  void Apply(const Changes& changes) {
    for (const auto& change : changes.movies) {
      if (change.movie) {
        movies_[change.id.value()] = *change.movie;
      } else {
        movies_.erase(change.id.value());
      }
    }
    for (const auto& mean : changes.means) {
      auto [stored, fresh] = means_.emplace(mean.movie.value(), mean);
      if (!fresh && mean.as_of > stored->second.as_of) stored->second = mean;
    }
    for (const auto& watermark : changes.watermarks) {
      auto [stored, fresh] = watermarks_.emplace(watermark.shard, watermark);
      if (!fresh && watermark.ratings_through > stored->second.ratings_through)
        stored->second = watermark;
    }
    for (const auto& position : changes.positions)
      positions_[{position.topic, position.shard}] = position;
  }

  Contents contents() const {
    Contents all;
    for (const auto& [id, movie] : movies_) {
      Entry& entry = all.entries[id];
      entry.title = movie.title;
      entry.year = movie.year;
      entry.genres = movie.genres;
    }
    for (const auto& [id, mean] : means_) {
      Entry& entry = all.entries[id];
      entry.aggregate = mean.aggregate;
      entry.as_of = mean.as_of.value();
      all.ratings += mean.aggregate.count;
      all.sum_thousandths += mean.aggregate.sum_thousandths;
    }
    for (auto& [id, entry] : all.entries) entry.id = domain::MovieId(id);
    for (const auto& [shard, watermark] : watermarks_) all.watermarks.push_back(watermark);
    for (const auto& [key, position] : positions_) all.positions.push_back(position);
    return all;
  }

 private:
  std::map<uint64_t, domain::Movie> movies_;
  std::map<uint64_t, domain::MeanRating> means_;
  std::map<uint32_t, domain::Watermark> watermarks_;
  std::map<std::pair<std::string, uint32_t>, TopicPosition> positions_;
};

// Changes as a sink makes them, with repeats, older means and deletions among them. `step` grows
// from call to call.
inline Changes DrawChanges(Random& random, int64_t step, uint64_t movies_max) {
  static const std::vector<std::string> kGenres = {"Drama", "Film-Noir", "a|b\\c", "(no)",
                                                   "Sci-Fi"};
  Changes changes;
  for (uint64_t i = random.Below(4); i > 0; --i) {
    uint64_t id = 1 + random.Below(movies_max);
    if (random.OneIn(4)) {
      changes.movies.push_back({.id = domain::MovieId(id), .movie = std::nullopt});
      continue;
    }
    domain::Movie movie = MakeMovie(
        id, absl::StrCat("Title ", random.Below(3), " É", std::string(random.Below(300), 'x')));
    if (random.OneIn(2)) movie.year = static_cast<int>(1900 + random.Below(120));
    for (const std::string& genre : kGenres) {
      if (random.OneIn(3)) movie.genres.push_back(genre);
    }
    changes.movies.push_back(Titled(std::move(movie)));
  }
  for (uint64_t i = random.Below(30); i > 0; --i) {
    int64_t as_of = step * 10 + static_cast<int64_t>(random.Below(20)) - 5;
    changes.means.push_back(MakeMean(1 + random.Below(movies_max), std::max<int64_t>(0, as_of),
                                     1 + random.Below(5),
                                     static_cast<int32_t>(500 + 500 * random.Below(10))));
  }
  auto shard = static_cast<uint32_t>(random.Below(3));
  changes.watermarks.push_back(
      {.shard = shard,
       .ratings_through = domain::LogOffset(step * 10 - static_cast<int64_t>(random.Below(2)) * 10),
       .ratings_identity = "log-1"});
  changes.positions.push_back({.topic = random.OneIn(2) ? "movies" : "mean-ratings",
                               .identity = "t",
                               .shard = shard,
                               .next = step});
  return changes;
}

}  // namespace marquee::catalogue

#endif  // MARQUEE_CATALOGUE_SQLITE_CATALOGUE_MODEL_H_
