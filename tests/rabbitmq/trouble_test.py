#!/usr/bin/python3
"""What becomes of ratings that stream in while a real broker is in trouble: nothing is lost, and whoever gives up says why.

A broker is started for this test alone. MARQUEE_BINARY names the program under test.
"""

import contextlib
import json
import pathlib
import re
import signal
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import pika
from broker import SHARDS, Broker, System
from made_ratings import made_ratings
from system import wait_until

RATINGS = 12_000
MORE_RATINGS = 4_000
RATE = 1_500
SLOW_RATE = 300  # not at its end while a broker is in trouble
AWAY_S = 15
LONG_AWAY_S = 150  # of the deadline of 60 s more than two
TICK_TIME_S = 8  # a node that is silent for longer, the others take for dead
CUT_S = 5
ALARM_S = RATINGS / RATE + 4  # all would be published by then
REFUSED_SECONDS_MAX = 20
ENDS_SECONDS_MAX = 60  # where nobody says that a consumer gets no more
MEMORY_ALARM = ("set_vm_memory_high_watermark", "0.00001")
MEMORY_ENOUGH = ("set_vm_memory_high_watermark", "0.4")


class Trouble(unittest.TestCase):
    NODES = 1
    CONFIGURATION = ""

    tests = 0

    @classmethod
    def setUpClass(cls):
        cls.broker = cls.start_broker("trouble", cls.addClassCleanup)

    @classmethod
    def start_broker(cls, name, add_cleanup):
        folder = tempfile.TemporaryDirectory()
        add_cleanup(folder.cleanup)
        configuration = pathlib.Path(folder.name) / "rabbitmq.conf"
        configuration.write_text(cls.CONFIGURATION)
        broker = Broker(name, "--config", str(configuration), nodes=cls.NODES)
        add_cleanup(broker.wipe)
        broker.start()
        return broker

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        type(self).tests += 1
        self.prefix = f"trouble-{self.tests}."
        self.file = self.folder / "ratings.csv"
        self.write_ratings(RATINGS)

    def write_ratings(self, count):
        self.count = count
        self.file.write_text("userId,movieId,rating,timestamp\n" + "\n".join(made_ratings(count)) + "\n")

    def start(self, *settings, rate=RATE):
        """Means, a catalogue, and ratings that stream in for some seconds."""
        self.start_readers(*settings)
        self.start_producer(rate)
        wait_until(self.flows, "ratings flow")

    def start_readers(self, *settings):
        self.marquee = System(self.folder, self.broker.url(), self.prefix, settings)
        self.addCleanup(self.marquee.close)
        self.marquee.start_means()
        self.marquee.start_sink()

    def start_producer(self, rate=RATE):
        self.seen = []
        self.producer = self.marquee.start("producer", *self.ratings(), "--rate", f"{rate}/s")

    def ratings(self):
        return "ratingproducer", "--source", "movielens", "--ratings", str(self.file)

    def flows(self):
        """Whether more ratings have been published than when it was asked last."""
        code, output, _ = self.marquee.run("topics", "-o", "json")
        topics = {topic["topic"]: topic for topic in json.loads(output)} if code == 0 else {}
        before, self.seen = self.seen, [shard["end"] for shard in topics.get(f"{self.prefix}ratings", {"shards": []})["shards"]]
        return len(before) == SHARDS and before != self.seen

    def assert_all_is_exact(self):
        self.assertEqual(self.producer.wait(120), 0, self.marquee.log("producer"))
        self.assert_is_exact("sink")
        for name in ("means", "sink"):
            self.assertIsNone(self.marquee.services[name].poll(), self.marquee.log(name))

    def assert_is_exact(self, sink):
        report = self.marquee.audit(f"movielens={self.file}", sink=sink)
        self.assertEqual((report["ok"], report["ratings_expected"]), (True, self.count), report)

    @contextlib.contextmanager
    def alarm(self, on, off):
        """Set from the beginning to the end, and so long that only a publisher that waits has not ended."""
        self.addCleanup(lambda: self.broker.ctl(*off))
        self.broker.ctl(*on)
        wait_until(self.has_alarm, "the alarm is set")
        yield
        time.sleep(ALARM_S)
        self.assertIsNone(self.producer.poll(), self.marquee.log("producer"))
        self.broker.ctl(*off)

    def has_alarm(self):
        log = self.broker.log()
        return log.count("limit alarm set on node") > log.count("limit alarm cleared on node")

    def away(self, seconds):
        self.start(rate=SLOW_RATE)
        self.broker.stop()
        self.assertIsNone(self.producer.poll(), self.marquee.log("producer"))
        time.sleep(seconds)
        self.broker.start()
        self.assert_all_is_exact()


