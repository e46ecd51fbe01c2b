#!/usr/bin/env python3
"""Ratings from a CSV file to Kafka, so that each counts once however often this is run.

    publish_ratings.py SOURCE INCARNATION SHARDS <ratings.csv |
      kcat -P -b HOST:PORT -t ratings -K '<key ends>' -D '<message ends>' \\
        -X acks=all -X enable.idempotence=true -X topic.partitioner=murmur2_random

A line of the file is userId,movieId,rating,timestamp; the first line is a heading. Lines may be appended to the file, never
changed: the n-th rating of a shard has the stamp n.
"""

import sys


def murmur2(key):
    """Kafka's own hash of a key, as its Java client has it."""
    m, mask = 0x5BD1E995, 0xFFFFFFFF
    h = 0x9747B28C ^ len(key)
    whole = len(key) & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(key[i:i + 4], "little") * m & mask
        h = (h * m & mask) ^ ((k ^ k >> 24) * m & mask)
    if len(key) > whole:
        h = (h ^ int.from_bytes(key[whole:], "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15


def varint(number):
    data = bytearray()
    while number > 0x7F:
        data.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(data) + bytes([number])


def field(number, value):
    """A field of a protocol buffer: a number, or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def rating(source, incarnation, sequence, movie, user, value_thousandths, time):
    stamp = field(1, source.encode()) + field(2, incarnation) + field(4, sequence)
    return field(1, stamp) + field(3, movie) + field(4, user) + field(5, value_thousandths) + field(6, time)


def messages(lines, source, incarnation, shards):
    """Keys and values."""
    sequences = [0] * shards
    for line in lines:
        user, movie, stars, time = line.strip().split(",")
        key = str(int(movie)).encode()
        shard = (murmur2(key) & 0x7FFFFFFF) % shards
        sequences[shard] += 1
        yield key, rating(source, incarnation, sequences[shard], int(movie), int(user), round(float(stars) * 1000), int(time))


if __name__ == "__main__":
    next(sys.stdin)
    for message_key, message in messages(sys.stdin, sys.argv[1], int(sys.argv[2]), int(sys.argv[3])):
        sys.stdout.buffer.write(message_key + b"<key ends>" + message + b"<message ends>")
