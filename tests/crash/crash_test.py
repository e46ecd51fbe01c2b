#!/usr/bin/env python3
"""Runs the services as processes, kills them, and audits.

Every service runs on its own, as in production. While two files are published and clients post ratings (each request again
and again until it is acknowledged), processes are killed with SIGKILL at random moments and at every named crash point, and
stopped for longer than their sessions and resumed. Then all is started again without trouble, and in the end the audit of
every region must find no difference, and the number of ratings must be that of the files and of the acknowledged requests.

usage: crash_test.py --marquee BINARY --sources DIR [--kills N] [--seed S] [--broker URL] [--keep]
"""

import argparse
import collections
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

SESSION_TIMEOUT_MS = 1000
RATINGS_PER_FILE = 60_000
MOVIES = 1_500
SETTLE_SECONDS_MAX = 120
CRASH_POINT_SECONDS_MAX = 60
# Points that a service comes to when it gives up its shards, and how long it may gain some before it is asked to.
REACHED_BY_DRAINING = ("meanratingproducer.before-release",)
DRAIN_AFTER_SECONDS = 3


class Failure(Exception):
    """Something that had to hold did not."""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def crash_points(sources):
    """The names in the sources, by the service whose code they stand in."""
    points = collections.defaultdict(list)
    for path in sorted(pathlib.Path(sources, "services").glob("*.cc")):
        for name in re.findall(r'MARQUEE_CRASH_POINT\("([^"]+)"\)', path.read_text()):
            points[name.split(".")[0]].append(name)
    return points


class Process:
    """One service, started again and again with the same arguments."""

    def __init__(self, world, name, points, *arguments):
        self.world, self.name, self.points, self.arguments = world, name, points, arguments
        self.popen = None
        self.finishes = False

    def start(self, crash_at=None):
        environment = dict(os.environ, MARQUEE_LOG_LEVEL="warn")
        environment.pop("MARQUEE_CRASH_AT", None)
        if crash_at:
            environment["MARQUEE_CRASH_AT"] = crash_at
        log = open(self.world.folder / f"{self.name}.log", "ab")
        self.popen = subprocess.Popen([self.world.marquee, *self.arguments, "--broker", self.world.broker],
                                      stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        log.close()

    def running(self):
        return self.popen is not None and self.popen.poll() is None

    def signal(self, number):
        if self.running():
            self.popen.send_signal(number)

    def kill(self):
        if not self.running():
            return False
        self.popen.kill()
        self.popen.wait()
        return True

    def ended_well_or_killed(self):
        """Raises where the process ended by itself with an error."""
        code = self.popen.poll() if self.popen else None
        if code is not None and code not in (0, -signal.SIGKILL):
            tail = (self.world.folder / f"{self.name}.log").read_text(errors="replace")[-1500:]
            raise Failure(f"{self.name} ended with {code}:\n{tail}")


class Client(threading.Thread):
    """Posts requests of some ratings, each until it is acknowledged, now and then once more."""

    def __init__(self, world, number, seed):
        super().__init__(daemon=True)
        self.world, self.number, self.random = world, number, random.Random(seed)
        self.stop = threading.Event()
        self.acknowledged = 0  # ratings
        self.requests = self.repeats = 0
        self.failure = None

    def run(self):
        try:
            while not self.stop.is_set():
                self.request()
        except Failure as failure:
            self.failure = failure

    def request(self):
        self.requests += 1
        key = f"client-{self.number}-{self.requests}"
        ratings = [{"user_id": self.random.randrange(1000), "movie_id": self.random.randrange(1, MOVIES),
                    "rating": self.random.randrange(1, 11) / 2} for _ in range(self.random.randrange(1, 5))]
        body = json.dumps({"ratings": ratings}).encode()
        while not self.post(key, body):
            self.repeats += 1
            time.sleep(0.05)
        self.acknowledged += len(ratings)
        if self.random.random() < 0.2:  # as if the answer had been lost
            self.post(key, body)
            self.repeats += 1

    def post(self, key, body):
        request = urllib.request.Request(f"http://127.0.0.1:{self.world.live_port}/api/v1/ratings", data=body, method="POST",
                                         headers={"Content-Type": "application/json", "Idempotency-Key": key})
        try:
            with urllib.request.urlopen(request, timeout=15) as answer:
                return answer.status == 202
        except urllib.error.HTTPError as error:
            if error.code in (429, 503):
                return False
            raise Failure(f"POST was answered with {error.code}: {error.read()!r}") from error
        except OSError:
            return False


class World:
    """The processes of one run, and what was done to them."""

    def __init__(self, options):
        self.marquee = str(pathlib.Path(options.marquee).resolve())
        self.random = random.Random(options.seed)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="marquee-crash-"))
        self.broker = options.broker or f"sqlite:{self.folder}/log"
        self.live_port, self.eu_port = free_port(), free_port()
        self.points = crash_points(options.sources)
        self.kills = collections.Counter()
        self.stops = 0
        self.make_inputs(options.seed)
        ratings_points = self.points["ratingproducer"] + self.points["ratings"]
        rate = ["--rate", "4000/s"]
        self.processes = [
            Process(self, "ratings-a", ratings_points, "ratingproducer", "--source", "a", "--ratings", self.file("a"), *rate),
            Process(self, "ratings-b", ratings_points, "ratingproducer", "--source", "b", "--ratings", self.file("b"), *rate),
            Process(self, "ratings-b-twin", ratings_points, "ratingproducer", "--source", "b", "--ratings", self.file("b"), *rate),
            Process(self, "live", self.points["liveproducer"] + self.points["ratings"], "ratingproducer", "--source", "web",
                    "--listen", f"127.0.0.1:{self.live_port}"),
            Process(self, "movies", self.points["moviedataproducer"], "moviedataproducer", "--movies",
                    self.movies(), "--rate", "200/s"),
            Process(self, "sink-eu", self.points["moviedatasink"], "moviedatasink", "--region", "eu", "--data",
                    str(self.folder / "eu"), "--listen", f"127.0.0.1:{self.eu_port}"),
            Process(self, "sink-us", self.points["moviedatasink"], "moviedatasink", "--region", "us", "--data",
                    str(self.folder / "us")),
        ]
        for i in range(3):
            self.processes.append(Process(self, f"means-{i}", self.points["meanratingproducer"], "meanratingproducer",
                                          "--session-timeout-ms", str(SESSION_TIMEOUT_MS), "--checkpoint-interval-ms", "300"))
        for process in self.processes[:3] + [self.processes[4]]:
            process.finishes = True

    def make_inputs(self, seed):
        for i, name in enumerate("ab"):
            subprocess.run([self.marquee, "generate", "--ratings", str(RATINGS_PER_FILE), "--movies", str(MOVIES), "--seed",
                            str(seed * 2 + i), "--out", str(self.folder / f"generated-{name}")], check=True,
                           stderr=subprocess.DEVNULL)

    def file(self, name):
        return str(self.folder / f"generated-{name}" / "ratings.csv")

    def movies(self):
        return str(self.folder / "generated-a" / "movies.csv")

    def check(self):
        for process in self.processes:
            process.ended_well_or_killed()

    def start_what_ended(self, with_trouble):
        for process in self.processes:
            if process.running() or (process.finishes and process.popen and process.popen.poll() == 0):
                continue
            crash_at = None
            if with_trouble and process.points and self.random.random() < 0.4:
                crash_at = f"{self.random.choice(process.points)}:{self.random.randrange(1, 12)}"
            if process.popen is not None and process.popen.returncode == -signal.SIGKILL:
                self.kills[process.name] += 1
            process.start(crash_at)

    def total_kills(self):
        return sum(self.kills.values())


