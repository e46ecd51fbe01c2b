"""The brokers that the crash test runs on."""

import os
import secrets
import subprocess
import threading

import duplicates
from cluster import Cluster, ClusterError, RabbitmqCluster
from services import Failure


class SqliteBroker:
    """The embedded log in the folder of the run."""

    may_be_late = False
    patience = 1  # how many times as long as usual things may take
    session_timeout_ms = 1000

    def __init__(self, folder):
        self.url = f"sqlite:{folder}/log"
        self.prefix = ""

    def arguments(self, process=""):  # of that name
        return ["--broker", self.url]

    def close(self):
        pass


class GivenBroker:
    """One that runs already, by its URL."""

    may_be_late = True
    patience = 1
    session_timeout_ms = 3000

    def __init__(self, url):
        self.url = url
        self.prefix = f"crash-{secrets.token_hex(4)}."

    def arguments(self, process=""):  # of that name
        return ["--broker", self.url, "--topic-prefix", self.prefix]

    def close(self):
        pass


class ClusterBroker(GivenBroker):
    """Three nodes that are this run's alone: it kills them too."""

    NODES = (1, 2, 3)

    def __init__(self, cluster):
        self.cluster = cluster
        try:
            self.cluster.start(len(self.NODES))
            super().__init__(self.cluster.url())
        except BaseException:
            self.close()
            raise

    def close(self):
        self.cluster.wipe()


class KafkaBroker(ClusterBroker):
    client = "kcat"

    def __init__(self):
        super().__init__(Cluster(f"crash-{os.getpid()}"))

    def publish_duplicates(self, random, per_shard):
        return duplicates.on_kafka(self.cluster.servers(), f"{self.prefix}ratings", random, per_shard)


class PackingKafkaBroker(KafkaBroker):
    """With kafka.pack=on, but for one of two that publish the same file: its ratings come as packs and one by one."""

    def arguments(self, process=""):
        return [*super().arguments(), "--set", f"kafka.pack={'off' if process == 'ratings-b' else 'on'}"]


class RabbitmqBroker(ClusterBroker):
    client = "pika"
    session_timeout_ms = 6000  # the services' own
    # Of three nodes on a few cores: each consumer is an entry in the log of all, and what is flushed to an entity topic is
    # read back.
    patience = 3

    def __init__(self):
        super().__init__(RabbitmqCluster(f"crash-{os.getpid()}"))

    def publish_duplicates(self, random, per_shard):
        return duplicates.on_rabbitmq(self.cluster.url(), f"{self.prefix}ratings", random, per_shard)


class NodeTrouble(threading.Thread):
    """Kills the nodes of a cluster as `kill -9` does, one after the other, leaders among them; the next one when the one
    before is in sync again, since two of three are what a topic with replication 3 needs."""

    def __init__(self, nodes, random):
        super().__init__(daemon=True)
        self.cluster, self.random = nodes, random
        self.stop = threading.Event()
        self.kills = self.rounds = 0
        self.failure = None

    def run(self):
        try:
            while not self.stop.is_set():
                for node in self.random.sample(ClusterBroker.NODES, len(ClusterBroker.NODES)):
                    self.cluster.kill(node)
                    self.kills += 1
                    self.stop.wait(self.random.uniform(0.2, 2))
                    self.cluster.restart(node)
                    if self.stop.wait(self.random.uniform(0.2, 1)):
                        return
                self.rounds += 1
        except (ClusterError, subprocess.TimeoutExpired) as failure:
            self.failure = Failure(f"the cluster did not come back: {failure}")

    def finish(self):
        self.stop.set()
        self.join()
        if self.failure:
            raise self.failure
