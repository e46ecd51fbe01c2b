"""The RabbitMQ nodes that rows are measured on, and rabbitmq-c beside us."""

import pathlib

from kafka_nodes import ClusterError
from cluster import RabbitmqCluster
from paths import MARQUEE
from report import NoResult

STREAMS = 12


class RabbitmqNodes:
    """A broker of the bench alone, from nothing."""

    name = "rabbitmq"
    title = "RabbitMQ"
    client = "rabbitmq-c"
    asked = {"csv-to": (2e6, 0.6), "to-means": (3e6, None), "unpacked": (None, 0.75)}
    one_a_message = "amqp.pack=off"

    def __init__(self, bench, nodes):
        self.bench = bench
        self.cluster = RabbitmqCluster(f"bench{nodes}")
        self.cluster.wipe()
        try:
            self.cluster.start(nodes)
            self.url = self.cluster.url()
        except ClusterError as failed:
            raise NoResult(str(failed)) from failed
        address, slash, vhost = self.url.rpartition("/")
        self.first_node = address.split(",")[0] + slash + vhost

    def delete_topics(self, prefix):
        self.bench.run_program("means_watch", "delete", self.url, prefix)

    def topic_bytes(self, name):
        """On the disk of one node."""
        folder = pathlib.Path(self.cluster.run("data")) / "node-1/data"
        streams = folder.glob(f"*/stream/__{name.replace('.', '_')}_*")
        return sum(path.stat().st_size for stream in streams for path in stream.glob("*.segment"))

    def raw_produce(self, source, count, target):
        """What the client reports of publishing the first messages of a topic of ours to streams of its own."""
        return self.raw("produce", count, target, *self.streams(source))

    def raw_consume(self, source, count):
        return self.raw("consume", count, *self.streams(source))

    def raw_latency(self, target, seconds, rate):
        return self.raw("latency", target, STREAMS, seconds, rate)

    def raw_delete(self, target):
        self.bench.run_program("amqp_raw_bench", "delete", self.first_node, target, STREAMS)

    def raw(self, what, *arguments):
        return self.bench.program("amqp_raw_bench", what, self.first_node, *arguments)

    def streams(self, name):
        """Of an event topic, by shard."""
        topics = self.bench.json(MARQUEE, "topics", "--broker", self.url, "-o", "json")
        [topic] = [topic for topic in topics if topic["topic"] == name]
        return [f"{name}.{shard['shard']}@{topic['identity']}" for shard in topic["shards"]]

    def wipe(self):
        self.cluster.wipe()
