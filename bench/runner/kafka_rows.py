"""Rows on Apache Kafka, each beside what librdkafka does by itself with the same messages on the same nodes."""

import os
import shutil
import signal
import statistics
import subprocess
import time

from kafka_cluster import Raw, shard_ends
from paths import COMMAND_S_MAX, MARQUEE, READY_S_MAX
from processes import last_line
from report import NoResult, Row, millions, verdict
from server import free_port, get, wait_for, wait_no_lag, wait_ready

SERVED_RATINGS = 1_000_000
STREAM_PER_S = 1_000
TIMES = 2
WARM_UPS = 2  # loads before one is measured: the nodes compile what they do often


class Kafka:
    """What the rows share: the nodes, and topics that are filled once."""

    def __init__(self, bench, nodes):
        self.bench, self.nodes = bench, nodes
        self.raw = Raw(bench, nodes)
        self.prefixes = 0
        self.loaded = []  # prefixes, each with all ratings and no means
        self.speeds = []  # of loading them
        self.raw_speeds = []

    def prefix(self):
        self.prefixes += 1
        return f"bench-{self.prefixes}."

    def csv(self):
        return self.bench.data_set(self.bench.ratings, self.bench.movies) / "ratings.csv"

    def publish(self):
        """A prefix into which the CSV file was published, and how many ratings a second. The first rating is published
        before: librdkafka's topic is made beforehand, too."""
        prefix = self.prefix()
        command = [MARQUEE, "ratingproducer", *self.nodes.options(prefix), "--source", "movielens", "--ratings", self.csv()]
        self.bench.run(*command, "--limit", "1")
        done = self.bench.run(*command)
        return prefix, (self.bench.ratings - 1) / done.seconds

    def load(self):
        """Publishes TIMES times, between runs of librdkafka; a first time before, which warms the nodes up."""
        if self.loaded:
            return
        warm, _ = self.publish()
        for _ in range(TIMES):
            self.raw_speeds.append(self.raw.produce(f"{warm}ratings", self.bench.ratings))
            prefix, speed = self.publish()
            self.loaded.append(prefix)
            self.speeds.append(speed)
        self.nodes.delete_topics(warm)

    def audit(self, prefix, data, ratings):
        self.bench.audit(data, ratings, *self.nodes.options(prefix))

    def make_visible_and_audit(self, prefix, ratings):
        data = self.bench.folder("audit")
        self.bench.run(MARQUEE, "run", "--once", *self.nodes.options(prefix), "--data", data, "--listen", "127.0.0.1:0")
        self.audit(prefix, data, ratings)
        self.bench.forget(data)


def csv_to_kafka(kafka):
    kafka.load()
    ours, raw = statistics.median(kafka.speeds), statistics.median(kafka.raw_speeds)
    yield Row("csv-to-kafka", f"{millions(ours)}/s", f"librdkafka {millions(raw)}/s", f"{ours / raw:.2f}",
              "≥ 0.8 ×", verdict(ours >= 0.8 * raw))


def kafka_to_means(kafka):
    kafka.load()
    ratings = kafka.csv()
    ours, raws = [], []
    for prefix in kafka.loaded:
        raws.append(kafka.raw.consume(f"{prefix}ratings", kafka.bench.ratings))
        ours.append(kafka.bench.ratings / seconds_to_means(kafka, prefix))
        kafka.make_visible_and_audit(prefix, ratings)
    speed, raw = statistics.median(ours), statistics.median(raws)
    yield Row("kafka-to-means", f"{millions(speed)}/s", f"librdkafka {millions(raw)}/s", f"{speed / raw:.2f}", "≥ 0.7 ×",
              verdict(speed >= 0.7 * raw))


def seconds_to_means(kafka, prefix):
    """From the start of a meanratingproducer until the last shard's means are complete, by the times that the messages
    have: nobody else reads them meanwhile."""
    ends = shard_ends(kafka.bench, kafka.nodes, prefix)
    begin_ms = time.time() * 1000
    process, port = start_member(kafka, prefix)
    wait_ready(process, port)
    wait_for(lambda: get(port, "/metrics")[0] == 200 and member_has_read(port, kafka.bench.ratings), "all ratings to be read",
             COMMAND_S_MAX)
    complete_ms = wait_for(lambda: kafka.nodes.complete_at_ms(prefix, ends), "the means to be complete")
    kafka.bench.processes.end(process, signal.SIGTERM)
    return (complete_ms - begin_ms) / 1000


def member_has_read(port, count):
    """By the member's own count of what it consumed."""
    for line in get(port, "/metrics")[1].decode().splitlines():
        if line.startswith("marquee_messages_consumed_total") and "meanratingproducer" in line:
            return float(line.split()[-1]) >= count
    time.sleep(0.1)
    return False


def start_member(kafka, prefix):
    port = free_port()
    process, _, _ = kafka.bench.start([MARQUEE, "meanratingproducer", *kafka.nodes.options(prefix), "--listen",
                                       f"127.0.0.1:{port}"])
    return process, port


