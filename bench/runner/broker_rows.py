"""Rows on a broker with nodes, each beside what the broker's own client does by itself with the same messages on the same
nodes."""

import contextlib
import itertools
import os
import signal
import statistics
import time

from paths import COMMAND_S_MAX, MARQUEE, PROGRAMS, READY_S_MAX
from processes import last_line
from report import NoResult, Row, millions, verdict
from server import free_port, get, wait_for, wait_no_lag, wait_ready

SERVED_RATINGS = 1_000_000
UNPACKED_RATINGS = 500_000
STREAM_PER_S = 1_000
TIMES = 2
WARM_UPS = 2  # loads before one is measured: the nodes compile what they do often


class BrokerRows:
    """What the rows share: the nodes, and topics that are filled once."""

    def __init__(self, bench, nodes):
        self.bench, self.nodes = bench, nodes
        self.settings = ()  # more arguments of every command
        self.prefixes, self.raw_topics = itertools.count(1), 0
        self.loaded = []  # prefixes, each with all ratings and no means
        self.speeds = []  # of loading them
        self.raw_speeds = []
        self.to_means = None  # ratings a second

    def prefix(self):
        return f"bench-{next(self.prefixes)}."

    def options(self, prefix):
        """What makes a command use the nodes."""
        return ["--broker", self.nodes.url, "--topic-prefix", prefix, *self.settings]

    def csv(self, count=None):
        return self.bench.data_set(count or self.bench.ratings, self.bench.movies) / "ratings.csv"

    def publish(self, *more, count=None):
        """A prefix into which the CSV file of so many ratings was published, and how many a second. The first rating is
        published before: the client's topic is made beforehand, too."""
        prefix = self.prefix()
        command = [MARQUEE, "ratingproducer", *self.options(prefix), "--source", "movielens", "--ratings", self.csv(count), *more]
        self.bench.run(*command, "--limit", "1")
        done = self.bench.run(*command)
        return prefix, ((count or self.bench.ratings) - 1) / done.seconds

    def load(self):
        """Publishes TIMES times, between runs of the client; a first time before, which warms the nodes up."""
        if self.loaded:
            return
        warm, _ = self.publish()
        for _ in range(TIMES):
            self.raw_speeds.append(self.raw_produce(f"{warm}ratings"))
            prefix, speed = self.publish()
            self.loaded.append(prefix)
            self.speeds.append(speed)
        self.nodes.delete_topics(warm)

    @contextlib.contextmanager
    def raw_topic(self):
        """The name of a topic for the client alone."""
        self.raw_topics += 1
        name = f"raw-{self.raw_topics}"
        yield name
        self.nodes.raw_delete(name)

    def raw_produce(self, source, count=None):
        """Ratings a second."""
        count = count or self.bench.ratings
        with self.raw_topic() as target:
            return count / self.nodes.raw_produce(source, count, target)["seconds"]

    def raw_consume(self, source):
        return self.bench.ratings / self.nodes.raw_consume(source, self.bench.ratings)["seconds"]

    def raw_latency(self, seconds):
        """The p50 and the p99 in milliseconds."""
        with self.raw_topic() as target:
            found = self.nodes.raw_latency(target, seconds, STREAM_PER_S)
            return found["p50_ms"], found["p99_ms"]

    def speed_row(self, name, asked, speed, raw):
        least, share = self.nodes.asked[asked]
        texts = ([f"≥ {least / 1e6:g} M/s"] if least else []) + ([f"≥ {share:g} ×"] if share else [])
        return Row(name, f"{millions(speed)}/s", f"{self.nodes.client} {millions(raw)}/s", f"{speed / raw:.2f}", ", ".join(texts),
                   verdict(speed >= (least or 0), speed >= (share or 0) * raw))

    def audit(self, prefix, data, ratings):
        self.bench.audit(data, ratings, *self.options(prefix))

    def make_visible_and_audit(self, prefix, ratings):
        data = self.bench.folder("audit")
        self.bench.run(MARQUEE, "run", "--once", *self.options(prefix), "--data", data, "--listen", "127.0.0.1:0")
        self.audit(prefix, data, ratings)
        self.bench.forget(data)

    def shard_ends(self, prefix):
        """The offsets behind the last messages of the shards of `ratings`."""
        topics = self.bench.json(MARQUEE, "topics", *self.options(prefix), "-o", "json")
        [ratings] = [topic for topic in topics if topic["topic"] == f"{prefix}ratings"]
        return [shard["end"] for shard in sorted(ratings["shards"], key=lambda shard: shard["shard"])]

    def start_member(self, prefix):
        port = free_port()
        process, _, _ = self.bench.start([MARQUEE, "meanratingproducer", *self.options(prefix), "--listen",
                                          f"127.0.0.1:{port}"])
        return process, port


