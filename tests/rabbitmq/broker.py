"""A broker of RabbitMQ of one test alone, from nothing, gone with it."""

import json
import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

sys.path.insert(0, str(ROOT / "tests/kafka"))
sys.path.insert(0, str(ROOT / "tests/kafka/interoperation"))
sys.path.insert(0, str(ROOT / "tests/kafka/security"))

from cluster import ClusterError, RabbitmqCluster
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

    def log(self, node=1):
        return "".join(path.read_text(errors="replace") for path in self.data().glob(f"node-{node}/log/*.log"))

    def data(self):
        return pathlib.Path(self.run("data"))

    def signal(self, node, number):
        os.kill(int((self.data() / f"node-{node}/pid").read_text().split()[0]), number)

    def cut_off(self, node):
        """From the others, all at once: it no longer takes their word, nor they its."""
        self.of_others(node, "erlang:set_cookie(Node, wrong), erlang:disconnect_node(Node)")

    def join_again(self, node):
        cookie = (self.data() / "cookie").read_text().strip()
        self.of_others(node, f"erlang:set_cookie(Node, '{cookie}'), net_kernel:connect_node(Node)")

    def of_others(self, node, expression):
        """Lets the node evaluate an expression of Erlang's for each other Node."""
        others = ", ".join(f"'r{other}@localhost'" for other in range(1, self.nodes + 1) if other != node)
        self.run("ctl", "--node", str(node), "-q", "eval", f"[begin {expression} end || Node <- [{others}]].")

    def running_nodes(self, node=1):
        """How many there are by the word of this one; 0: it does not say."""
        try:
            return len(json.loads(self.run("ctl", "--node", str(node), "-q", "cluster_status", "--formatter", "json"))["running_nodes"])
        except (ClusterError, json.JSONDecodeError):
            return 0


class System(Marquee):
    """Of few shards."""

    def __init__(self, folder, url, prefix, settings=()):
        super().__init__(folder, url, prefix, settings)
        self.environment["MARQUEE_SHARDS"] = str(SHARDS)
