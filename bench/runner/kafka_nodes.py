"""The Kafka nodes that rows are measured on, and librdkafka beside us."""

import os
import sys

from paths import ROOT
from report import NoResult

sys.path.insert(0, str(ROOT / "tests/kafka"))

from cluster import Cluster, ClusterError

PARTITIONS = 12
HEAP = "1g"  # as Kafka's own script has it


class KafkaNodes:
    """A cluster of the bench alone, from nothing."""

    name = "kafka"
    title = "Apache Kafka"
    client = "librdkafka"
    # What was asked of a row: so many a second, and such a share of what the client does by itself.
    asked = {"csv-to": (None, 0.8), "to-means": (None, 0.7)}
    packing = ("--set", "kafka.pack=on")
    one_a_message = None  # the setting for one rating a message: always so

    def __init__(self, bench, nodes):
        self.bench = bench
        self.cluster = Cluster(f"bench{nodes}")
        self.cluster.wipe()
        os.environ["MARQUEE_KAFKA_HEAP"] = HEAP
        try:
            self.cluster.start(nodes)
            self.url, self.servers = self.cluster.url(), self.cluster.servers()
        except ClusterError as failed:
            raise NoResult(str(failed)) from failed

    def delete_topics(self, prefix):
        self.cluster.tool("TopicCommand", "--delete", "--topic", prefix.replace(".", r"\.") + ".*")

    def topic_bytes(self, name):
        """On the disk of one node."""
        folders = (ROOT / "build/kafka" / self.cluster.name / "1/data").glob(f"{name}-*")
        return sum(path.stat().st_size for folder in folders for path in folder.glob("*.log"))

    def raw_produce(self, source, count, target):
        """What the client reports of publishing the first messages of a topic of ours to a topic of its own."""
        self.make_topic(target)
        return self.raw("produce", source, count, target)

    def raw_consume(self, source, count):
        return self.raw("consume", source, count)

    def raw_latency(self, target, seconds, rate):
        self.make_topic(target)
        return self.raw("latency", target, seconds, rate)

    def raw_delete(self, target):
        self.delete_topics(target)

    def raw(self, what, *arguments):
        return self.bench.program("kafka_raw_bench", what, self.servers, *arguments)

    def make_topic(self, name):
        self.cluster.tool("TopicCommand", "--create", "--topic", name, "--partitions", str(PARTITIONS))

    def wipe(self):
        self.cluster.wipe()
