#!/usr/bin/env python3
"""A log that the broker lost is a clear error, and never a wrong mean: topics made anew, records cut away.

MARQUEE_BINARY names the program under test, MARQUEE_TEST_KAFKA a broker of one's own.
"""

import json
import pathlib
import secrets
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "interoperation"))

import cluster
import system
from publish_ratings import messages

SHARDS = 12
MOVIES = 300
RATINGS = 4000
ENDS_SECONDS_MAX = 60


class LostLogTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.servers = cluster.shared(1)

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.prefix = f"lost-{secrets.token_hex(4)}."
        self.ratings = f"{self.prefix}ratings"
        self.marquee = system.Marquee(self.folder, f"kafka://{self.servers}", self.prefix)
        self.addCleanup(self.marquee.close)
        self.file = self.folder / "made/ratings.csv"
        subprocess.run([system.binary(), "generate", "--ratings", str(RATINGS), "--movies", str(MOVIES), "--seed", "1", "--out",
                        str(self.file.parent)], check=True, capture_output=True, timeout=60)

    def fill(self):
        """A system that has read everything, written it down, and ended."""
        self.marquee.start_means()
        self.marquee.start_sink()
        code, _, error = self.marquee.run("ratingproducer", "--source", "file", "--ratings", str(self.file))
        self.assertEqual(code, 0, error)
        report = self.marquee.audit(f"file={self.file}")
        self.assertEqual((report["ok"], report["ratings_expected"]), (True, RATINGS), report)
        for service in ("means", "sink"):
            self.assertEqual(self.marquee.stop(service), 0, self.marquee.log(service))

    def topic_settings(self, topic):
        text = cluster.tool(self.servers, "TopicCommand", "--describe", "--topic", topic).splitlines()[0]
        return text.split("Configs: ")[1].split(",")

    def wait_until_gone(self, topic):
        system.wait_until(lambda: topic not in [known["topic"] for known in self.marquee.json("topics")], "the topic is gone")

    def make_again(self, topic):
        settings = [word for setting in self.topic_settings(topic) if setting for word in ("--config", setting)]
        cluster.tool(self.servers, "TopicCommand", "--delete", "--topic", topic)
        self.wait_until_gone(topic)
        cluster.tool(self.servers, "TopicCommand", "--create", "--topic", topic, "--partitions", str(SHARDS), *settings)

    def refill(self, ratings):
        text = b"".join(key + b"<key ends>" + value + b"<message ends>" for key, value in messages(
            (f"{n},{n % MOVIES + 1},3.5,1600000000" for n in range(ratings)), "other", 65537, SHARDS))
        cluster.kcat(self.servers, "-P", "-t", self.ratings, "-X", "topic.partitioner=murmur2_random", "-K", "<key ends>", "-D",
                     "<message ends>", data=text)

    def ends(self):
        """The first of Kafka's offsets that each shard of `ratings` does not hold."""
        [topic] = [topic for topic in self.marquee.json("topics") if topic["topic"] == self.ratings]
        return {shard["shard"]: shard["end"] >> 16 for shard in topic["shards"]}

    def cut(self, offsets):
        """What kafka-delete-records does: nothing below these offsets is left."""
        partitions = [{"topic": self.ratings, "partition": shard, "offset": offset} for shard, offset in offsets.items()]
        file = self.folder / "cut.json"
        file.write_text(json.dumps({"version": 1, "partitions": partitions}))
        cluster.tool(self.servers, "DeleteRecordsCommand", "--offset-json-file", str(file))

    def means(self):
        return cluster.kcat(self.servers, "-C", "-t", f"{self.prefix}mean-ratings", "-o", "beginning", "-e", "-f", "%p %o %k\n")

    def assert_ends_with(self, name, process, *words):
        system.wait_until(lambda: process.poll() is not None, f"{name} ends: {self.marquee.log(name)}", ENDS_SECONDS_MAX)
        self.assertEqual(process.returncode, 1)
        for word in words:
            self.assertIn(word, self.marquee.log(name).splitlines()[-1])

    def test_RatingsThatWereMadeAnewAreNotTakenForTheFormerOnes(self):
        self.fill()
        before = self.means()
        self.make_again(self.ratings)
        self.assert_ends_with("means", self.marquee.start_means(), self.ratings)
        self.refill(3 * RATINGS)
        self.assert_ends_with("means", self.marquee.start_means(), self.ratings, "the checkpoint is of the topic")
        self.assertEqual(self.means(), before)

    def test_MeansThatWereMadeAnewAreNotTakenForTheFormerOnes(self):
        self.fill()
        self.make_again(f"{self.prefix}mean-ratings")
        self.assert_ends_with("sink", self.marquee.start_sink(), "the catalogue was filled from another log")

    def test_RecordsThatWereCutBelowTheCheckpointAreNotMissed(self):
        self.fill()
        self.cut({shard: end - 1 for shard, end in self.ends().items()})
        self.marquee.start_means()
        self.marquee.start_sink()
        groups = f"{self.prefix}meanratingproducer"

        def all_owned():
            shards = [shard for group in self.marquee.json("groups") if group["group"] == groups for shard in group["shards"]
                      if shard["topic"] == self.ratings]
            return len(shards) == SHARDS and all(shard["member"] for shard in shards)
        system.wait_until(all_owned, "the shards are owned")
        for service in ("means", "sink"):
            self.assertEqual(self.marquee.stop(service), 0, self.marquee.log(service))

    def test_RecordsThatWereCutBeyondTheCheckpointAreAnError(self):
        self.fill()
        self.refill(RATINGS)
        before = self.means()
        self.cut(self.ends())
        self.assert_ends_with("means", self.marquee.start_means(), self.ratings)
        self.assertEqual(self.means(), before)

    def test_WithoutACheckpointALogThatWasCutIsRefused(self):
        self.fill()
        cluster.tool(self.servers, "TopicCommand", "--delete", "--topic", f"{self.prefix}mean-ratings-checkpoints")
        self.wait_until_gone(f"{self.prefix}mean-ratings-checkpoints")
        self.cut({shard: 1 for shard in range(SHARDS)})
        self.assert_ends_with("means", self.marquee.start_means(), self.ratings)


if __name__ == "__main__":
    unittest.main(verbosity=2)