def kill_at_every_point(world):
    """Each service dies at each of its named points, under load, once for certain."""
    for process in world.processes:
        if process.name in ("ratings-a", "ratings-b-twin", "sink-us", "means-1", "means-2"):
            continue
        for point in process.points:
            restart_inputs(world, process)
            process.kill()
            process.start(point)
            began = time.monotonic()
            deadline = began + CRASH_POINT_SECONDS_MAX
            drained = point not in REACHED_BY_DRAINING
            while process.running():
                if not drained and time.monotonic() > began + DRAIN_AFTER_SECONDS:
                    process.signal(signal.SIGTERM)
                    drained = True
                if time.monotonic() > deadline:
                    raise Failure(f"{process.name} did not come to {point} within {CRASH_POINT_SECONDS_MAX} s")
                time.sleep(0.02)
            if process.popen.returncode != -signal.SIGKILL:
                process.ended_well_or_killed()
                raise Failure(f"{process.name} ended with {process.popen.returncode} and did not come to {point}")
            world.kills[process.name] += 1
            world.start_what_ended(with_trouble=False)
            world.check()


def restart_inputs(world, process):
    """A producer of movies has its file again, so that it comes to its points; one of ratings gets more rows."""
    if process.name == "movies":
        with open(world.movies(), "a", encoding="utf-8") as movies:
            number = 1_000_000 + world.random.randrange(1_000_000)
            movies.write(f"{number},Another Movie (2001),Drama\n")
    if process.name == "ratings-b":
        # The lines before it stay as they are: the source goes on behind what it has published.
        with open(world.file("b"), "a", encoding="utf-8") as ratings:
            for _ in range(2000):
                ratings.write(f"{world.random.randrange(1000)},{world.random.randrange(1, MOVIES)},3.5,1600000000\n")


