"""What a program in another language has to know of Marquee's streams, in Python with pika."""

import contextlib
import functools
import time

import pika

HEAD_BYTES = 24  # of a message of Marquee's own: "MQR1", its kind, and what names it
PACK, CUT, SNAPSHOT_END, ENTRY = 1, 4, 5, 6  # kinds
PACK_TYPE = "application/vnd.marquee.pack"
SILENT_SECONDS = 1
READ_SECONDS_MAX = 60


def read(url, streams):
    """The messages of streams up to their ends as they are now: (stream, properties, body), those of a stream in order. None of
    ours is empty. A second consumer begins at the last chunk, so that one that is slow is not taken for one that has all."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.basic_qos(prefetch_count=500)
    came, reached, ends = [], {}, {}

    def take(stream, furthest, channel, method, properties, body):
        channel.basic_ack(method.delivery_tag)
        furthest[stream] = properties.headers["x-stream-offset"]
        if furthest is reached:
            came.append((stream, properties, body))

    try:
        for stream in streams:
            for begin, furthest in (("first", reached), ("last", ends)):
                channel.basic_consume(stream, functools.partial(take, stream, furthest), arguments={"x-stream-offset": begin})
        until = time.monotonic() + READ_SECONDS_MAX
        while time.monotonic() < until:
            connection.process_data_events(time_limit=SILENT_SECONDS)
            if not came and all(stream in ends and reached.get(stream, -1) >= ends[stream] for stream in streams):
                return
            yield from came
            came.clear()
        raise TimeoutError(f"the ends of the streams {' '.join(streams)} do not come")
    finally:
        # What has come in the meantime pika gives back, which a stream does not take.
        with contextlib.suppress(pika.exceptions.AMQPError):
            connection.close()


def kind(properties, body):
    """That of a message of Marquee's own; None: a record."""
    return body[4] if properties.content_type == PACK_TYPE else None


def entries(url, streams):
    """What the logs of Marquee's own say: (stream, words)."""
    for stream, properties, body in read(url, streams):
        if kind(properties, body) == ENTRY:
            yield stream, body[HEAD_BYTES:].decode().split("\t")


def find_topic(url, name):
    """Its identity and its number of shards. Of several entries that declare a topic the first holds."""
    found = None
    for _, words in entries(url, ["marquee.topics"]):
        if found is None and words[:2] == ["topic", name]:
            found = words[2], int(words[4])
        elif found is not None and words == ["deleted", name, found[0]]:
            found = None
    if found is None:
        raise LookupError(f"there is no topic {name}")
    return found


def record(stream, properties, body):
    """Key and value; a value of None deletes the key."""
    if kind(properties, body) == PACK:
        raise ValueError(f"{stream}: a pack; let its publishers run with --set amqp.pack=off")
    headers = properties.headers or {}
    return headers.get("marquee-key", "").encode(), None if headers.get("marquee-deleted") else body


def records(url, name, identity, shards):
    """Keys and values of an entity topic: of each shard what its newest snapshot holds, then what was published since."""
    bases = [f"{name}.{shard}@{identity}" for shard in range(shards)]
    newest = dict(entries(url, [f"{base}.state" for base in bases]))
    epochs = {base: int(newest[f"{base}.state"][1]) for base in bases}
    yield from until(SNAPSHOT_END, url, [f"{base}.{epoch}.s" for base, epoch in epochs.items() if epoch > 0])
    while epochs:
        streams = {f"{base}.{epoch}": base for base, epoch in epochs.items()}
        ended = yield from until(CUT, url, streams)
        epochs = {streams[stream]: epochs[streams[stream]] + 1 for stream in ended}


def until(last, url, streams):
    """The records of streams, each up to a message of kind `last`; returns which of them have come to it."""
    ended = set()
    for stream, properties, body in read(url, streams) if streams else ():
        if kind(properties, body) == last:
            ended.add(stream)
        elif stream not in ended and kind(properties, body) in (None, PACK):
            yield record(stream, properties, body)
    return ended
