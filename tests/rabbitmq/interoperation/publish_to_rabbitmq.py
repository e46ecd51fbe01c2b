#!/usr/bin/python3
"""Ratings from a CSV file to RabbitMQ, so that each counts once however often this is run.

    publish_to_rabbitmq.py URL TOPIC SOURCE INCARNATION <ratings.csv

A line of the file is userId,movieId,rating,timestamp; the first line is a heading. Lines may be appended to the file, never
changed: the n-th rating of a shard has the stamp n.
"""

import pathlib
import sys

import pika

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "kafka/interoperation"))

from publish_ratings import messages, murmur2
from streams import find_topic


def publish(url, topic, records, shard_of=lambda key, shards: (murmur2(key) & 0x7FFFFFFF) % shards, **properties):
    """`records`: given the number of shards, keys and values. Returns when the broker has confirmed all."""
    identity, shards = find_topic(url, topic)
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for key, value in records(shards):
            channel.basic_publish(f"{topic}@{identity}", str(shard_of(key, shards)), value,
                                  pika.BasicProperties(delivery_mode=2, headers={"marquee-key": key.decode()}, **properties),
                                  mandatory=True)


if __name__ == "__main__":
    next(sys.stdin)
    publish(sys.argv[1], sys.argv[2], lambda shards: messages(sys.stdin, sys.argv[3], int(sys.argv[4]), shards))
