#!/usr/bin/env python3
"""Programs that are not ours publish ratings and read means, through Kafka's own tools and kcat; and Kafka's tools show the
lag that there is.

MARQUEE_BINARY names the program under test, MARQUEE_TEST_KAFKA a broker of one's own.
"""

import pathlib
import re
import secrets
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import cluster
from made_ratings import assert_counted, expected_means, made_ratings, printed_means
from publish_ratings import messages
from read_means import newest
from system import Marquee, wait_until

HERE = pathlib.Path(__file__).resolve().parent
SHARDS = 12
INCARNATION = 65537
PAGE = cluster.ROOT / "docs/kafka-interoperation.md"
SECONDS_MAX = 60


def unescape(text):
    """The bytes of what Kafka's Bytes prints: \\xNN for what is no letter."""
    return re.sub(rb"\\x([0-9A-F]{2})", lambda found: bytes([int(found.group(1), 16)]), text.encode("latin-1"))


class InteroperationTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.servers = cluster.shared(1)
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.classes = folder.name
        subprocess.run(["java", "-m", "jdk.compiler/com.sun.tools.javac.Main", "-cp", ":".join(cluster.jars()), "-d", cls.classes,
                        str(HERE / "RatingReader.java")], check=True, timeout=SECONDS_MAX)

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.prefix = f"foreign-{secrets.token_hex(4)}."
        self.marquee = Marquee(self.folder, f"kafka://{self.servers}", self.prefix)
        self.addCleanup(self.marquee.close)
        self.marquee.start_means()
        self.marquee.start_sink()
        wait_until(lambda: f"{self.prefix}mean-ratings" in self.marquee.run("topics")[1], "the topics are there")

    def publish_with_console_producer(self, lines, source="console"):
        text = "".join(f"{key.decode()} {value.hex()}\n" for key, value in messages(lines, source, INCARNATION, SHARDS))
        cluster.tool(self.servers, "ConsoleProducer", "--line-reader", "RatingReader", "--topic", f"{self.prefix}ratings", data=text,
                     classes=[self.classes])

    def shell(self, command, data):
        run = subprocess.run(["bash", "-o", "pipefail", "-c", command], input=data, capture_output=True, text=True, cwd=cluster.ROOT,
                             timeout=SECONDS_MAX, check=False)
        self.assertEqual(run.returncode, 0, run.stderr)
        return run.stdout

    def assert_counted(self, lines, repeats=0, rejected=0):
        assert_counted(self, self.marquee, lines, repeats, rejected)

    def test_RatingsOfKafkasConsoleProducerCountOnce(self):
        lines = made_ratings(3000)
        self.publish_with_console_producer(lines)
        self.assert_counted(lines)
        self.publish_with_console_producer(lines)
        self.assert_counted(lines, repeats=len(lines))

    def test_MeansAreReadWithKafkasConsoleConsumer(self):
        lines = made_ratings(3000, seed=2)
        self.publish_with_console_producer(lines)
        self.assert_counted(lines)
        text = cluster.tool(self.servers, "consumer.ConsoleConsumer", "--topic", f"{self.prefix}mean-ratings", "--from-beginning",
                            "--timeout-ms", "5000", "--formatter-property", "print.key=true", "--formatter-property",
                            "value.deserializer=org.apache.kafka.common.serialization.BytesDeserializer")
        records = [line.split("\t", 1) for line in text.splitlines() if "\t" in line]
        means = newest((key.encode(), unescape(value)) for key, value in records)
        self.assertEqual({movie: mean[1:] for movie, mean in means.items()}, expected_means(lines))

    def test_TheCommandsOfThePageWork(self):
        """docs/kafka-interoperation.md: its first command publishes, its second reads."""
        commands = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.S)
        self.assertEqual(len(commands), 2)
        publish, read = (command.replace("127.0.0.1:9092", self.servers).replace("-t ", f"-t {self.prefix}")
                         for command in commands)
        lines = made_ratings(2000, seed=3)
        file = self.folder / "ratings.csv"
        file.write_text("userId,movieId,rating,timestamp\n" + "\n".join(lines) + "\n")
        publish = publish.replace("ratings.csv", str(file))
        self.shell(publish, "")
        self.assert_counted(lines)
        self.shell(publish, "")
        self.assert_counted(lines, repeats=len(lines))
        self.assertEqual(self.shell(read, "").splitlines(), printed_means(lines))

    def test_RatingsInTheShardOfAnotherPartitionerAreDeadLetters(self):
        lines = made_ratings(600, seed=4)
        text = b"".join(key + b"<key ends>" + value + b"<message ends>"
                        for key, value in messages(lines, "kcat", INCARNATION, SHARDS))
        cluster.kcat(self.servers, "-P", "-t", f"{self.prefix}ratings", "-X", "topic.partitioner=consistent", "-K", "<key ends>",
                     "-D", "<message ends>", data=text)
        report = self.marquee.audit()
        self.assertEqual(report["differing_movies"], [])
        # A misplaced one whose number was seen in that shard before counts as a repeat: none is counted wrongly.
        self.assertEqual(report["ratings_from_topic"] + report["rejected"] + report["repeats_dropped"], len(lines))
        self.assertGreater(report["rejected"], len(lines) // 4)

    def lag_that_kafka_shows(self):
        """Of each shard of `ratings`, what ConsumerGroupCommand says of meanratingproducer."""
        text = cluster.tool(self.servers, "consumer.group.ConsumerGroupCommand", "--describe", "--group",
                            f"{self.prefix}meanratingproducer")
        lags = {}
        for line in text.splitlines():
            words = line.split()
            if len(words) > 5 and words[1] == f"{self.prefix}ratings":
                lags[int(words[2])] = words[5]
        return lags

    def lag_that_we_show(self):
        groups = {group["group"]: group for group in self.marquee.json("groups")}
        return {shard["shard"]: str(shard["lag"]) for shard in groups[f"{self.prefix}meanratingproducer"]["shards"]
                if shard["topic"] == f"{self.prefix}ratings"}

    def test_KafkasToolsShowTheLag(self):
        lines = made_ratings(2000, seed=5)
        self.publish_with_console_producer(lines)
        self.assert_counted(lines)
        none = {shard: "0" for shard in range(SHARDS)}
        wait_until(lambda: self.lag_that_kafka_shows() == none, "no lag where all is read")
        self.assertEqual(self.marquee.stop("means"), 0, self.marquee.log("means"))
        more = made_ratings(500, seed=6)
        self.publish_with_console_producer(more, source="later")
        lags = self.lag_that_kafka_shows()
        self.assertEqual(sum(int(lag) for lag in lags.values()), len(more))
        self.assertEqual(self.lag_that_we_show(), lags)
        self.marquee.start_means()
        wait_until(lambda: self.lag_that_kafka_shows() == none, "no lag after it has read on")
        self.assert_counted(lines + more)


if __name__ == "__main__":
    unittest.main(verbosity=2)
