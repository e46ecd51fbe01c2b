#!/usr/bin/python3
"""TLS, passwords, client certificates and permissions, each against a real broker with the right and with the wrong one; and that
no secret is printed.

A node with listeners for TLS is started for this test alone. MARQUEE_BINARY names the program under test.
"""

import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from broker import ROOT, WORK, Broker, System
from certificates import Authority
from system import wait_until

# Told apart from whatever else is printed; with characters that a URL has to escape.
PASSWORD = "pw-5eed-right/@:%"
WRONG = "pw-5eed-wrong"
REFUSED_SECONDS_MAX = 15
PAGE = ROOT / "docs/rabbitmq.md"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def escaped(password):
    return "".join(f"%{byte:02x}" for byte in password.encode())


def configuration(folder, authority, port):
    key, certificate = authority.issue("node", "DNS:localhost")
    lines = [f"listeners.ssl.default = 127.0.0.1:{port}", f"ssl_options.cacertfile = {authority.certificate}",
             f"ssl_options.certfile = {certificate}", f"ssl_options.keyfile = {key}", "ssl_options.verify = verify_peer",
             "ssl_options.fail_if_no_peer_cert = false", "auth_mechanisms.1 = PLAIN", "auth_mechanisms.2 = EXTERNAL",
             "ssl_cert_login_from = common_name"]
    file = folder / "tls.conf"
    file.write_text("\n".join(lines) + "\n")
    return file


class SecurityTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        WORK.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(dir=WORK, prefix="security-files-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        cls.authority, cls.stranger = Authority(folder.name, "authority"), Authority(folder.name, "stranger")
        cls.tls_port = free_port()
        cls.broker = Broker("security", "--config", str(configuration(cls.folder, cls.authority, cls.tls_port)), "--plugins",
                            "rabbitmq_auth_mechanism_ssl")
        cls.addClassCleanup(cls.broker.wipe)
        cls.broker.start()
        # As the page says it.
        for command in re.findall(r"^    rabbitmqctl (.*)$", PAGE.read_text(), re.M):
            cls.broker.ctl(*(word.strip("'").replace("PASSWORD", PASSWORD) for word in command.split()))
        cls.broker.ctl("add_user", "nothing", PASSWORD)
        cls.broker.ctl("set_permissions", "-p", "films", "nothing", "^$", "^$", "^$")
        cls.prefixes = 0

    def marquee(self, *settings, user="marquee", password=PASSWORD, vhost="films", tls=True, host="localhost", prefix=None):
        port = self.tls_port if tls else self.broker.port()
        who = f"{user}:{escaped(password)}@" if user else ""
        marquee = System(self.folder, f"{'amqps' if tls else 'amqp'}://{who}{host}:{port}/{vhost}", prefix or "secure.", settings)
        self.addCleanup(lambda: self.assert_no_secret(marquee))
        self.addCleanup(marquee.close)
        return marquee

    def assert_no_secret(self, marquee):
        for text in marquee.printed + [log.read_text(errors="replace") for log in self.folder.glob("*.log")]:
            self.assertNotIn("5eed", text)
            self.assertNotIn(escaped(PASSWORD), text)

    def ca(self, authority=None):
        return f"amqp.ca_file={(authority or self.authority).certificate}"

    def certificate_of(self, authority, name="marquee"):
        key, certificate = authority.issue(name)
        return [self.ca(), f"amqp.certificate_file={certificate}", f"amqp.key_file={key}", "amqp.authentication=external"]

    def assert_connects(self, marquee):
        code, _, error = marquee.run("topics", "--log-level", "debug")
        self.assertEqual(code, 0, error)

    def assert_refused(self, marquee, *words):
        """At once, not waited out as a broker that is away is."""
        began = time.monotonic()
        code, output, error = marquee.run("topics", "--log-level", "debug")
        self.assertIn(code, (1, 2), error)
        self.assertEqual(output, "")
        self.assertLess(time.monotonic() - began, REFUSED_SECONDS_MAX)
        for word in words:
            self.assertIn(word, error)

    def test_TlsWithTheBrokersAuthorityConnects(self):
        self.assert_connects(self.marquee(self.ca()))

    def test_TlsWithAnotherAuthorityIsRefused(self):
        self.assert_refused(self.marquee(self.ca(self.stranger)), "certificate", "amqp.ca_file")

    def test_TlsWithTheSystemsAuthoritiesIsRefused(self):
        self.assert_refused(self.marquee(), "certificate")

    def test_TlsToABrokerOfAnotherNameIsRefused(self):
        self.assert_refused(self.marquee(self.ca(), host="127.0.0.1"), "certificate")

    def test_AnAuthorityThatCannotBeReadIsAnError(self):
        self.assert_refused(self.marquee(f"amqp.ca_file={self.folder}/nothing"), "amqp.ca_file")

    def test_AWrongPasswordOrUserIsRefused(self):
        for tls in (True, False):
            settings = [self.ca()] if tls else []
            self.assert_connects(self.marquee(*settings, tls=tls))
            self.assert_refused(self.marquee(*settings, password=WRONG, tls=tls), "ACCESS_REFUSED")
            self.assert_refused(self.marquee(*settings, user="nobody", tls=tls), "ACCESS_REFUSED")

    def test_AVhostThatIsNotThereOrForbiddenIsRefused(self):
        self.assert_refused(self.marquee(tls=False, vhost="elsewhere"), "vhost", "elsewhere")
        self.assert_refused(self.marquee(tls=False, vhost="%2F"), "vhost")

    def test_AUserWithoutPermissionsIsToldWhatItMayNot(self):
        self.assert_refused(self.marquee(tls=False, user="nothing"), "ACCESS_REFUSED", "marquee.topics")

    def test_WhoIsDeprivedOfPermissionsWhileRunningIsTold(self):
        self.broker.ctl("add_user", "fleeting", PASSWORD)
        self.broker.ctl("set_permissions", "-p", "films", "fleeting", ".*", ".*", ".*")
        marquee = self.marquee(tls=False, user="fleeting", prefix="fleeting.")
        process = marquee.start_means("fleeting")
        wait_until(lambda: process.poll() is not None or marquee.run("groups")[1].count("fleeting.") > 1, "the service runs")
        self.broker.ctl("set_permissions", "-p", "films", "fleeting", "^$", "^$", "^$")
        self.broker.ctl("close_all_connections", "-p", "films", "what a channel may is remembered")
        self.assertEqual(process.wait(REFUSED_SECONDS_MAX), 1, marquee.log("fleeting"))
        self.assertIn("ACCESS_REFUSED", marquee.log("fleeting"))

    def test_AClientCertificateLogsInWithoutAPassword(self):
        self.assert_connects(self.marquee(*self.certificate_of(self.authority), user=""))

    def test_AClientCertificateOfAnotherAuthorityOrUserIsRefused(self):
        self.assert_refused(self.marquee(*self.certificate_of(self.authority, "nobody"), user=""), "ACCESS_REFUSED")
        self.assert_refused(self.marquee(self.ca(), "amqp.authentication=external", user=""), "ACCESS_REFUSED")

    def test_NoServiceShowsItsPasswordToTheSystem(self):
        marquee = self.marquee(self.ca())
        process = marquee.start("means", "meanratingproducer", "--log-level", "debug")
        wait_until(lambda: process.poll() is not None or "secure.ratings" in marquee.run("topics")[1], "the service runs")
        self.assertIsNone(process.poll(), marquee.log("means"))
        for file in ("cmdline", "comm", "status"):
            self.assertNotIn(b"5eed", pathlib.Path(f"/proc/{process.pid}/{file}").read_bytes())
        self.assertEqual(marquee.stop("means"), 0, marquee.log("means"))

    def test_TheSettingsAreShownWithoutSecrets(self):
        code, output, error = self.marquee(self.ca()).run("config", "show")
        self.assertEqual(code, 0, error)
        self.assertIn("amqp.ca_file", output)

    def exact(self, marquee, prefix):
        made = self.folder / "movielens"
        if not made.exists():
            subprocess.run([os.environ["MARQUEE_BINARY"], "generate", "--ratings", "20000", "--movies", "500", "--seed", "1", "--out",
                            str(made)], check=True, capture_output=True, timeout=60)
        data = self.folder / prefix
        code, _, error = marquee.run("run", "--once", "--movielens", str(made), "--data", str(data), "--listen", "127.0.0.1:0")
        self.assertEqual(code, 0, error)
        report = marquee.json("audit", "--data", str(data), "--ratings", f"movielens={made}/ratings.csv")
        self.assertEqual((report["ok"], report["ratings_expected"]), (True, 20000))

    def test_ASystemThatLogsInOverTlsByCertificateIsExact(self):
        self.exact(self.marquee(*self.certificate_of(self.authority), "amqp.snapshot_records=100", user="", prefix="exact."), "exact.")

    def test_ThePermissionsOfThePageSufficeAndOthersTopicsAreOutOfReach(self):
        self.exact(self.marquee("amqp.snapshot_records=100", user="tenant", tls=False, prefix="tenant."), "tenant.")
        code, _, error = self.marquee(user="tenant", tls=False, prefix="other.").run(
            "run", "--once", "--movielens", str(self.folder / "movielens"), "--data", str(self.folder / "other"), "--listen",
            "127.0.0.1:0")
        self.assertEqual(code, 1, error)
        self.assertIn("ACCESS_REFUSED", error)


if __name__ == "__main__":
    unittest.main(verbosity=2)
