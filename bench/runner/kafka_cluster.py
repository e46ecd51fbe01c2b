"""The Kafka nodes that rows are measured on, and what is asked of them."""

import os
import statistics
import sys

from paths import MARQUEE, ROOT
from report import NoResult

sys.path.insert(0, str(ROOT / "tests/kafka"))
sys.path.insert(0, str(ROOT / "tests/kafka/interoperation"))

from cluster import Cluster, ClusterError, kcat
from read_means import fields

PARTITIONS = 12
HEAP = "1g"  # as Kafka's own script has it


class KafkaNodes:
    """A cluster of the bench alone, from nothing."""

    def __init__(self, nodes):
        self.nodes = nodes
        self.cluster = Cluster(f"bench{nodes}")
        self.cluster.wipe()
        os.environ["MARQUEE_KAFKA_HEAP"] = HEAP
        try:
            self.cluster.start(nodes)
            self.url, self.servers = self.cluster.url(), self.cluster.servers()
        except ClusterError as failed:
            raise NoResult(str(failed)) from failed

    def options(self, prefix):
        """What makes a command use it."""
        return ["--broker", self.url, "--topic-prefix", prefix]

    def make_topic(self, name):
        self.cluster.tool("TopicCommand", "--create", "--topic", name, "--partitions", str(PARTITIONS))

    def delete_topics(self, prefix):
        self.cluster.tool("TopicCommand", "--delete", "--topic", prefix.replace(".", r"\.") + ".*")

    def topic_bytes(self, name):
        """On the disk of one node."""
        folders = (ROOT / "build/kafka" / self.cluster.name / "1/data").glob(f"{name}-*")
        return sum(path.stat().st_size for folder in folders for path in folder.glob("*.log"))

    def watermarks(self, prefix):
        """Of each shard: [(ratings_through, when it was published, in ms since 1970)]."""
        found = {}
        text = kcat(self.servers, "-C", "-t", f"{prefix}mean-ratings", "-o", "beginning", "-e", "-D", "", "-f",
                    "%k<key ends>%T<time ends>%s<message ends>")
        for message in text.split(b"<message ends>")[:-1]:
            key, rest = message.split(b"<key ends>", 1)
            if key.startswith(b"shard/"):
                time_ms, value = rest.split(b"<time ends>", 1)
                found.setdefault(int(key[6:]), []).append((fields(value).get(2, 0), int(time_ms)))
        return found

    def complete_at_ms(self, prefix, ends):
        """When the last shard's means were complete; `ends` are the ends of the shards of `ratings`."""
        marks = self.watermarks(prefix)
        times = [min((time_ms for through, time_ms in marks.get(shard, ()) if through >= end), default=None)
                 for shard, end in ends.items()]
        return None if None in times else max(times)

    def wipe(self):
        self.cluster.wipe()


class Raw:
    """What librdkafka does by itself, in the same run."""

    def __init__(self, bench, nodes):
        self.bench, self.nodes = bench, nodes
        self.topics = 0

    def produce(self, topic, count):
        """Messages a second."""
        self.topics += 1
        name = f"raw-{self.topics}"
        self.nodes.make_topic(name)
        found = self.bench.program("kafka_raw_bench", "produce", self.nodes.servers, topic, count, name)
        self.nodes.delete_topics(name)
        return found["messages"] / found["seconds"]

    def consume(self, topic, count, times=1):
        runs = [self.bench.program("kafka_raw_bench", "consume", self.nodes.servers, topic, count) for _ in range(times)]
        return statistics.median(found["messages"] / found["seconds"] for found in runs)

    def latency(self, seconds, rate):
        """The p50 and the p99 in milliseconds."""
        self.topics += 1
        name = f"raw-{self.topics}"
        self.nodes.make_topic(name)
        found = self.bench.program("kafka_raw_bench", "latency", self.nodes.servers, name, seconds, rate)
        self.nodes.delete_topics(name)
        return found["p50_ms"], found["p99_ms"]


def shard_ends(bench, nodes, prefix):
    """Of each shard of `ratings` the offset behind its last message."""
    topics = bench.json(MARQUEE, "topics", *nodes.options(prefix), "-o", "json")
    [ratings] = [topic for topic in topics if topic["topic"] == f"{prefix}ratings"]
    return {shard["shard"]: shard["end"] for shard in ratings["shards"]}
