"""Clusters of Apache Kafka for tests, by script/kafka, and of RabbitMQ by script/rabbitmq."""

import json
import os
import pathlib
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
SECONDS_MAX = 240  # script/kafka waits 180 for a cluster


class ClusterError(Exception):
    """The script of a broker, or one of Kafka's tools, failed."""


class Cluster:
    """One that script/kafka knows by its name; started here, or running already."""

    def __init__(self, name, script=ROOT / "script/kafka"):
        self.name, self.script = name, str(script)

    def run(self, verb, *arguments, data=None):
        """What script/kafka prints."""
        run = subprocess.run([self.script, verb, "--name", self.name, *arguments], input=data,
                             stdin=subprocess.DEVNULL if data is None else None, capture_output=True, text=True,
                             timeout=SECONDS_MAX, check=False)
        if run.returncode != 0:
            raise ClusterError(f"{self.script} {verb} {' '.join(arguments)} failed: {run.stdout}{run.stderr}")
        return run.stdout.strip()

    def start(self, nodes, *arguments):
        self.run("start", "--nodes", str(nodes), *arguments)

    def url(self, listener="PLAINTEXT"):
        return self.run("url", "--listener", listener)

    def servers(self, listener="PLAINTEXT"):
        """host:port,... as Kafka's own programs take it."""
        return self.url(listener).removeprefix("kafka://")

    def tool(self, *arguments, data=None):
        return self.run("tool", *arguments, data=data)

    def kill(self, node):
        self.run("kill", str(node))

    def restart(self, node):
        self.run("restart", str(node))

    def wipe(self):
        subprocess.run([self.script, "wipe", "--name", self.name], stdin=subprocess.DEVNULL, capture_output=True,
                       timeout=SECONDS_MAX, check=False)


class RabbitmqCluster(Cluster):
    """One that script/rabbitmq knows by its name, of release 3.10 or as MARQUEE_RABBITMQ_RELEASE says."""

    RELEASE = os.environ.get("MARQUEE_RABBITMQ_RELEASE", "3.10")
    IN_SYNC_SECONDS_MAX = 120

    def __init__(self, name):
        super().__init__(name, ROOT / "script/rabbitmq")

    def start(self, nodes, *arguments):
        super().start(nodes, "--release", self.RELEASE, *arguments)

    def url(self):
        return self.run("url")

    def kill(self, node):
        self.run("kill", "--node", str(node))

    def restart(self, node):
        """Returns when every stream has all of its replicas again."""
        RabbitmqCluster.start(self, 3, "--node", str(node))
        deadline = time.monotonic() + self.IN_SYNC_SECONDS_MAX
        while (behind := self.streams_with_less_than(3)) is None or behind:
            if time.monotonic() > deadline:
                raise ClusterError(f"{self.name}: not within {self.IN_SYNC_SECONDS_MAX} s: replicas of {behind} run again")

    def streams_with_less_than(self, replicas):
        """The names of those streams; none where the nodes do not tell."""
        try:
            queues = json.loads(self.run("ctl", "-q", "list_queues", "name", "type", "online", "--formatter", "json"))
        except (ClusterError, json.JSONDecodeError):
            return None
        return [queue["name"] for queue in queues if queue["type"] == "stream" and len(queue["online"] or ()) < replicas]


def kcat(servers, *arguments, data=None):
    """What kcat prints, as bytes."""
    run = subprocess.run(["kcat", "-q", "-b", servers, *arguments], input=data, capture_output=True,
                         stdin=subprocess.DEVNULL if data is None else None, timeout=SECONDS_MAX, check=False)
    if run.returncode != 0:
        raise ClusterError(f"kcat {' '.join(arguments)} failed: {run.stderr.decode(errors='replace')}")
    return run.stdout


def jars():
    return sorted(str(path) for path in (ROOT / "build/kafka/lib").glob("*.jar"))


def java(*arguments, data=None, classes=()):
    """What a program on Kafka's class path prints."""
    command = ["java", "-XX:TieredStopAtLevel=1", "-Xmx256m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp",
               ":".join([*jars(), *classes]), *arguments]
    run = subprocess.run(command, input=data, stdin=subprocess.DEVNULL if data is None else None, capture_output=True, text=True,
                         timeout=SECONDS_MAX, check=False)
    if run.returncode != 0:
        raise ClusterError(f"{' '.join(arguments)} failed: {run.stdout}{run.stderr}")
    return run.stdout


def tool(servers, name, *arguments, data=None, classes=()):
    """One of Kafka's own tools."""
    name = name if name.startswith(("kafka.", "org.")) else f"org.apache.kafka.tools.{name}"
    return java(name, "--bootstrap-server", servers, *arguments, data=data, classes=classes)


def shared(nodes):
    """The servers (host:port,...) of the cluster that tests share: MARQUEE_TEST_KAFKA, a URL, or one of script/kafka, which
    whoever runs the tests ends in the end."""
    given = os.environ.get("MARQUEE_TEST_KAFKA")
    if given:
        subprocess.run([ROOT / "script/kafka", "fetch"], check=True, timeout=SECONDS_MAX)
        return given.removeprefix("kafka://")
    cluster = Cluster(f"test{nodes}")
    cluster.start(nodes)
    return cluster.servers()
