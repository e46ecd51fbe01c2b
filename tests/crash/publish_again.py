#!/usr/bin/env python3
"""Reads the first messages of each shard of an event topic on RabbitMQ and publishes them again, in another order, each to its
shard, as a publisher of its own. Prints how many records they hold.

usage: publish_again.py URL TOPIC SHARDS RECORDS_PER_SHARD SEED
"""

import contextlib
import random
import struct
import sys

import pika

SECONDS_BETWEEN_MAX = 2
PREFETCH = 100
# A message of ours: docs/rabbitmq.md.
HEAD_BYTES = 24
KIND_AT, KIND_PACK = 4, 1
NONCE_AT = 8
RECORDS_AT = HEAD_BYTES + 8


def connect(url):
    """To the first node of a cluster's URL that answers."""
    before, rest = url.split("@")
    hosts, vhost = rest.split("/")
    failure = None
    for host in hosts.split(","):
        try:
            return pika.BlockingConnection(pika.URLParameters(f"{before}@{host}/{vhost}"))
        except pika.exceptions.AMQPConnectionError as error:
            failure = error
    raise failure


def identity_of(url, topic):
    """From the log of topics: the identity of the topic that was declared first and is not deleted."""
    topics = {}
    for body in read(url, "marquee.topics"):
        words = body[HEAD_BYTES:].decode(errors="replace").split("\t")
        if words[0] == "topic":
            topics.setdefault(words[1], words[2])
        elif words[0] == "deleted" and topics.get(words[1]) == words[2]:
            del topics[words[1]]
    return topics[topic]


def read(url, stream):
    """The stream's messages from the first on, until none comes any more. On a connection of its own: pika gives back what it
    has not handed on, which streams refuse, and RabbitMQ closes the connection for it."""
    connection = connect(url)
    channel = connection.channel()
    channel.basic_qos(prefetch_count=PREFETCH)
    try:
        for method, _, body in channel.consume(stream, arguments={"x-stream-offset": "first"}, inactivity_timeout=SECONDS_BETWEEN_MAX):
            if method is None:
                return
            channel.basic_ack(method.delivery_tag)
            yield body
    finally:
        with contextlib.suppress(pika.exceptions.AMQPError):
            connection.close()


def packs(url, stream, records_max):
    """The first packs, of at least so many records, and how many records they hold."""
    found, count = [], 0
    for body in read(url, stream):
        if body[KIND_AT] != KIND_PACK:
            continue
        found.append(body)
        count += struct.unpack_from("<I", body, RECORDS_AT)[0]
        if count >= records_max:
            break
    return found, count


def main(url, topic, shards, records, seed):
    draw = random.Random(int(seed))
    nonce = draw.getrandbits(64)
    connection = connect(url)
    channel = connection.channel()
    channel.confirm_delivery()
    identity = identity_of(url, topic)
    total = 0
    for shard in range(int(shards)):
        stream = f"{topic}.{shard}@{identity}"
        found, count = packs(url, stream, int(records))
        draw.shuffle(found)
        for number, body in enumerate(found):
            head = body[:NONCE_AT] + struct.pack("<QQ", nonce, number + 1)
            channel.basic_publish("", stream, head + body[HEAD_BYTES:], pika.BasicProperties(delivery_mode=2), mandatory=True)
        total += count
    connection.close()
    print(total)


if __name__ == "__main__":
    main(*sys.argv[1:])
