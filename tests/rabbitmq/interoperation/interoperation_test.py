#!/usr/bin/python3
"""Programs that are not ours publish ratings and read means over AMQP 0-9-1, with pika and with amqp-tools.

A node and a system, which publishes without packs and writes snapshots early, are started for these tests alone. MARQUEE_BINARY
names the program under test.
"""

import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import pika
from broker import ROOT, Broker, System
from made_ratings import expected_means, made_ratings, printed_means
from publish_ratings import messages, murmur2
from publish_to_rabbitmq import publish
from read_from_rabbitmq import read_means
from streams import entries, find_topic
from system import wait_until

INCARNATION = 65537
PAGE = ROOT / "docs/rabbitmq-interoperation.md"
PREFIX = "foreign."
RATINGS, MEANS = f"{PREFIX}ratings", f"{PREFIX}mean-ratings"
LARGE_BYTES = 9 << 20  # more than Marquee takes
SECONDS_MAX = 60
SILENT_SECONDS_MAX = 10


class InteroperationTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.broker = Broker("foreign")
        cls.addClassCleanup(cls.broker.wipe)
        cls.broker.start()
        cls.url = cls.broker.url()
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        cls.marquee = System(cls.folder, cls.url, PREFIX, ["amqp.pack=off", "amqp.snapshot_records=50"])
        cls.addClassCleanup(cls.marquee.close)
        cls.marquee.start_means()
        cls.marquee.start_sink()
        wait_until(lambda: MEANS in cls.marquee.run("topics")[1], "the topics are there")
        cls.lines = []  # what counts, of all tests until now

    def setUp(self):
        self.before = self.totals()
        self.source = self.id().rsplit(".", 1)[1].lower()

    def totals(self):
        """Of the topic, once everything is visible: ratings, repeats, rejected messages."""
        report = self.marquee.audit()
        self.assertEqual((report["differing_movies"], report["other_differences"]), ([], []))
        return report["ratings_from_topic"], report["repeats_dropped"], report["rejected"]

    def assert_came(self, lines=(), repeats=0, rejected=0):
        """Since the beginning of the test, or this was asked last."""
        type(self).lines = self.lines + list(lines)
        totals = self.totals()
        self.assertEqual([now - before for now, before in zip(totals, self.before)], [len(lines), repeats, rejected])
        self.before = totals

    def assert_means(self):
        """As another program reads them."""
        means = read_means(self.url, MEANS)
        self.assertEqual({movie: mean[1:] for movie, mean in means.items()}, expected_means(self.lines))

    def publish(self, lines, **more):
        publish(self.url, RATINGS, lambda shards: messages(lines, self.source, INCARNATION, shards), **more)

    def csv(self, lines):
        file = self.folder / "ratings.csv"
        file.write_text("userId,movieId,rating,timestamp\n" + "\n".join(lines) + "\n")
        return str(file)

    def shell(self, command):
        run = subprocess.run(["bash", "-c", command], stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=ROOT,
                             timeout=SECONDS_MAX, check=False)
        self.assertEqual(run.returncode, 0, run.stderr)
        return run.stdout

    def test_TheCommandsOfThePageCountOnceAndRead(self):
        """docs/rabbitmq-interoperation.md: its first command publishes, its second reads."""
        commands = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.S)
        self.assertEqual(len(commands), 2)
        lines = made_ratings(1000, seed=7)
        file = self.csv(lines)
        publish_it, read_it = (re.sub(r"amqp://\S+", self.url, command).replace(" ratings ", f" {RATINGS} ")
                               .replace("mean-ratings", MEANS).replace("<ratings.csv", f"<{file}") for command in commands)
        self.shell(publish_it)
        self.assert_came(lines)
        self.shell(publish_it)
        self.assert_came(repeats=len(lines))
        self.assertEqual(self.shell(read_it).splitlines(), printed_means(self.lines))

    def test_MeansAreReadAcrossSnapshots(self):
        epochs = self.epochs()
        for part in range(3):
            lines = made_ratings(500, seed=part + 10)
            self.source = f"snapshots-{part}"
            self.publish(lines)
            self.assert_came(lines)
        wait_until(lambda: self.epochs() > epochs, "a shard of the means begins another epoch")
        self.assert_means()

    def epochs(self):
        """Of all shards of the means together."""
        identity, shards = find_topic(self.url, MEANS)
        states = dict(entries(self.url, [f"{MEANS}.{shard}@{identity}.state" for shard in range(shards)]))
        return sum(int(words[1]) for words in states.values())

    def test_PacksAndPlainMessagesStandInOneStream(self):
        lines = made_ratings(500, seed=2)
        self.publish(lines[:300])
        packs = System(self.folder, self.url, PREFIX)
        code, _, error = packs.run("ratingproducer", "--source", "movielens", "--ratings", self.csv(lines[300:]))
        self.assertEqual(code, 0, error)
        self.publish(lines[:300])
        self.assert_came(lines, repeats=300)
        self.assert_means()

    def test_RatingsOfOursAreReadByOthersWherePacksAreOff(self):
        lines = made_ratings(400, seed=3)
        identity, shards = find_topic(self.url, RATINGS)
        with pika.BlockingConnection(pika.URLParameters(self.url)) as connection:
            channel = connection.channel()
            queue = channel.queue_declare("", exclusive=True).method.queue
            for shard in range(shards):
                channel.queue_bind(queue, f"{RATINGS}@{identity}", str(shard))
            code, _, error = self.marquee.run("ratingproducer", "--source", self.source, "--ratings", self.csv(lines))
            self.assertEqual(code, 0, error)
            keys = []
            for method, properties, _ in channel.consume(queue, auto_ack=True, inactivity_timeout=SILENT_SECONDS_MAX):
                self.assertIsNotNone(method, f"{len(keys)} of {len(lines)} came")
                key = properties.headers["marquee-key"]
                self.assertEqual(int(method.routing_key), (murmur2(key.encode()) & 0x7FFFFFFF) % shards)
                keys.append(int(key))
                if len(keys) == len(lines):
                    break
        self.assertEqual(sorted(keys), sorted(int(line.split(",")[1]) for line in lines))
        self.assert_came(lines)

    def test_AMessageIdThatComesAgainIsDroppedBeforeItIsCounted(self):
        lines = made_ratings(1, seed=4)
        for _ in range(3):
            self.publish(lines, message_id="shop-1")
        self.assert_came(lines)

    def test_RatingsInTheWrongShardAreDeadLetters(self):
        lines = made_ratings(200, seed=5)
        self.publish(lines, shard_of=lambda key, shards: (murmur2(key) + 1 & 0x7FFFFFFF) % shards)
        self.assert_came(rejected=len(lines))

    def test_WhatIsNoRatingIsADeadLetter(self):
        identity, _ = find_topic(self.url, RATINGS)
        large = self.folder / "large"
        large.write_bytes(bytes(LARGE_BYTES))
        for body in ("-b 'no rating'", f"<{large}"):
            self.shell(f"amqp-publish --url {self.url} -e {RATINGS}@{identity} -r 0 {body}")
        lines = made_ratings(100, seed=6)
        self.publish(lines)
        self.assert_came(lines, rejected=2)


if __name__ == "__main__":
    unittest.main(verbosity=2)
