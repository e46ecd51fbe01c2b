// How fast the catalogue takes means and serves lists, with 87,585 movies.
#include <benchmark/benchmark.h>

#include "catalogue/sqlite/catalogue_model.h"
#include "catalogue/sqlite/sqlite_catalogue.h"

namespace marquee::catalogue {
namespace {

constexpr uint64_t kMovies = 87'585;

struct World {
  World() {
    catalogue = *OpenSqliteCatalogue({.path = folder.File("c.db")});
    writer = *catalogue->OpenWriter();
    reader = *catalogue->OpenReader();
    Changes changes;
    for (uint64_t id = 1; id <= kMovies; ++id) {
      changes.movies.push_back(
          Titled(MakeMovie(id, absl::StrCat("The Movie with the Number ", id * 7919 % kMovies),
                           1950 + static_cast<int>(id % 70), {"Drama", id % 3 ? "Crime" : "War"})));
      changes.means.push_back(
          MakeMean(id, 1, 1 + id % 50, static_cast<int32_t>(500 + 500 * (id % 10))));
    }
    MARQUEE_CHECK(writer->Commit(changes).ok());
  }
  TemporaryFolder folder;
  std::unique_ptr<Catalogue> catalogue;
  std::unique_ptr<Writer> writer;
  std::unique_ptr<Reader> reader;
};

World& TheWorld() {
  static World world;
  return world;
}

void BM_UpsertMeans(benchmark::State& state) {
  World& world = TheWorld();
  static int64_t as_of = 2;
  Random random(1);
  Changes changes;
  for (int64_t i = 0; i < state.range(0); ++i) {
    changes.means.push_back(MakeMean(1 + random.Below(kMovies), 1, 7, 3500));
  }
  for (auto _ : state) {
    ++as_of;
    for (domain::MeanRating& mean : changes.means) mean.as_of = domain::LogOffset(as_of);
    MARQUEE_CHECK(world.writer->Commit(changes).ok());
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_UpsertMeans)
    ->Arg(1)
    ->Arg(200)
    ->Arg(50'000)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

void BM_Get(benchmark::State& state) {
  World& world = TheWorld();
  Random random(1);
  for (auto _ : state)
    benchmark::DoNotOptimize(world.reader->Get(domain::MovieId(1 + random.Below(kMovies))));
}
BENCHMARK(BM_Get);

void BM_List(benchmark::State& state, ListQuery query) {
  World& world = TheWorld();
  query.prior = {.number = 1, .mean = 3.2, .weight = 50};
  for (auto _ : state) {
    // A commit, so that no page is in the reader's cache.
    state.PauseTiming();
    MARQUEE_CHECK(
        world.writer
            ->Commit({.positions = {{"movies", "t", 0, static_cast<int64_t>(state.iterations())}}})
            .ok());
    state.ResumeTiming();
    MARQUEE_CHECK(world.reader->List(query).ok());
  }
}
BENCHMARK_CAPTURE(BM_List, bayesian, ListQuery{.rated_only = true})->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_List, search, ListQuery{.text = "numb movie"})->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_List, genre, ListQuery{.genre = "war"})->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_List, title, ListQuery{.sort = SortBy::kTitle, .descending = false})
    ->Unit(benchmark::kMillisecond);

void BM_Open(benchmark::State& state) {
  std::string path = TheWorld().catalogue->name();
  for (auto _ : state) MARQUEE_CHECK(OpenSqliteCatalogue({.path = path}).ok());
}
BENCHMARK(BM_Open)->Unit(benchmark::kMillisecond);

void BM_OpenWriter(benchmark::State& state) {
  World& world = TheWorld();
  for (auto _ : state) {
    world.writer.reset();
    world.writer = *world.catalogue->OpenWriter();
  }
}
BENCHMARK(BM_OpenWriter)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace marquee::catalogue

BENCHMARK_MAIN();
