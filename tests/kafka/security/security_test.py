#!/usr/bin/env python3
"""TLS, logging in and client certificates, each against a real broker with the right and with the wrong secret; and that no
secret is printed.

A node with a listener for each kind is started for this test alone. MARQUEE_BINARY names the program under test.
"""

import concurrent.futures
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from certificates import Authority
from cluster import Cluster
from system import Marquee, wait_until

# Told apart from whatever else is printed; with characters that a URL has to escape.
PASSWORDS = {"plain": "pw-5eed-plain/@:%", "scram256": "pw-5eed-256", "scram512": "pw-5eed-512", "key": "pw-5eed-key"}
WRONG = "pw-5eed-wrong"
# A refusal is not waited out as a broker that is away is.
REFUSED_SECONDS_MAX = 15
LISTENERS = "TLS:SSL,ELSEWHERE:SSL,MUTUAL:SSL,LOGIN:SASL_SSL,OPENLOGIN:SASL_PLAINTEXT"


def properties(folder, authority):
    here = authority.issue_store("here", "IP:127.0.0.1,DNS:localhost")
    elsewhere = authority.issue_store("elsewhere", "DNS:elsewhere.example.com")
    lines = ["ssl.keystore.type=PEM", "ssl.truststore.type=PEM", f"ssl.truststore.location={authority.certificate}",
             f"ssl.keystore.location={here}", f"listener.name.elsewhere.ssl.keystore.location={elsewhere}",
             "listener.name.elsewhere.ssl.keystore.type=PEM", "listener.name.mutual.ssl.client.auth=required",
             "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512"]
    modules = "org.apache.kafka.common.security"
    for listener in ("login", "openlogin"):
        for mechanism in ("scram-sha-256", "scram-sha-512"):
            lines.append(f"listener.name.{listener}.{mechanism}.sasl.jaas.config={modules}.scram.ScramLoginModule required;")
        lines.append(f"listener.name.{listener}.plain.sasl.jaas.config={modules}.plain.PlainLoginModule required "
                     f'user_plain="{PASSWORDS["plain"]}";')
    file = folder / "listeners.properties"
    file.write_text("\n".join(lines) + "\n")
    return file


class SecurityTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        cls.authority, cls.stranger = Authority(folder.name, "authority"), Authority(folder.name, "stranger")
        cls.cluster = Cluster(f"security-{os.getpid()}")
        cls.addClassCleanup(cls.cluster.wipe)
        cls.cluster.start(1, "--listeners", LISTENERS, "--properties", str(properties(cls.folder, cls.authority)))
        for user, mechanism in (("scram256", "SCRAM-SHA-256"), ("scram512", "SCRAM-SHA-512")):
            cls.cluster.tool("kafka.admin.ConfigCommand", "--alter", "--entity-type", "users", "--entity-name", user,
                             "--add-config", f"{mechanism}=[password={PASSWORDS[user]}]")

    def marquee(self, listener, *settings, user="", scheme="kafkas"):
        servers = self.cluster.servers(listener)
        marquee = Marquee(self.folder, f"{scheme}://{user}{servers}", "secure.", settings)
        self.addCleanup(lambda: self.assert_no_secret(marquee))
        self.addCleanup(marquee.close)
        return marquee

    def assert_no_secret(self, marquee):
        texts = marquee.printed + [log.read_text(errors="replace") for log in self.folder.glob("*.log")]
        for text in texts:
            self.assertNotIn("5eed", text)

    def password_file(self, password):
        file = self.folder / "password"
        file.write_text(password + "\n")
        file.chmod(0o600)
        return f"kafka.password_file={file}"

    def ca(self, authority=None):
        return f"kafka.ca_file={(authority or self.authority).certificate}"

    def login(self, user, mechanism, password):
        return [self.ca(), f"kafka.username={user}", f"kafka.sasl_mechanism={mechanism}", self.password_file(password)]

    def assert_connects(self, marquee):
        code, _, error = marquee.run("topics", "--log-level", "debug")
        self.assertEqual(code, 0, error)

    def assert_refused(self, marquee, *words, by_us=False):
        """By the broker; or before it is asked, as wrong usage."""
        began = time.monotonic()
        code, output, error = marquee.run("topics", "--log-level", "debug")
        self.assertEqual((code, output), (2 if by_us else 1, ""), error)
        self.assertLess(time.monotonic() - began, REFUSED_SECONDS_MAX)
        for word in words:
            self.assertIn(word, error)

    def test_TlsWithTheBrokersAuthorityConnects(self):
        self.assert_connects(self.marquee("TLS", self.ca()))

    def test_TlsWithAnotherAuthorityIsRefused(self):
        self.assert_refused(self.marquee("TLS", self.ca(self.stranger)), "certificate", "kafka.ca_file")

    def test_TlsWithTheSystemsAuthoritiesIsRefused(self):
        self.assert_refused(self.marquee("TLS"), "certificate")

    def test_TlsToABrokerOfAnotherNameIsRefused(self):
        self.assert_refused(self.marquee("ELSEWHERE", self.ca()), "certificate")

    def test_TheNameIsNotCheckedWhereThatIsTold(self):
        self.assert_connects(self.marquee("ELSEWHERE", self.ca(), "kafka.verify_hostname=false"))

    def test_AnAuthorityThatCannotBeReadIsAnError(self):
        self.assert_refused(self.marquee("TLS", f"kafka.ca_file={self.folder}/nothing"), "ssl.ca.location", by_us=True)

    def test_EveryMechanismTakesTheRightPasswordAndNotAWrongOne(self):
        for user, mechanism in (("plain", "PLAIN"), ("scram256", "SCRAM-SHA-256"), ("scram512", "SCRAM-SHA-512")):
            with self.subTest(mechanism):
                self.assert_connects(self.marquee("LOGIN", *self.login(user, mechanism, PASSWORDS[user])))
                self.assert_refused(self.marquee("LOGIN", *self.login(user, mechanism, WRONG)), "kafka.sasl_mechanism")
                self.assert_refused(self.marquee("LOGIN", *self.login("nobody", mechanism, PASSWORDS[user])))

    def test_AUserInTheUrlLogsIn(self):
        escaped = "".join(f"%{byte:02x}" for byte in PASSWORDS["plain"].encode())
        self.assert_connects(self.marquee("LOGIN", self.ca(), "kafka.sasl_mechanism=PLAIN", user=f"plain:{escaped}@"))
        self.assert_refused(self.marquee("LOGIN", self.ca(), "kafka.sasl_mechanism=PLAIN", user=f"plain:{WRONG}@"))

    def test_APasswordOverPlaintextIsRefusedUnlessTold(self):
        login = ["kafka.username=scram512", self.password_file(PASSWORDS["scram512"])]
        self.assert_refused(self.marquee("OPENLOGIN", *login, scheme="kafka"), "kafkas://", "not encrypted", by_us=True)
        self.assert_refused(self.marquee("OPENLOGIN", user=f"scram512:{PASSWORDS['scram512']}@", scheme="kafka"), "kafkas://",
                            by_us=True)
        self.assert_connects(self.marquee("OPENLOGIN", *login, "kafka.allow_plaintext_password=true", scheme="kafka"))

    def test_AClientCertificateOfTheAuthorityConnects(self):
        self.assert_connects(self.marquee("MUTUAL", *self.certificate_of(self.authority)))

    def certificate_of(self, authority):
        key, certificate = authority.issue("client-" + authority.name)
        return [self.ca(), f"kafka.certificate_file={certificate}", f"kafka.key_file={key}"]

    def test_WhoTheBrokerClosesTheConnectionOnGetsNowhere(self):
        """Without a log-in where one is wanted, with the certificate of another authority, without any. The client cannot
        tell that from a broker that is away, and waits; so all three at once."""
        refused = [self.marquee("LOGIN", self.ca()), self.marquee("MUTUAL", *self.certificate_of(self.stranger)),
                   self.marquee("MUTUAL", self.ca())]
        with concurrent.futures.ThreadPoolExecutor(len(refused)) as pool:
            for code, output, error in pool.map(lambda marquee: marquee.run("topics"), refused):
                self.assertEqual((code, output), (1, ""), error)
                self.assertIn("last heard", error)

    def test_TheKeyOfACertificateMayHaveAPassword(self):
        key, certificate = self.authority.issue("client-locked", password=PASSWORDS["key"])
        files = [self.ca(), f"kafka.certificate_file={certificate}", f"kafka.key_file={key}"]
        self.assert_connects(self.marquee("MUTUAL", *files, f"kafka.key_password={PASSWORDS['key']}"))
        self.assert_refused(self.marquee("MUTUAL", *files, f"kafka.key_password={WRONG}"), "ssl.key.location", by_us=True)

    def test_NoServiceShowsItsPasswordToTheSystem(self):
        marquee = self.marquee("LOGIN", *self.login("scram512", "SCRAM-SHA-512", PASSWORDS["scram512"]))
        process = marquee.start("means", "meanratingproducer", "--log-level", "debug")
        wait_until(lambda: process.poll() is not None or "secure.ratings" in marquee.run("topics")[1], "the service runs")
        self.assertIsNone(process.poll(), marquee.log("means"))
        for file in ("cmdline", "comm", "status"):
            self.assertNotIn(b"5eed", pathlib.Path(f"/proc/{process.pid}/{file}").read_bytes())
        self.assertEqual(marquee.stop("means"), 0, marquee.log("means"))

    def test_TheSettingsAreShownWithoutSecrets(self):
        marquee = self.marquee("LOGIN", f"kafka.password={PASSWORDS['plain']}", f"kafka.key_password={PASSWORDS['key']}",
                               user=f"plain:{WRONG}@")
        code, output, error = marquee.run("config", "show")
        self.assertEqual(code, 0, error)
        self.assertIn("kafka.password", output)

    def test_ASystemThatLogsInOverTlsIsExact(self):
        marquee = self.marquee("LOGIN", *self.login("scram256", "SCRAM-SHA-256", PASSWORDS["scram256"]))
        made = self.folder / "movielens"
        subprocess.run([os.environ["MARQUEE_BINARY"], "generate", "--ratings", "20000", "--movies", "500", "--seed", "1", "--out",
                        str(made)], check=True, capture_output=True, timeout=60)
        code, _, error = marquee.run("run", "--once", "--movielens", str(made), "--data", str(self.folder / "data"), "--listen",
                                     "127.0.0.1:0", "--topic-prefix", "exact.")
        self.assertEqual(code, 0, error)
        report = marquee.json("audit", "--data", str(self.folder / "data"), "--ratings", f"movielens={made}/ratings.csv",
                              "--topic-prefix", "exact.")
        self.assertEqual((report["ok"], report["ratings_expected"]), (True, 20000))


if __name__ == "__main__":
    unittest.main(verbosity=2)
