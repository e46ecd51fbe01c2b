"""Other clients of the brokers: they publish again what others published."""

import pathlib
import struct
import subprocess

import cluster
from services import Failure

SHARDS = 12
# Between keys and values, and behind messages: what no message holds.
KEY_END = b"<end of key 5d2f>"
MESSAGE_END = b"<end of message 5d2f>"
NO_KEY = b"-1"  # the size of one that is not there, as kcat has it
PACK_HEADER = "marquee-pack=1"
RECORDS_AT = 8  # in a pack
PIKA_SECONDS_MAX = 120


def on_kafka(servers, topic, random, per_shard):
    """Reads the first messages of each shard of `ratings` and publishes them again, in another order, each to its shard.
    Returns how many ratings they hold: a message without a key is a pack (docs/kafka.md)."""
    count = 0
    for shard in range(SHARDS):
        text = cluster.kcat(servers, "-C", "-t", topic, "-p", str(shard), "-o", "beginning", "-e", "-c", str(per_shard), "-D", "",
                            "-f", "%K" + KEY_END.decode() + "%k" + KEY_END.decode() + "%s" + MESSAGE_END.decode())
        messages = [message.split(KEY_END, 1) for message in text.split(MESSAGE_END)[:-1]]
        random.shuffle(messages)
        singles = [message for size, message in messages if size != NO_KEY]
        packs = [message.split(KEY_END, 1)[1] for size, message in messages if size == NO_KEY]
        for some_messages, options in ((singles, ("-K", KEY_END.decode())), (packs, ("-H", PACK_HEADER))):
            cluster.kcat(servers, "-P", "-t", topic, "-p", str(shard), "-X", "acks=all", *options, "-D", MESSAGE_END.decode(),
                         data=b"".join(message + MESSAGE_END for message in some_messages))
        count += len(singles) + sum(struct.unpack_from("<I", pack, RECORDS_AT)[0] for pack in packs)
    return some(count)


def on_rabbitmq(url, topic, random, per_shard):
    """The same; a message holds many ratings there, and so many are counted. The client is the system's Python with the
    Debian package python3-pika, which other Pythons do not see."""
    run = subprocess.run(["/usr/bin/python3", str(pathlib.Path(__file__).with_name("publish_again.py")), url, topic, str(SHARDS),
                          str(per_shard), str(random.randrange(1_000_000))], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                         timeout=PIKA_SECONDS_MAX, check=False)
    if run.returncode != 0:
        raise Failure(f"publishing again by pika failed: {run.stdout}{run.stderr}")
    return some(int(run.stdout))


def some(count):
    if count == 0:
        raise Failure("there was nothing to publish again")
    return count
