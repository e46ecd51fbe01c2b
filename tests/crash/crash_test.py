#!/usr/bin/env python3
"""Runs the services as processes, kills them, and audits.

Every service runs on its own, as in production. While two files are published, a third grows and is followed, and clients
post ratings (each request again and again until it is acknowledged), processes are killed with SIGKILL at random moments and
at every named crash point, and stopped for longer than their sessions and resumed; the members of meanratingproducer become
four and one again. On Kafka and RabbitMQ the nodes are killed too, one after the other, and another client publishes ratings
a second time. Then all is started again without trouble, and in the end the audit of every region must find no difference, and the
number of ratings must be that of the files and of the acknowledged requests.

usage: crash_test.py --marquee BINARY --sources DIR [--kills N] [--seed S] [--broker kafka|kafka-packs|amqp|URL] [--keep]
"""

import argparse
import os
import pathlib
import random
import shutil
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kafka"))

from brokers import ClusterBroker, NodeTrouble
from cluster import ClusterError
from proofs import heal, verify
from services import Failure
from troubles import kill_at_every_point, scale_members, start_everything, trouble, zombie
from world import World

DUPLICATES_PER_SHARD = 1000


class Phases:
    """Says what was done, and how long it took."""

    def __init__(self):
        self.began = time.monotonic()

    def done(self, text):
        now = time.monotonic()
        print(f"{now - self.began:5.1f} s  {text}", flush=True)
        self.began = now


def trouble_processes(world, options, phases):
    start_everything(world)
    kill_at_every_point(world)
    phases.done(f"killed at each of {sum(map(len, world.points.values()))} crash points")
    scale_members(world)
    phases.done("1, 4, 1 members of meanratingproducer")
    zombie(world)
    phases.done("one stopped beyond its session, replaced, resumed")
    if not isinstance(world.broker, ClusterBroker):
        trouble(world, options.kills)
        phases.done(f"{world.total_kills()} kills, {world.stops} stops")
        return 0
    nodes = NodeTrouble(world.broker.cluster, random.Random(options.seed))
    nodes.start()
    trouble(world, options.kills, until=lambda: nodes.rounds > 0 or nodes.failure)
    nodes.finish()
    phases.done(f"{world.total_kills()} kills, {world.stops} stops, and {nodes.kills} kills of nodes")
    duplicates = world.broker.publish_duplicates(world.random, DUPLICATES_PER_SHARD)
    phases.done(f"{duplicates} ratings published again by {world.broker.client}")
    return duplicates


def run(options):
    phases = Phases()
    world = World(options)
    keep = options.keep
    try:
        phases.done(f"ready: {world.broker.url}")
        duplicates = trouble_processes(world, options, phases)
        heal(world)
        phases.done("healed")
        verify(world, duplicates)
        phases.done("audited")
        print(f"seed {options.seed}: {world.total_kills()} kills, {world.stops} stops beyond the session, "
              f"{sum(c.requests for c in world.clients)} requests with {sum(c.repeats for c in world.clients)} repeats, "
              f"{world.growing.rows} rows appended", flush=True)
        return 0
    except (Failure, ClusterError) as failure:
        keep = True
        print(f"FAILED with seed {options.seed}: {failure}\nlogs are in {world.folder}", file=sys.stderr)
        return 1
    finally:
        world.close()
        if not keep:
            shutil.rmtree(world.folder, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--marquee", required=True)
    parser.add_argument("--sources", required=True, help="the project's folder, for the names of the crash points")
    parser.add_argument("--kills", type=int, default=None, help="how often something is killed at random (sqlite 100, others 60; "
                        "MARQUEE_SOAK times as often)")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--broker", default=None, help="kafka, kafka-packs, amqp: three nodes of its own; or the URL of a broker")
    parser.add_argument("--keep", action="store_true", help="keep the folder with logs and data")
    options = parser.parse_args()
    if options.kills is None:
        options.kills = (60 if options.broker else 100) * int(os.environ.get("MARQUEE_SOAK", "1"))
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1_000_000)
    print(f"seed {options.seed}", flush=True)
    sys.exit(run(options))


if __name__ == "__main__":
    main()
