"""The options, the rows that they ask for, and the table."""

import argparse
import shutil
import signal
import subprocess
import sys

import broker_rows
import log_rows
import packed_rows
import served_rows
from bench import Bench
from broker_rows import BrokerRows
from kafka_nodes import ClusterError, KafkaNodes
from log_rows import FULL_MOVIES, FULL_RATINGS
from paths import MARQUEE, ROOT
from processes import say
from rabbitmq_nodes import RabbitmqNodes
from report import NoResult, Row, machine, table

TARGETS = ["marquee", "beast_floor", "plain_sum_bench", "means_bench", "wakeup_bench", "visible_bench",
           "kafka_raw_bench", "amqp_raw_bench", "means_watch"]
BROKER_RATINGS = 10_000_000
NODES = {"kafka": KafkaNodes, "amqp": RabbitmqNodes}

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


def groups_of(options):
    """The rows on the broker that was asked for, by name."""
    return groups_on(NODES[options.broker]) if options.broker in NODES else GROUPS


def groups_on(nodes):
    return broker_rows.groups(nodes) | ({"packed": packed_rows.packed} if hasattr(nodes, "packing") else {})


def parse_options(description):
    parser = argparse.ArgumentParser(description=description,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--broker", choices=["sqlite", *NODES], default="sqlite", help="default: %(default)s")
    add("--nodes", type=int, choices=[1, 3], default=1, help="of kafka and amqp; default: %(default)s")
    add("--ratings", type=int, metavar="N", help=f"default: {FULL_RATINGS}; {BROKER_RATINGS} on kafka and amqp")
    add("--movies", type=int, default=FULL_MOVIES, metavar="N", help="default: %(default)s")
    add("--only", metavar="NAME,…", help=f"some of: {', '.join(GROUPS)}; " + "".join(
        f"on {broker} of: {', '.join(groups_on(nodes))}; " for broker, nodes in NODES.items()) + "none: no row")
    add("--quick", action="store_true", help="shorter loads, growth up to 4 million")
    add("--keep", action="store_true", help="keep the working folders")
    add("--no-build", action="store_true", help="take what build/bench holds")
    add("--profile", action="store_true",
        help="then the 15 symbols in which the whole system spends most time (perf)")
    options = parser.parse_args()
    groups = groups_of(options)
    names = list(groups) if options.only is None else options.only.split(",")
    names = [name for name in names if name != "none"]
    for name in names:
        if name not in groups:
            parser.error(f"--only: expected some of {', '.join(groups)}, found {name}")
    if options.ratings is None:
        options.ratings = BROKER_RATINGS if options.broker in NODES else FULL_RATINGS
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


def measure_on_nodes(bench, names):
    """All rows on nodes that are there for them alone."""
    nodes = NODES[bench.options.broker](bench, bench.options.nodes)
    try:
        return measure(bench, groups_of(bench.options), names, BrokerRows(bench, nodes))
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


def on_nodes(options):
    if options.broker not in NODES:
        return ""
    return f"; {NODES[options.broker].title}, {options.nodes} node{'s' if options.nodes > 1 else ''} on this machine"


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
        if options.broker in NODES:
            rows, complete = measure_on_nodes(bench, names)
        else:
            rows, complete = measure(bench, GROUPS, names, bench)
        print(f"{options.ratings:,} ratings, {options.movies:,} movies{on_nodes(options)}\n")
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
