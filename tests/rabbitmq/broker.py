"""A broker of RabbitMQ of one test alone, from nothing, gone with it."""

import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

sys.path.insert(0, str(ROOT / "tests/kafka"))
sys.path.insert(0, str(ROOT / "tests/kafka/interoperation"))
sys.path.insert(0, str(ROOT / "tests/kafka/security"))

from cluster import RabbitmqCluster
from system import Marquee

SHARDS = 4  # every stream takes the broker some time
WORK = ROOT / "build/rabbitmq"  # nodes of every release see what is below it


class Broker(RabbitmqCluster):
    def __init__(self, name, *arguments, nodes=1):
        """`arguments`: of script/rabbitmq start."""
        super().__init__(f"{name}-{os.getpid()}")
        self.arguments = arguments
        self.nodes = nodes

    def start(self):
        super().start(self.nodes, *self.arguments)

    def stop(self):
        self.run("stop")

    def ctl(self, *arguments):
        """What rabbitmqctl prints."""
        return self.run("ctl", "-q", *arguments)

    def hosts(self):
        """All nodes' HOST:PORT, with commas."""
        return super().url().rsplit("/", 1)[0].rsplit("@", 1)[1]

    def port(self):
        """Of the only node."""
        return int(self.hosts().rsplit(":", 1)[1])

    def url(self, user="guest", password="guest", vhost="%2F"):
        return f"amqp://{user}:{password}@{self.hosts()}/{vhost}"

    def log(self):
        return "".join(path.read_text(errors="replace") for path in pathlib.Path(self.run("data")).glob("node-1/log/*.log"))


class System(Marquee):
    """Of few shards."""

    def __init__(self, folder, url, prefix, settings=()):
        super().__init__(folder, url, prefix, settings)
        self.environment["MARQUEE_SHARDS"] = str(SHARDS)
