#!/usr/bin/python3
"""The mean of every movie, read from RabbitMQ: movie, number of ratings, mean, a line each.

    read_from_rabbitmq.py URL mean-ratings
"""

import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "kafka/interoperation"))

from read_means import newest
from streams import find_topic, records


def read_means(url, topic):
    """Of every movie the mean as (as_of, count, sum of thousandths)."""
    return newest(records(url, topic, *find_topic(url, topic)))


if __name__ == "__main__":
    for movie, (_, count, total) in sorted(read_means(sys.argv[1], sys.argv[2]).items()):
        print(movie, count, f"{total / count / 1000:.6f}")
