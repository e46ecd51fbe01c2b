"""What must hold in the end."""

import time

from services import Failure
from world import SOURCES

SETTLE_SECONDS_MAX = 120


def heal(world):
    """Everything once more without trouble, until the producers have finished and the clients are answered."""
    world.growing.stop.set()
    world.growing.join()
    for process in world.processes:
        process.kill()
    # The one that follows its file is one that reads it to its end, now that it grows no more.
    world.follower.arguments = tuple(a for a in world.follower.arguments if a != "--follow")
    world.follower.finishes = True
    world.start_what_ended(with_trouble=False)
    for client in world.clients:
        client.stop.set()
    world.wait_until("producers and clients ended after all was healed", SETTLE_SECONDS_MAX,
                     lambda: not any(client.is_alive() for client in world.clients) and
                     not any(process.finishes and process.running() for process in world.processes))
    for client in world.clients:
        if client.failure:
            raise client.failure
    # Live: nobody publishes any more, so the lag of each group returns to 0; the sinks' once there are no more means.
    for service in ("meanratingproducer", "moviedatasink-eu", "moviedatasink-us"):
        world.wait_until(f"{service} has read all", SETTLE_SECONDS_MAX, lambda service=service: world.lag(service) == 0)


def audit(world, region):
    """The audit's report, once everything is visible."""
    files = [argument for name in SOURCES for argument in ("--ratings", f"{name}={world.file(name)}")]
    deadline = time.monotonic() + SETTLE_SECONDS_MAX * world.broker.patience
    while True:
        code, report = world.command("audit", "--data", str(world.folder / region), *files, codes=(0, 3))
        # Of a shard that is not visible yet the audit may say more: that its ratings were not accepted. On the embedded log
        # nothing is late after the healing but that.
        late = ["not visible yet" in other for other in report["other_differences"]]
        waiting = any(late) if world.broker.may_be_late else all(late)
        if code == 0 or not waiting or time.monotonic() > deadline:
            break
        world.check()
        time.sleep(0.5)
    if code != 0:
        raise Failure(f"audit of {region} found differences: {str(report)[:3000]}")
    return report


def verify(world, duplicates=0):
    """Every region is right, and holds what the files and the acknowledged requests hold; of `duplicates` not one."""
    acknowledged = sum(client.acknowledged for client in world.clients)
    rows = world.rows()
    for region in ("eu", "us"):
        report = audit(world, region)
        if report["ratings_from_topic"] != acknowledged:
            raise Failure(f"{region}: {acknowledged} ratings were acknowledged to clients, {report['ratings_from_topic']} counted")
        if report["ratings_from_files"] != rows:
            raise Failure(f"{region}: the files hold {rows} ratings, {report['ratings_from_files']} counted")
        if report["repeats_dropped"] < duplicates:
            raise Failure(f"{region}: {duplicates} duplicates were published, {report['repeats_dropped']} repeats dropped")
        print(f"{region}: {report['ratings_expected']} ratings of {report['movies_compared']} movies are right, "
              f"{acknowledged} of them posted; {report['repeats_dropped']} repeats dropped", flush=True)