def csv_to_broker(on):
    on.load()
    yield on.speed_row(f"csv-to-{on.nodes.name}", "csv-to", statistics.median(on.speeds), statistics.median(on.raw_speeds))


def unpacked(on):
    """One rating a message, as programs in other languages read them."""
    count = min(on.bench.ratings, UNPACKED_RATINGS)
    speeds, raws = [], []
    for _ in range(TIMES):
        prefix, speed = on.publish("--set", on.nodes.one_a_message, count=count)
        speeds.append(speed)
        raws.append(on.raw_produce(f"{prefix}ratings", count))
        on.make_visible_and_audit(prefix, on.csv(count))
        on.nodes.delete_topics(prefix)
    yield on.speed_row("unpacked", "unpacked", statistics.median(speeds), statistics.median(raws))


def broker_to_means(on):
    on.load()
    ours, raws = [], []
    for prefix in on.loaded:
        raws.append(on.raw_consume(f"{prefix}ratings"))
        ours.append(on.bench.ratings / seconds_to_means(on, prefix))
        on.make_visible_and_audit(prefix, on.csv())
    on.to_means = statistics.median(ours)
    yield on.speed_row(f"{on.nodes.name}-to-means", "to-means", on.to_means, statistics.median(raws))


def seconds_to_means(on, prefix):
    """From the start of a meanratingproducer until the last shard's means are complete, by the times that the messages
    have: nobody else reads them meanwhile."""
    ends = on.shard_ends(prefix)
    begin_ms = time.time() * 1000
    process, port = on.start_member(prefix)
    wait_ready(process, port)
    wait_for(lambda: get(port, "/metrics")[0] == 200 and member_has_read(port, on.bench.ratings), "all ratings to be read",
             COMMAND_S_MAX)
    complete_ms = on.bench.program("means_watch", "complete", on.nodes.url, prefix, *ends)["complete_ms"]
    on.bench.processes.end(process, signal.SIGTERM)
    return (complete_ms - begin_ms) / 1000


def member_has_read(port, count):
    """By the member's own count of what it consumed."""
    for line in get(port, "/metrics")[1].decode().splitlines():
        if line.startswith("marquee_messages_consumed_total") and "meanratingproducer" in line:
            return float(line.split()[-1]) >= count
    time.sleep(0.1)
    return False


def visible(on):
    bench = on.bench
    input_folder = bench.data_set(min(bench.ratings, SERVED_RATINGS), bench.movies)
    prefix, data = on.prefix(), bench.folder("served")
    options = on.options(prefix)
    bench.run(MARQUEE, "run", "--once", *options, "--data", data, "--movielens", input_folder)
    os.sync()
    seconds = 3 if bench.options.quick else 10
    process, port, _ = bench.start_server(data, *options)
    wait_ready(process, port)
    load = ("visible_bench", port, STREAM_PER_S, 1, seconds, data, input_folder / "movies.csv")
    for _ in range(WARM_UPS):
        bench.program(*load)
    raw_p50, raw_p99 = on.raw_latency(seconds)
    found = bench.program(*load)
    wait_no_lag(port)
    bench.stop_server(process)
    on.audit(prefix, data, input_folder / "ratings.csv")
    bench.forget(data)
    on.nodes.delete_topics(prefix)
    if found["failed"]:
        raise NoResult(f"{found['failed']} requests failed: {found['first_failure']}")
    yield Row(f"visible, {STREAM_PER_S:,}/s", f"p50 {found['p50_ms']:.2f} ms, p99 {found['p99_ms']:.2f} ms",
              f"{on.nodes.client} p50 {raw_p50:.2f} ms, p99 {raw_p99:.2f} ms", f"{found['p99_ms'] / raw_p99:.1f}",
              "p99 ≤ 2 × + 10 ms", verdict(found["p99_ms"] <= 2 * raw_p99 + 10))


