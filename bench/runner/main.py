"""The options, the rows that they ask for, and the table."""

import argparse
import shutil
import signal
import subprocess
import sys

import kafka_rows
import log_rows
import served_rows
from bench import Bench
from kafka_cluster import ClusterError, KafkaNodes
from kafka_rows import Kafka
from log_rows import FULL_MOVIES, FULL_RATINGS
from paths import MARQUEE, ROOT
from processes import say
from report import NoResult, Row, machine, table

TARGETS = ["marquee", "beast_floor", "plain_sum_bench", "means_bench", "wakeup_bench", "visible_bench",
           "kafka_raw_bench"]
KAFKA_RATINGS = 10_000_000

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
    add("--broker", choices=["sqlite", "kafka"], default="sqlite", help="default: %(default)s")
    add("--nodes", type=int, choices=[1, 3], default=1, help="of Kafka; default: %(default)s")
    add("--ratings", type=int, metavar="N", help=f"default: {FULL_RATINGS}; {KAFKA_RATINGS} on Kafka")
    add("--movies", type=int, default=FULL_MOVIES, metavar="N", help="default: %(default)s")
    add("--only", metavar="NAME,…", help=f"some of: {', '.join(GROUPS)}; on Kafka of: {', '.join(kafka_rows.GROUPS)}; none: no row")
    add("--quick", action="store_true", help="shorter loads, growth up to 4 million")
    add("--keep", action="store_true", help="keep the working folders")
    add("--no-build", action="store_true", help="take what build/bench holds")
    add("--profile", action="store_true",
        help="then the 15 symbols in which the whole system spends most time (perf)")
    options = parser.parse_args()
    groups = GROUPS if options.broker == "sqlite" else kafka_rows.GROUPS
    names = list(groups) if options.only is None else options.only.split(",")
    names = [name for name in names if name != "none"]
    for name in names:
        if name not in groups:
            parser.error(f"--only: expected some of {', '.join(groups)}, found {name}")
    if options.ratings is None:
        options.ratings = FULL_RATINGS if options.broker == "sqlite" else KAFKA_RATINGS
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


def measure_on_kafka(bench, names):
    """All rows on nodes that are there for them alone."""
    nodes = KafkaNodes(bench.options.nodes)
    try:
        return measure(bench, kafka_rows.GROUPS, names, Kafka(bench, nodes))
    finally:
        nodes.wipe()


def measure(bench, groups, names, measured):
    """All rows, and whether each has a result."""
    rows = []
    complete = True
    for name in names:
        say(f"measuring {name}")
        try:
            rows.extend(groups[name](measured))
        except (NoResult, ClusterError) as why:
            rows.append(Row(name, f"no result: {why}"))
            complete = False
        finally:
            bench.processes.end_all()
    return rows, complete


def on_kafka(options):
    if options.broker != "kafka":
        return ""
    return f"; Apache Kafka, {options.nodes} node{'s' if options.nodes > 1 else ''} on this machine"


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
        if options.broker == "kafka":
            rows, complete = measure_on_kafka(bench, names)
        else:
            rows, complete = measure(bench, GROUPS, names, bench)
        print(f"{options.ratings:,} ratings, {options.movies:,} movies{on_kafka(options)}\n")
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
