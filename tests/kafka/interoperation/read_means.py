#!/usr/bin/env python3
"""The mean of every movie, read from Kafka: movie, number of ratings, mean, a line each.

    kcat -C -b HOST:PORT -t mean-ratings -o beginning -e -q -D '' -f '%k<key ends>%s<message ends>' | read_means.py
"""

import sys


def varint(data, at):
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at


def fields(data):
    """The fields of a protocol buffer by number: numbers, or bytes."""
    found, at = {}, 0
    while at < len(data):
        tag, at = varint(data, at)
        value, at = varint(data, at)
        if tag & 7 == 2:
            value, at = data[at:at + value], at + value
        found[tag >> 3] = value
    return found


def newest(messages):
    """Of every movie the mean as (as_of, count, sum of thousandths): the one with the highest as_of holds. The watermarks
    between them, with keys as shard/3, are for those who wait for a rating to be in the means."""
    means = {}
    for key, value in messages:
        if key.startswith(b"shard/") or not value:
            continue
        mean = fields(value)
        found = (mean.get(6, 0), mean.get(2, 0), mean.get(3, 0))
        means[int(key)] = max(means.get(int(key), found), found)
    return means


if __name__ == "__main__":
    texts = sys.stdin.buffer.read().split(b"<message ends>")[:-1]
    for movie, (_, count, total) in sorted(newest(text.split(b"<key ends>", 1) for text in texts).items()):
        print(movie, count, f"{total / count / 1000:.6f}")