def visible(kafka):
    bench = kafka.bench
    input_folder = bench.data_set(min(bench.ratings, SERVED_RATINGS), bench.movies)
    prefix, data = kafka.prefix(), bench.folder("served")
    options = kafka.nodes.options(prefix)
    bench.run(MARQUEE, "run", "--once", *options, "--data", data, "--movielens", input_folder)
    os.sync()
    seconds = 3 if bench.options.quick else 10
    process, port, _ = bench.start_server(data, *options)
    wait_ready(process, port)
    load = ("visible_bench", port, STREAM_PER_S, 1, seconds, data, input_folder / "movies.csv")
    for _ in range(WARM_UPS):
        bench.program(*load)
    raw_p50, raw_p99 = kafka.raw.latency(seconds, STREAM_PER_S)
    found = bench.program(*load)
    wait_no_lag(port)
    bench.stop_server(process)
    kafka.audit(prefix, data, input_folder / "ratings.csv")
    bench.forget(data)
    kafka.nodes.delete_topics(prefix)
    if found["failed"]:
        raise NoResult(f"{found['failed']} requests failed: {found['first_failure']}")
    yield Row(f"visible, {STREAM_PER_S:,}/s", f"p50 {found['p50_ms']:.2f} ms, p99 {found['p99_ms']:.2f} ms",
              f"librdkafka p50 {raw_p50:.2f} ms, p99 {raw_p99:.2f} ms", f"{found['p99_ms'] / raw_p99:.1f}",
              "p99 ≤ 2 × + 10 ms", verdict(found["p99_ms"] <= 2 * raw_p99 + 10))


def whole_system(kafka):
    bench = kafka.bench
    input_folder = bench.data_set(bench.ratings, bench.movies)
    ratings = input_folder / "ratings.csv"
    prefix, data = kafka.prefix(), bench.folder("whole")
    done = bench.run(MARQUEE, "run", "--once", *kafka.nodes.options(prefix), "--data", data, "--movielens", input_folder)
    kafka.audit(prefix, data, ratings)
    bench.forget(data)
    log = kafka.nodes.topic_bytes(f"{prefix}ratings") / bench.ratings
    kafka.nodes.delete_topics(prefix)
    csv_bytes = ratings.stat().st_size / bench.ratings
    yield Row("whole-system", f"{done.seconds:.2f} s, {millions(bench.ratings / done.seconds)}/s")
    yield Row("  peak memory", f"{done.rss_mib:.0f} MiB")
    yield Row("  log on disk", f"{log:.1f} bytes/rating, each replica", f"CSV {csv_bytes:.1f}", f"{log / csv_bytes:.2f}")


def restart(kafka):
    bench = kafka.bench
    input_folder = bench.data_set(bench.ratings, bench.movies)
    ratings = input_folder / "ratings.csv"
    prefix, data = kafka.prefix(), bench.folder("restart")
    options = kafka.nodes.options(prefix)
    bench.run(MARQUEE, "run", "--once", *options, "--data", data, "--movielens", input_folder)
    # The same file under another source, slowly: there is always a mean to publish.
    producer, _, err = bench.start([MARQUEE, "ratingproducer", *options, "--source", "stream", "--ratings", ratings, "--rate",
                                    f"{STREAM_PER_S}/s"])
    process, port = start_member(kafka, prefix)
    wait_ready(process, port)
    first_mean(kafka, prefix)
    times = {}
    for how, number in (("after kill -9", signal.SIGKILL), ("after a clean stop", signal.SIGTERM)):
        time.sleep(6)  # so that there is a checkpoint, as there is after any longer run
        bench.processes.end(process, number)
        begin = time.monotonic()
        with MeansWatch(kafka, prefix) as watch:
            process, port = start_member(kafka, prefix)
            times[how] = watch.first() - begin
    if producer.poll() is not None:
        raise NoResult(f"ratingproducer ended: {last_line(err)}")
    bench.processes.end(producer, signal.SIGTERM)
    bench.processes.end(process, signal.SIGTERM)
    bench.run(MARQUEE, "run", "--once", *options, "--data", data)
    bench.audit(data, f"movielens={ratings}", *options)
    bench.forget(data)
    kafka.nodes.delete_topics(prefix)
    for how, seconds in times.items():
        yield Row(f"restart {how}", f"first new mean {seconds:.2f} s")


def first_mean(kafka, prefix):
    with MeansWatch(kafka, prefix) as watch:
        watch.first()


class MeansWatch:
    """Waits for what is published to `mean-ratings` from now on."""

    def __init__(self, kafka, prefix):
        self.process = subprocess.Popen([shutil.which("kcat"), "-C", "-q", "-u", "-b", kafka.nodes.servers, "-t",
                                         f"{prefix}mean-ratings", "-o", "end", "-f", "%k\n"], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def __enter__(self):
        return self

    def first(self):
        """When the next mean came."""
        deadline = time.monotonic() + READY_S_MAX
        for line in self.process.stdout:
            if not line.startswith(b"shard/"):
                return time.monotonic()
            if time.monotonic() > deadline:
                break
        raise NoResult(f"no mean came within {READY_S_MAX} s")

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


GROUPS = {
    "csv-to-kafka": csv_to_kafka,
    "kafka-to-means": kafka_to_means,
    "visible": visible,
    "whole-system": whole_system,
    "restart": restart,
}
