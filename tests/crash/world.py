"""One system under test: its inputs, its processes, and what was done to them."""

import collections
import json
import pathlib
import random
import signal
import socket
import subprocess
import tempfile
import time

from brokers import GivenBroker, KafkaBroker, PackingKafkaBroker, RabbitmqBroker, SqliteBroker
from clients import Client, GrowingFile
from services import Failure, Process, crash_points

RATINGS_PER_FILE = 60_000
GROWING_ROWS_PER_SECOND = 500
MOVIES = 1_500
MEMBERS = 3
SOURCES = "abc"
COMMAND_SECONDS_MAX = 120


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def open_broker(options, folder):
    if not options.broker:
        return SqliteBroker(folder)
    if options.broker == "kafka":
        return KafkaBroker()
    if options.broker == "kafka-packs":
        return PackingKafkaBroker()
    if options.broker == "amqp":
        return RabbitmqBroker()
    return GivenBroker(options.broker)


class World:
    def __init__(self, options):
        self.marquee = str(pathlib.Path(options.marquee).resolve())
        self.random = random.Random(options.seed)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="marquee-crash-"))
        self.broker = open_broker(options, self.folder)
        self.live_port, self.eu_port = free_port(), free_port()
        self.points = crash_points(options.sources)
        self.kills = collections.Counter()
        self.stops = 0
        self.make_inputs(options.seed)
        self.clients = [Client(self.live_port, MOVIES, i, options.seed * 100 + i) for i in range(2)]
        self.growing = GrowingFile(self.file("c"), MOVIES, GROWING_ROWS_PER_SECOND, options.seed)
        self.make_processes()

    def make_processes(self):
        ratings_points = self.points["ratingproducer"] + self.points["ratings"]
        for name, source in (("ratings-a", "a"), ("ratings-b", "b"), ("ratings-b-twin", "b")):
            setattr(self, name.replace("-", "_"),
                    Process(self, name, ratings_points, "ratingproducer", "--source", source, "--ratings", self.file(source),
                            "--rate", "4000/s", finishes=True))
        self.follower = Process(self, "ratings-c", ratings_points, "ratingproducer", "--source", "c", "--ratings",
                                self.file("c"), "--follow")
        live = Process(self, "live", self.points["liveproducer"] + self.points["ratings"], "ratingproducer", "--source", "web",
                       "--listen", f"127.0.0.1:{self.live_port}")
        self.movies_producer = Process(self, "movies", self.points["moviedataproducer"], "moviedataproducer", "--movies",
                                       self.movies(), "--rate", "200/s", finishes=True)
        eu = Process(self, "sink-eu", self.points["moviedatasink"], "moviedatasink", "--region", "eu", "--data",
                     str(self.folder / "eu"), "--listen", f"127.0.0.1:{self.eu_port}")
        us = Process(self, "sink-us", self.points["moviedatasink"], "moviedatasink", "--region", "us", "--data",
                     str(self.folder / "us"))
        self.members = [self.member(i) for i in range(MEMBERS)]
        self.processes = [self.ratings_a, self.ratings_b, self.ratings_b_twin, self.follower, live, self.movies_producer, eu, us,
                          *self.members]

    def member(self, number):
        return Process(self, f"means-{number}", self.points["meanratingproducer"], "meanratingproducer", "--session-timeout-ms",
                       str(self.broker.session_timeout_ms), "--checkpoint-interval-ms", "300")

    def make_inputs(self, seed):
        for i, name in enumerate("ab"):
            subprocess.run([self.marquee, "generate", "--ratings", str(RATINGS_PER_FILE), "--movies", str(MOVIES), "--seed",
                            str(seed * 2 + i), "--out", str(self.folder / f"generated-{name}")], check=True,
                           stderr=subprocess.DEVNULL)
        (self.folder / "generated-c").mkdir()
        pathlib.Path(self.file("c")).write_text("userId,movieId,rating,timestamp\n", encoding="utf-8")

    def file(self, name):
        return str(self.folder / f"generated-{name}" / "ratings.csv")

    def movies(self):
        return str(self.folder / "generated-a" / "movies.csv")

    def rows(self):
        """How many ratings the files hold."""
        count = 0
        for name in SOURCES:
            with open(self.file(name), "rb") as file:
                count += sum(1 for _ in file) - 1
        return count

    def command(self, *arguments, codes=(0,)):
        """What a `marquee` command prints with -o json."""
        run = subprocess.run([self.marquee, *arguments, *self.broker.arguments(), "-o", "json"], stdin=subprocess.DEVNULL,
                             capture_output=True, text=True, timeout=COMMAND_SECONDS_MAX, check=False)
        if run.returncode not in codes:
            raise Failure(f"marquee {arguments[0]} ended with {run.returncode}: {run.stderr}")
        return run.returncode, json.loads(run.stdout)

    def owners(self):
        """Who owns shards of `ratings`, and how many shards nobody does."""
        _, groups = self.command("groups")
        shards = [shard for group in groups if group["group"] == f"{self.broker.prefix}meanratingproducer"
                  for shard in group["shards"] if shard["topic"] == f"{self.broker.prefix}ratings"]
        owners = collections.Counter(shard["member"] for shard in shards)
        return {owner for owner in owners if owner}, owners[""]

    def lag(self, service):
        """How many messages its group is behind; none where it has not told of every shard."""
        _, groups = self.command("groups")
        shards = [shard for group in groups if group["group"] == self.broker.prefix + service for shard in group["shards"]]
        if not shards or any(shard["position"] is None and shard["lag"] > 0 for shard in shards):
            return None
        return sum(shard["lag"] for shard in shards)

    def check(self):
        for process in self.processes:
            process.ended_well_or_killed()

    def wait_until(self, what, seconds_max, holds):
        seconds_max *= self.broker.patience
        deadline = time.monotonic() + seconds_max
        while not holds():
            if time.monotonic() > deadline:
                raise Failure(f"not within {seconds_max} s: {what}")
            self.check()
            time.sleep(0.1 * self.broker.patience)

    def start_what_ended(self, with_trouble):
        for process in self.processes:
            if process.running() or process.finished() or not process.wanted:
                continue
            crash_at = None
            if with_trouble and process.points and self.random.random() < 0.4:
                crash_at = f"{self.random.choice(process.points)}:{self.random.randrange(1, 12)}"
            if process.popen is not None and process.popen.returncode == -signal.SIGKILL:
                self.kills[process.name] += 1
            process.start(crash_at)

    def total_kills(self):
        return sum(self.kills.values())

    def close(self):
        for client in self.clients:
            client.stop.set()
        self.growing.stop.set()
        for process in self.processes:
            process.signal(signal.SIGCONT)
            process.kill()
        self.broker.close()