class TroubleTest(Trouble):
    def test_AMemoryAlarmInMidStreamSlowsPublishersAndLosesNothing(self):
        self.start()
        with self.alarm(MEMORY_ALARM, MEMORY_ENOUGH):
            pass
        self.assert_all_is_exact()

    def test_ADiskAlarmSlowsWhoBeginsToPublishAndLosesNothing(self):
        self.start_readers()
        self.assertEqual(self.marquee.run(*self.ratings(), "--limit", "1000")[0], 0)
        with self.alarm(("set_disk_free_limit", "900000GB"), ("set_disk_free_limit", "1GB")):
            self.start_producer()
        self.assert_all_is_exact()

    def test_ABrokerThatIsAwayAndComesBackLosesNothing(self):
        self.away(AWAY_S)

    def test_WhoMissesHeartbeatsConnectsAgainAndStaysExact(self):
        self.start("amqp.heartbeat_seconds=1")
        missed = self.missed_heartbeats()
        processes = [self.producer, self.marquee.services["means"], self.marquee.services["sink"]]
        for process in processes:
            process.send_signal(signal.SIGSTOP)
        try:
            wait_until(lambda: self.missed_heartbeats() >= missed + len(processes), "the broker misses those who are silent")
        finally:
            for process in processes:
                process.send_signal(signal.SIGCONT)
        self.assert_all_is_exact()

    def missed_heartbeats(self):
        return self.broker.log().count("missed heartbeats from client")

    def test_AnEventStreamThatIsDeletedUnderneathIsSaidByItsName(self):
        self.start()
        stream = f"{self.prefix}ratings.1@{self.identity('ratings')}"
        with self.channel() as channel:
            channel.queue_delete(stream)
        self.assert_ends("producer", f"somebody else deleted its stream {stream}", REFUSED_SECONDS_MAX)
        self.assert_ends("means", f"somebody else deleted its stream {stream}")
        code, output, error = self.marquee.run("groups")
        self.assertEqual(code, 1, output)
        self.assertIn(stream, error)
        self.assertIn(f"{self.prefix}moviedatasink", output)  # the others are shown

    def test_AnExchangeThatIsDeletedUnderneathIsSaidByItsName(self):
        self.start()
        exchange = f"{self.prefix}ratings@{self.identity('ratings')}"
        with self.channel() as channel:
            channel.exchange_delete(exchange)
        self.assert_ends("producer", f"somebody else deleted its exchange {exchange}", REFUSED_SECONDS_MAX)

    def test_AnEntityStreamThatIsDeletedUnderneathIsSaidByItsName(self):
        self.start("amqp.snapshot_records=1000000")
        stream = f"{self.prefix}mean-ratings.1@{self.identity('mean-ratings')}.0"
        with self.channel() as channel:
            channel.queue_delete(stream)
        self.assert_ends("means", f"somebody else deleted its stream {stream}")
        self.assert_ends("sink", f"somebody else deleted its stream {stream}")
        code, output, error = self.marquee.run("topics")
        self.assertEqual(code, 1, output)
        self.assertIn(stream, error)
        self.assertIn(f"{self.prefix}ratings ", output)  # the others are shown

    def identity(self, topic):
        [identity] = [found["identity"] for found in self.marquee.json("topics") if found["topic"] == self.prefix + topic]
        return identity

    @contextlib.contextmanager
    def channel(self):
        with pika.BlockingConnection(pika.URLParameters(self.broker.url())) as connection:
            yield connection.channel()

    def assert_ends(self, name, words, seconds_max=ENDS_SECONDS_MAX):
        self.assertEqual(self.marquee.services[name].wait(seconds_max), 1, self.marquee.log(name))
        self.assertIn(words, self.marquee.log(name))

    def test_AMessageThatIsTooLargeForTheBrokerIsRefusedWithWhatToDo(self):
        limit = self.broker.ctl("eval", "application:get_env(rabbit, max_message_size, 134217728).")
        self.addCleanup(lambda: self.limit_messages(limit))
        marquee = System(self.folder, self.broker.url(), self.prefix)
        self.assertEqual(marquee.run(*self.ratings(), "--limit", "10")[0], 0)
        self.limit_messages(1500)
        began = time.monotonic()
        code, _, error = marquee.run(*self.ratings())
        self.assertEqual(code, 1, error)
        self.assertLess(time.monotonic() - began, REFUSED_SECONDS_MAX)
        self.assertIn("larger than configured max size", error)
        self.assertIn("max_message_size", error)

    def limit_messages(self, size):
        """As at its start: 3.10 looks at the setting, 4.0 at what it made of it."""
        self.broker.ctl("eval", f"application:set_env(rabbit, max_message_size, {size}), persistent_term:put(max_message_size, {size}).")


