"""Another client of the broker: it publishes again what others published."""

import cluster
from services import Failure

SHARDS = 12
# Between keys and values, and behind messages: what no message holds.
KEY_END = b"<end of key 5d2f>"
MESSAGE_END = b"<end of message 5d2f>"


def publish_duplicates(broker, random, per_shard):
    """Reads the first messages of each shard of `ratings` and publishes them again, in another order, each to its shard.
    Returns how many."""
    topic, servers = f"{broker.prefix}ratings", broker.cluster.servers()
    count = 0
    for shard in range(SHARDS):
        text = cluster.kcat(servers, "-C", "-t", topic, "-p", str(shard), "-o", "beginning", "-e", "-c", str(per_shard), "-D", "",
                    "-f", "%k" + KEY_END.decode() + "%s" + MESSAGE_END.decode())
        messages = text.split(MESSAGE_END)[:-1]
        random.shuffle(messages)
        cluster.kcat(servers, "-P", "-t", topic, "-p", str(shard), "-X", "acks=all", "-K", KEY_END.decode(), "-D", MESSAGE_END.decode(),
             data=b"".join(message + MESSAGE_END for message in messages))
        count += len(messages)
    if count == 0:
        raise Failure("there was nothing to publish again")
    return count
