"""What is done to the processes of a world, on every broker."""

import signal
import time

from services import Failure
from world import MOVIES

CRASH_POINT_SECONDS_MAX = 60
REBALANCE_SECONDS_MAX = 30
DRAIN_SECONDS_MAX = 30
# Points that a service comes to when it gives up its shards, and how long it may gain some before it is asked to.
REACHED_BY_DRAINING = ("meanratingproducer.before-release",)
DRAIN_AFTER_SECONDS = 3
# A source is claimed once: the point is come to by the first process of a source alone.
ONLY_AT_FIRST = "ratingproducer.claimed"
# Processes whose code another one runs too.
SAME_POINTS_ELSEWHERE = ("ratings-a", "ratings-b-twin", "ratings-c", "sink-us", "means-1", "means-2")


def start_everything(world):
    """A producer dies once it has claimed its source, before it has published; then all are started."""
    world.ratings_b.start(ONLY_AT_FIRST)
    wait_for_death(world.ratings_b, ONLY_AT_FIRST)
    world.start_what_ended(with_trouble=False)
    for thread in (*world.clients, world.growing):
        thread.start()


def kill_at_every_point(world):
    """Each service dies at each of its named points, under load, once for certain."""
    for process in world.processes:
        if process.name in SAME_POINTS_ELSEWHERE:
            continue
        for point in process.points:
            if point == ONLY_AT_FIRST:
                continue
            restart_inputs(world, process)
            process.kill()
            process.start(point)
            wait_for_death(process, point)
            world.kills[process.name] += 1
            world.start_what_ended(with_trouble=False)
            world.check()


def wait_for_death(process, point):
    began = time.monotonic()
    drained = point not in REACHED_BY_DRAINING
    while process.running():
        if not drained and time.monotonic() > began + DRAIN_AFTER_SECONDS * process.world.broker.patience:
            process.signal(signal.SIGTERM)
            drained = True
        if time.monotonic() > began + CRASH_POINT_SECONDS_MAX:
            raise Failure(f"{process.name} did not come to {point} within {CRASH_POINT_SECONDS_MAX} s:\n{process.tail()}")
        time.sleep(0.02)
    if process.popen.returncode != -signal.SIGKILL:
        process.ended_well_or_killed()
        raise Failure(f"{process.name} ended with {process.popen.returncode} and did not come to {point}")


def restart_inputs(world, process):
    """A producer of movies has its file again, so that it comes to its points; one of ratings gets more rows."""
    if process.name == "movies":
        with open(world.movies(), "a", encoding="utf-8") as movies:
            number = 1_000_000 + world.random.randrange(1_000_000)
            movies.write(f"{number},Another Movie (2001),Drama\n")
    if process.name == "ratings-b":
        world.ratings_b_twin.kill()  # it would be the first to read them
        # The lines before it stay as they are: the source goes on behind what it has published.
        with open(world.file("b"), "a", encoding="utf-8") as ratings:
            for _ in range(2000):
                ratings.write(f"{world.random.randrange(1000)},{world.random.randrange(1, MOVIES)},3.5,1600000000\n")


def trouble(world, kills, until=lambda: True):
    """Kills and stops, at random, until there were enough kills and `until` holds."""
    stopped = []
    before = world.total_kills()
    while world.total_kills() - before < kills or not until():
        world.start_what_ended(with_trouble=True)
        time.sleep(world.random.uniform(0.05, 0.5))
        process = world.random.choice(world.processes)
        if world.random.random() < 0.15 and process.running():
            process.signal(signal.SIGSTOP)
            world.stops += 1
            stopped.append((time.monotonic() + 1.5 * world.broker.session_timeout_ms / 1000, process))
        elif process.kill():
            world.kills[process.name] += 1
            process.start()
        for until_time, sleeper in list(stopped):
            if time.monotonic() > until_time:
                sleeper.signal(signal.SIGCONT)
                stopped.remove((until_time, sleeper))
        world.check()
    for _, sleeper in stopped:
        sleeper.signal(signal.SIGCONT)


def wait_for_owners(world, what, count):
    """Until so many members own every shard between them."""
    def shared():
        owners, orphans = world.owners()
        return len(owners) == count and orphans == 0
    world.wait_until(f"{what}: {count} members own all shards", REBALANCE_SECONDS_MAX, shared)


def scale_members(world):
    """1 → 4 → 1 under load: those that join get shards; those that leave, one cleanly and one killed, give them back."""
    for process in world.members:
        process.wanted = False
        process.kill()
    one, *others = world.members
    others = others + [world.member(len(world.members))]
    one.wanted = True
    one.start()
    wait_for_owners(world, "alone", 1)
    world.processes.append(others[-1])
    for process in others:
        process.start()
    wait_for_owners(world, "scaled to 4", 4)
    others[0].drain(DRAIN_SECONDS_MAX * world.broker.patience)
    wait_for_owners(world, "after one left", 3)
    for process in others[1:]:
        process.kill()
        world.kills[process.name] += 1
    wait_for_owners(world, "after two more were killed", 1)
    world.processes.remove(others[-1])
    for process in world.members:
        process.wanted = True
    world.start_what_ended(with_trouble=False)


def zombie(world):
    """A member is stopped beyond its session, replaced, and resumed while it believes that it owns its shards."""
    sleeper = world.members[0]
    wait_for_owners(world, "before one is stopped", len(world.members))
    sleeper.stop_between_writes()
    world.stops += 1
    wait_for_owners(world, "while one is stopped", len(world.members) - 1)
    successor = world.member(len(world.members))
    world.processes.append(successor)
    successor.start()
    wait_for_owners(world, "the stopped one was replaced", len(world.members))
    sleeper.signal(signal.SIGCONT)
    wait_for_owners(world, "the stopped one went on", len(world.members) + 1)
    successor.drain(DRAIN_SECONDS_MAX * world.broker.patience)
    world.processes.remove(successor)