def trouble(world, kills):
    """Kills and stops, at random, until there were enough kills."""
    stopped = []
    while world.total_kills() < kills:
        world.start_what_ended(with_trouble=True)
        time.sleep(world.random.uniform(0.05, 0.5))
        process = world.random.choice(world.processes)
        if world.random.random() < 0.15 and process.running():
            process.signal(signal.SIGSTOP)
            world.stops += 1
            stopped.append((time.monotonic() + 1.5 * SESSION_TIMEOUT_MS / 1000, process))
        elif process.kill():
            world.kills[process.name] += 1
            process.start()
        for until, sleeper in list(stopped):
            if time.monotonic() > until:
                sleeper.signal(signal.SIGCONT)
                stopped.remove((until, sleeper))
        world.check()
    for _, sleeper in stopped:
        sleeper.signal(signal.SIGCONT)


def heal(world, clients):
    """Everything once more without trouble, until the producers have finished and the clients are answered."""
    for process in world.processes:
        process.kill()
    world.start_what_ended(with_trouble=False)
    deadline = time.monotonic() + SETTLE_SECONDS_MAX
    for client in clients:
        client.stop.set()
    while any(client.is_alive() for client in clients) or any(p.finishes and p.running() for p in world.processes):
        if time.monotonic() > deadline:
            raise Failure(f"producers or clients did not end within {SETTLE_SECONDS_MAX} s after all was healed")
        world.check()
        time.sleep(0.1)
    for client in clients:
        if client.failure:
            raise client.failure


def audit(world, region):
    """The audit's report, once everything is visible."""
    deadline = time.monotonic() + SETTLE_SECONDS_MAX
    while True:
        run = subprocess.run([world.marquee, "audit", "--broker", world.broker, "--data", str(world.folder / region), "--ratings",
                              f"a={world.file('a')}", "--ratings", f"b={world.file('b')}", "-o", "json"],
                             capture_output=True, text=True, check=False)
        if run.returncode not in (0, 3):
            raise Failure(f"audit of {region} failed: {run.stderr}")
        report = json.loads(run.stdout)
        waiting = all("not visible yet" in other for other in report["other_differences"])
        if run.returncode == 0 or not waiting or time.monotonic() > deadline:
            break
        world.check()
        time.sleep(0.5)
    if run.returncode != 0:
        raise Failure(f"audit of {region} found differences: {run.stdout[:3000]}")
    return report


def verify(world, clients):
    acknowledged = sum(client.acknowledged for client in clients)
    for region in ("eu", "us"):
        report = audit(world, region)
        if report["ratings_from_topic"] != acknowledged:
            raise Failure(f"{region}: {acknowledged} ratings were acknowledged to clients, {report['ratings_from_topic']} counted")
        print(f"{region}: {report['ratings_expected']} ratings of {report['movies_compared']} movies are right, "
              f"{acknowledged} of them posted; {report['repeats_dropped']} repeats dropped", flush=True)


def run(options):
    world = World(options)
    clients = [Client(world, i, options.seed * 100 + i) for i in range(2)]
    keep = options.keep
    try:
        world.start_what_ended(with_trouble=False)
        for client in clients:
            client.start()
        kill_at_every_point(world)
        print(f"killed at each of {sum(map(len, world.points.values()))} crash points", flush=True)
        trouble(world, options.kills)
        heal(world, clients)
        verify(world, clients)
        print(f"seed {options.seed}: {world.total_kills()} kills, {world.stops} stops beyond the session, "
              f"{sum(c.requests for c in clients)} requests with {sum(c.repeats for c in clients)} repeats", flush=True)
        return 0
    except Failure as failure:
        keep = True
        print(f"FAILED with seed {options.seed}: {failure}\nlogs are in {world.folder}", file=sys.stderr)
        return 1
    finally:
        for client in clients:
            client.stop.set()
        for process in world.processes:
            process.signal(signal.SIGCONT)
            process.kill()
        if not keep:
            shutil.rmtree(world.folder, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--marquee", required=True)
    parser.add_argument("--sources", required=True, help="the project's folder, for the names of the crash points")
    parser.add_argument("--kills", type=int, default=120 * int(os.environ.get("MARQUEE_SOAK", "1")),
                        help="how often something is killed (120; MARQUEE_SOAK times as often)")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--broker", default=None)
    parser.add_argument("--keep", action="store_true", help="keep the folder with logs and data")
    options = parser.parse_args()
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1_000_000)
    print(f"seed {options.seed}", flush=True)
    sys.exit(run(options))


if __name__ == "__main__":
    main()
