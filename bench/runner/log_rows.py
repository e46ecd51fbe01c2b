"""Rows of the log and of the whole system, from a file to its means."""

import json
import os
import statistics
import subprocess
import sys

from paths import MARQUEE, PROGRAMS
from report import Row, check_count, millions, verdict

FULL_RATINGS = 32_000_000  # what the issue names its figures for
FULL_MOVIES = 87_585
MEANS_RATINGS_MAX = 8_000_000
GROWTH_RATINGS = [1_000_000, 4_000_000, 16_000_000, 32_000_000]
GROWTH_MOVIES = [1_000, 87_585, 1_000_000]

DUCKDB = """
import duckdb, sys, time
begin = time.monotonic()
database = duckdb.connect()
database.execute("SET threads = 2; SET enable_progress_bar = false")
query = "SELECT movieId, count(*), avg(rating) FROM read_csv(?, header = true) GROUP BY movieId"
rows = database.execute(query, [sys.argv[1]]).fetchall()
print(time.monotonic() - begin, sum(row[1] for row in rows))
"""


def csv_to_log(bench):
    ratings = bench.data_set(bench.ratings, bench.movies) / "ratings.csv"
    plain = bench.run(PROGRAMS / "plain_sum_bench", ratings)
    check_count("plain_sum_bench", json.loads(plain.output)["ratings"], bench.ratings)
    data = bench.folder("csv-to-log")
    broker = f"sqlite:{data}/log"
    done = bench.run(MARQUEE, "ratingproducer", "--broker", broker, "--source", "movielens",
                    "--ratings", ratings)
    # The log alone has no means: they are made now, and audited.
    bench.run(MARQUEE, "run", "--once", "--broker", broker, "--data", data)
    bench.audit(data, ratings, "--broker", broker)
    bench.forget(data)
    speed = bench.ratings / done.seconds
    ratio = plain.seconds / done.seconds
    yield Row("csv-to-log", f"{millions(speed)}/s",
              f"plain program {millions(bench.ratings / plain.seconds)}/s", f"{ratio:.2f}",
              "≥ 5 M/s, ≥ 0.3 ×", verdict(speed >= 5e6, ratio >= 0.3))


def log_to_means(bench):
    published = min(bench.ratings, MEANS_RATINGS_MAX)
    ratings = bench.data_set(bench.ratings, bench.movies) / "ratings.csv"
    data = bench.folder("log-to-means")
    bench.run(MARQUEE, "ratingproducer", "--broker", f"sqlite:{data}", "--source", "movielens",
             "--ratings", ratings, "--shards", 1, "--limit", published)
    os.sync()
    speeds = {}
    for how in ("one", "all"):
        runs = [bench.program("means_bench", how, data) for _ in range(3)]
        for found in runs:
            check_count("means_bench", found["counted"], published)
        speeds[how] = published / statistics.median(found["seconds"] for found in runs)
    bench.forget(data)
    yield Row("log-to-means", f"{millions(speeds['all'])}/s", asked="≥ 6 M/s",
              ok=verdict(speeds["all"] >= 6e6))
    yield Row("  message by message", f"{millions(speeds['one'])}/s",
              f"in batches {millions(speeds['all'])}/s", f"{speeds['one'] / speeds['all']:.2f}")


def whole_system(bench):
    ratings = bench.data_set(bench.ratings, bench.movies) / "ratings.csv"
    duck = duckdb_seconds(bench, ratings)
    found = bench.run_once(bench.ratings, bench.movies)
    full = bench.ratings == FULL_RATINGS
    speed = millions(bench.ratings / found.seconds)
    yield Row("whole-system", f"{found.seconds:.2f} s, {speed}/s",
              f"DuckDB {duck:.2f} s" if duck else "DuckDB is not installed",
              f"{found.seconds / duck:.1f}" if duck else "", "≤ 15 s at 32 M",
              verdict(found.seconds <= 15) if full else "")
    yield Row("  peak memory", f"{found.rss_mib:.0f} MiB", asked="≤ 250 MiB at 32 M",
              ok=verdict(found.rss_mib <= 250))
    csv_bytes = ratings.stat().st_size / bench.ratings
    yield Row("  log on disk", f"{found.log_bytes:.1f} bytes/rating",
              f"CSV {csv_bytes:.1f}", f"{found.log_bytes / csv_bytes:.2f}", "≤ 24 bytes",
              verdict(found.log_bytes <= 24))
    yield Row("  all on disk", f"{found.all_bytes:.1f} bytes/rating", f"CSV {csv_bytes:.1f}",
              f"{found.all_bytes / csv_bytes:.2f}")


def duckdb_seconds(bench, ratings):
    if subprocess.run([sys.executable, "-c", "import duckdb"], stderr=subprocess.DEVNULL,
                      check=False).returncode != 0:
        return None
    # The lines before the last are its progress bar.
    last_line = bench.run(sys.executable, "-c", DUCKDB, ratings).output.splitlines()[-1]
    seconds, count = last_line.split()
    check_count("DuckDB", int(count), bench.ratings)
    return float(seconds)


def growth(bench):
    most = min(bench.ratings, GROWTH_RATINGS[1]) if bench.options.quick else bench.ratings
    sizes = [(count, bench.movies) for count in GROWTH_RATINGS if count <= most]
    yield from growth_rows(bench, sizes or [(most, bench.movies)], 0)
    least = min(bench.ratings, GROWTH_RATINGS[0])
    yield from growth_rows(bench, [(least, movies) for movies in GROWTH_MOVIES], 1)


def growth_rows(bench, sizes, varied):
    first = bench.run_once(*sizes[0])
    for size in sizes:
        found = bench.run_once(*size)
        per_rating = found.seconds / size[0] / (first.seconds / sizes[0][0])
        what = ("ratings", "movies")[varied]
        yield Row(f"growth, {size[varied]:,} {what}",
                  f"{found.seconds:.2f} s, {found.rss_mib:.0f} MiB, {found.log_bytes:.1f} and "
                  f"{found.all_bytes:.1f} bytes/rating",
                  f"{sizes[0][varied]:,} {what}: time for a rating",
                  f"{per_rating:.2f}")
