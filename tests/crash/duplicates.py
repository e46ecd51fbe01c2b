"""Another client of the broker: it publishes again what others published."""

import subprocess

from services import Failure

SECONDS_MAX = 60
SHARDS = 12
# Between keys and values, and behind messages: what no message holds.
KEY_END = b"<end of key 5d2f>"
MESSAGE_END = b"<end of message 5d2f>"


def kcat(cluster, *arguments, data=None):
    run = subprocess.run(["kcat", "-q", "-b", cluster.servers(), *arguments], input=data, capture_output=True,
                         stdin=None if data is not None else subprocess.DEVNULL, timeout=SECONDS_MAX, check=False)
    if run.returncode != 0:
        raise Failure(f"kcat {' '.join(arguments)} failed: {run.stderr.decode(errors='replace')}")
    return run.stdout


def publish_duplicates(cluster, random, per_shard):
    """Reads the first messages of each shard of `ratings` and publishes them again, in another order, each to its shard.
    Returns how many."""
    topic = f"{cluster.prefix}ratings"
    count = 0
    for shard in range(SHARDS):
        text = kcat(cluster, "-C", "-t", topic, "-p", str(shard), "-o", "beginning", "-e", "-c", str(per_shard), "-D", "",
                    "-f", "%k" + KEY_END.decode() + "%s" + MESSAGE_END.decode())
        messages = text.split(MESSAGE_END)[:-1]
        random.shuffle(messages)
        kcat(cluster, "-P", "-t", topic, "-p", str(shard), "-X", "acks=all", "-K", KEY_END.decode(), "-D", MESSAGE_END.decode(),
             data=b"".join(message + MESSAGE_END for message in messages))
        count += len(messages)
    if count == 0:
        raise Failure("there was nothing to publish again")
    return count
