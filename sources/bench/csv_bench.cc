// How fast a ratings.csv is made, digested and read, beside a plain program that sums it:
//
//   sources_csv_bench [RATINGS] [MOVIES] [FOLDER]      (1000000, 20000, a folder of its own that is
//   removed)
//
// Makes the data set in FOLDER, and prints each figure as the best of three runs, rates by CPU
// time. The file is in the page cache then.
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <functional>
#include <limits>
#include <string>

#include "base/status.h"
#include "sources/bench/plain_sum.h"
#include "sources/generator.h"
#include "sources/movie_file.h"
#include "sources/rating_file.h"

namespace marquee::bench {
namespace {

constexpr int kRuns = 3;
constexpr size_t kRowsPerRead = 4096;
constexpr uint64_t kWindowBytes = 64 << 20;

// CPU time is what counts where others use the machine too.
struct Seconds {
  double wall = std::numeric_limits<double>::max();
  double cpu = std::numeric_limits<double>::max();
};

double CpuSeconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

Seconds SecondsOf(const std::function<void()>& work) {
  auto begin = std::chrono::steady_clock::now();
  double cpu_begin = CpuSeconds();
  work();
  return {std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(),
          CpuSeconds() - cpu_begin};
}

Seconds BestSecondsOf(const std::function<void()>& work) {
  Seconds best;
  for (int run = 0; run < kRuns; ++run) {
    Seconds seconds = SecondsOf(work);
    best = {std::min(best.wall, seconds.wall), std::min(best.cpu, seconds.cpu)};
  }
  return best;
}

void MustBeOk(const absl::Status& status) {
  if (status.ok()) return;
  fmt::print(stderr, "{}\n", status.ToString());
  std::exit(1);
}

template <typename T>
T MustBeOk(absl::StatusOr<T> value) {
  MustBeOk(value.status());
  return *std::move(value);
}

// The sum of all values, so that the two readers can be compared.
struct ReadResult {
  uint64_t ratings = 0;
  int64_t sum_thousandths = 0;
};

ReadResult ReadAll(const std::string& path) {
  ReadResult result;
  auto file = MustBeOk(sources::RatingFile::Open(path, {}));
  sources::RowBatch batch;
  do {
    MustBeOk(file->Read(UINT64_MAX, kRowsPerRead, &batch));
    result.ratings += batch.ratings.size();
    for (const sources::RatingRow& row : batch.ratings) result.sum_thousandths += row.value.value();
  } while (!batch.ratings.empty());
  return result;
}

void MarkAll(const std::string& path) {
  auto file = MustBeOk(sources::RatingFile::Open(path, {}));
  domain::InputMark mark;
  while (true) {
    domain::InputMark next = MustBeOk(file->MarkAfter(mark, kWindowBytes));
    if (next == mark) return;
    mark = next;
  }
}

void Print(const char* what, Seconds seconds, uint64_t rows, uint64_t bytes) {
  fmt::print("{:<32}{:>8.3f} s wall, of CPU {:>8.3f} s {:>7.1f} ns/row {:>6.2f} GB/s\n", what,
             seconds.wall, seconds.cpu, seconds.cpu * 1e9 / static_cast<double>(rows),
             static_cast<double>(bytes) / seconds.cpu / 1e9);
}

void Measure(uint64_t ratings, uint64_t movies, const std::string& folder) {
  Seconds made = SecondsOf([&] {
    MustBeOk(sources::GenerateMovieLens({.seed = 1, .ratings = ratings, .movies = movies}, folder,
                                        nullptr));
  });
  const std::string path = folder + "/ratings.csv";
  const uint64_t bytes = std::filesystem::file_size(path);
  fmt::print("{} ratings, {} bytes ({:.1f} a row), {} movies\n", ratings, bytes,
             static_cast<double>(bytes) / static_cast<double>(ratings), movies);
  Print("generated, synced", made, ratings, bytes);
  ReadResult read;
  Print("RatingFile::Read", BestSecondsOf([&] { read = ReadAll(path); }), ratings, bytes);
  Print("RatingFile::MarkAfter", BestSecondsOf([&] { MarkAll(path); }), ratings, bytes);
  PlainSums sums;
  Print("plain program: parse and sum", BestSecondsOf([&] { sums = SumPlainly(path); }), ratings,
        bytes);
  int64_t sum = 0;
  for (const auto& [movie, of_movie] : sums.movies) sum += of_movie.sum_thousandths;
  MARQUEE_CHECK(read.ratings == ratings && sums.ratings == ratings && sum == read.sum_thousandths);
  size_t found = 0;
  Seconds seconds = BestSecondsOf(
      [&] { found = MustBeOk(sources::ReadMovieFile(folder + "/movies.csv")).movies.size(); });
  MARQUEE_CHECK(found == movies);
  Print("ReadMovieFile", seconds, movies, std::filesystem::file_size(folder + "/movies.csv"));
}

}  // namespace
}  // namespace marquee::bench

int main(int argc, char** argv) {
  uint64_t ratings = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1'000'000;
  uint64_t movies = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 20'000;
  if (argc > 3) {
    marquee::bench::Measure(ratings, movies, argv[3]);
    return 0;
  }
  std::string folder =
      std::filesystem::temp_directory_path() / fmt::format("marquee-csv-bench-{}", getpid());
  marquee::bench::Measure(ratings, movies, folder);
  std::filesystem::remove_all(folder);
  return 0;
}