def whole_system(on):
    bench = on.bench
    input_folder = bench.data_set(bench.ratings, bench.movies)
    ratings = input_folder / "ratings.csv"
    prefix, data = on.prefix(), bench.folder("whole")
    done = bench.run(MARQUEE, "run", "--once", *on.options(prefix), "--data", data, "--movielens", input_folder)
    on.audit(prefix, data, ratings)
    bench.forget(data)
    log = on.nodes.topic_bytes(f"{prefix}ratings") / bench.ratings
    on.nodes.delete_topics(prefix)
    csv_bytes = ratings.stat().st_size / bench.ratings
    yield Row("whole-system", f"{done.seconds:.2f} s, {millions(bench.ratings / done.seconds)}/s")
    yield Row("  peak memory", f"{done.rss_mib:.0f} MiB")
    yield Row("  log on disk", f"{log:.1f} bytes/rating, each replica", f"CSV {csv_bytes:.1f}", f"{log / csv_bytes:.2f}")


def restart(on):
    bench = on.bench
    input_folder = bench.data_set(bench.ratings, bench.movies)
    ratings = input_folder / "ratings.csv"
    prefix, data = on.prefix(), bench.folder("restart")
    options = on.options(prefix)
    bench.run(MARQUEE, "run", "--once", *options, "--data", data, "--movielens", input_folder)
    # The same file under another source, slowly: there is always a mean to publish.
    producer, _, err = bench.start([MARQUEE, "ratingproducer", *options, "--source", "stream", "--ratings", ratings, "--rate",
                                    f"{STREAM_PER_S}/s"])
    watch = MeansWatch(on, prefix)
    process, port = on.start_member(prefix)
    wait_ready(process, port)
    watch.seconds_until_mean_after(0)
    times = {}
    for how, number in (("after kill -9", signal.SIGKILL), ("after a clean stop", signal.SIGTERM)):
        time.sleep(6)  # so that there is a checkpoint, as there is after any longer run
        bench.processes.end(process, number)
        begin = time.time()
        process, port = on.start_member(prefix)
        times[how] = watch.seconds_until_mean_after(begin)
    if producer.poll() is not None:
        raise NoResult(f"ratingproducer ended: {last_line(err)}")
    for started in (producer, process, watch.process):
        bench.processes.end(started, signal.SIGTERM)
    bench.run(MARQUEE, "run", "--once", *options, "--data", data)
    bench.audit(data, f"movielens={ratings}", *options)
    bench.forget(data)
    on.nodes.delete_topics(prefix)
    for how, seconds in times.items():
        yield Row(f"restart {how}", f"first new mean {seconds:.2f} s")


class MeansWatch:
    """Follows what is published to `mean-ratings` from now on."""

    def __init__(self, on, prefix):
        self.process, out, self.err = on.bench.start([PROGRAMS / "means_watch", "follow", on.nodes.url, prefix])
        self.lines = open(out, encoding="ascii")
        wait_for(self.line, "means_watch")

    def line(self):
        """The next, and its end; nothing where there is none yet."""
        if self.process.poll() is not None:
            raise NoResult(f"means_watch ended: {last_line(self.err)}")
        return self.lines.readline()

    def seconds_until_mean_after(self, begin):
        """By the time that it was published at."""
        until = time.monotonic() + READY_S_MAX
        while time.monotonic() < until:
            published = float(wait_for(self.line, "a mean")) / 1000
            if published > begin:
                return published - begin
        raise NoResult(f"no new mean came within {READY_S_MAX} s")


def groups(nodes):
    """The rows on the nodes of such a class, by name."""
    return {
        f"csv-to-{nodes.name}": csv_to_broker,
        f"{nodes.name}-to-means": broker_to_means,
        "visible": visible,
        "whole-system": whole_system,
        "restart": restart,
        # Last: some million small messages are on the nodes' minds for a while.
        **({"unpacked": unpacked} if nodes.one_a_message else {}),
    }
