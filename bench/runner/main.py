"""The options, the rows that they ask for, and the table."""

import argparse
import shutil
import signal
import subprocess
import sys

import log_rows
import served_rows
from bench import Bench
from log_rows import FULL_MOVIES, FULL_RATINGS
from paths import MARQUEE, ROOT
from processes import say
from report import NoResult, Row, machine, table

TARGETS = ["marquee", "beast_floor", "plain_sum_bench", "means_bench", "wakeup_bench", "visible_bench"]

GROUPS = {
    "csv-to-log": log_rows.csv_to_log,
    "log-to-means": log_rows.log_to_means,
    "whole-system": log_rows.whole_system,
    "visible": served_rows.visible,
    "publish-to-consumer": served_rows.publish_to_consumer,
    "get": served_rows.get,
    "restart": served_rows.restart,
    "growth": log_rows.growth,
}


def parse_options(description):
    parser = argparse.ArgumentParser(description=description,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--ratings", type=int, default=FULL_RATINGS, metavar="N", help="default: %(default)s")
    add("--movies", type=int, default=FULL_MOVIES, metavar="N", help="default: %(default)s")
    add("--only", metavar="NAME,…", help=f"some of: {', '.join(GROUPS)}; none: no row")
    add("--quick", action="store_true", help="shorter loads, growth up to 4 million")
    add("--keep", action="store_true", help="keep the working folders")
    add("--no-build", action="store_true", help="take what build/bench holds")
    add("--profile", action="store_true",
        help="then the 15 symbols in which the whole system spends most time (perf)")
    options = parser.parse_args()
    names = list(GROUPS) if options.only is None else options.only.split(",")
    names = [name for name in names if name != "none"]
    for name in names:
        if name not in GROUPS:
            parser.error(f"--only: expected some of {', '.join(GROUPS)}, found {name}")
    if options.ratings < 1000 or options.movies < 100:
        parser.error("expected at least 1000 ratings and 100 movies")
    return options, names


def profile(bench):
    if shutil.which("perf") is None:
        raise NoResult("perf is not installed")
    input_folder = bench.data_set(bench.ratings, bench.movies)
    data = bench.folder("profile")
    samples = bench.work / "perf.data"
    bench.run("perf", "record", "-q", "-F", 499, "-g", "-o", samples, "--", MARQUEE, "run",
             "--once", "--data", data, "--movielens", input_folder)
    bench.audit(data, input_folder / "ratings.csv")
    bench.forget(data)
    text = bench.run("perf", "report", "--stdio", "--no-children", "-g", "none", "--sort",
                    "symbol", "-i", samples).output
    lines = [line.rstrip() for line in text.splitlines() if line.strip() and line[0] != "#"]
    return "\n".join(line[:100].rstrip() for line in lines[:15])


def measure(bench, names):
    """All rows, and whether each has a result."""
    rows = []
    complete = True
    for name in names:
        say(f"measuring {name}")
        try:
            rows.extend(GROUPS[name](bench))
        except NoResult as why:
            rows.append(Row(name, f"no result: {why}"))
            complete = False
        finally:
            bench.processes.end_all()
    return rows, complete


def main(description):
    options, names = parse_options(description)
    # A SIGTERM ends what was started, as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(machine(), flush=True)
    if not options.no_build:
        subprocess.run([ROOT / "script" / "build", "bench", *TARGETS], check=True,
                       stdout=sys.stderr)
    bench = Bench(options)
    bench.work.mkdir(parents=True)
    try:
        rows, complete = measure(bench, names)
        print(f"{options.ratings:,} ratings, {options.movies:,} movies\n")
        if rows:
            print(table(rows), flush=True)
        if options.profile:
            try:
                print("\nwhere the time goes, of all threads:\n" + profile(bench), flush=True)
            except NoResult as why:
                print(f"\nprofile: no result: {why}")
                complete = False
    finally:
        bench.processes.end_all()
        bench.forget(bench.work)
    return 0 if complete else 1