class ThreeNodesTest(Trouble):
    """Of them the first is in trouble: each program has connections to it."""

    NODES = 3
    CONFIGURATION = f"cluster_partition_handling = pause_minority\nnet_ticktime = {TICK_TIME_S}\n"

    @classmethod
    def setUpClass(cls):
        pass  # how well a cluster mends is RabbitMQ's affair: a broker for each test

    def setUp(self):
        super().setUp()
        self.broker = self.start_broker(f"trouble-{self.tests}", self.addCleanup)
        wait_until(lambda: self.broker.running_nodes() == self.NODES, "all nodes run")
        self.start("amqp.heartbeat_seconds=2", "amqp.snapshot_records=200", rate=SLOW_RATE)

    def assert_all_is_exact(self):
        """Also in a catalogue that is made anew of what the broker has."""
        super().assert_all_is_exact()
        self.marquee.start_sink("another")
        self.assert_is_exact("another")

    def test_ANodeThatIsCutOffFromTheOthersLosesNothing(self):
        self.broker.cut_off(1)
        wait_until(lambda: self.broker.running_nodes() == 0, "the node pauses")
        self.stays_for_a_while()
        self.broker.join_again(1)
        self.assert_goes_on()

    def test_ANodeThatHangsAndGoesOnLosesNothing(self):
        """It goes on as a cluster of its own, with queues of its own, until it is restarted."""
        self.broker.signal(1, signal.SIGSTOP)
        try:
            wait_until(self.others_take_it_for_dead, "the others take it for dead")
        finally:
            self.broker.signal(1, signal.SIGCONT)
        self.stays_for_a_while()
        self.broker.kill(1)
        self.broker.restart(1)
        self.assert_goes_on()

    def stays_for_a_while(self):
        time.sleep(CUT_S)
        self.assertIsNone(self.producer.poll(), self.marquee.log("producer"))

    def assert_goes_on(self):
        """All is exact; and so is what comes then, by which entity topics come to their next epochs."""
        super().assert_all_is_exact()
        before = self.epochs()
        self.write_ratings(RATINGS + MORE_RATINGS)
        self.start_producer()
        wait_until(lambda: any(epoch > was for epoch, was in zip(self.epochs(), before)), "entity topics stay small")
        self.assert_all_is_exact()

    def epochs(self):
        """Of each shard of the means the last of which there is a stream, by the word of the second node."""
        prefix = re.escape(f"{self.prefix}mean-ratings.")
        names = self.broker.run("ctl", "--node", "2", "-q", "list_queues", "name").split()
        found = [re.fullmatch(rf"{prefix}(\d+)@[0-9a-f]+\.(\d+)", name) for name in names]
        return [max(int(epoch[2]) for epoch in found if epoch and int(epoch[1]) == shard) for shard in range(SHARDS)]

    def others_take_it_for_dead(self):
        return all("rabbit on node r1@localhost down" in self.broker.log(node) for node in (2, 3))

    def test_ANodeThatIsLostForGoodLosesNothing(self):
        self.broker.kill(1)
        self.assertIsNone(self.producer.poll(), self.marquee.log("producer"))
        self.assert_all_is_exact()


class LongTroubleTest(Trouble):
    """Minutes: with script/test --soak."""

    def test_ABrokerThatIsAwayForMinutesAndComesBackLosesNothing(self):
        self.away(LONG_AWAY_S)
        self.assertIn("waited 1m for the broker", self.marquee.log("producer"))

    def test_WhoWaitsTooLongForAnAlarmToEndSaysSo(self):
        self.marquee = System(self.folder, self.broker.url(), self.prefix)
        few = (*self.ratings(), "--limit", "10")
        self.assertEqual(self.marquee.run(*few)[0], 0)
        self.addCleanup(lambda: self.broker.ctl(*MEMORY_ENOUGH))
        self.broker.ctl(*MEMORY_ALARM)
        code, _, error = self.marquee.run(*few)
        self.assertEqual(code, 1, error)
        self.assertIn("low on memory", error)
        self.broker.ctl(*MEMORY_ENOUGH)
        self.assertEqual(self.marquee.run(*few)[0], 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
