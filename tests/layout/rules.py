"""What the tree may look like: the layers of the design, and who may use which library.

A folder that is not named here belongs to the nearest one above it that is. Folders and libraries are added here when
they are added to the tree; the reasons stand beside what is not obvious.
"""

import re

# Folder: what of ours its code may include beside itself.
LAYERS = {
    "base": set(),
    "base/sqlite": {"base"},
    "proto": set(),
    "messaging": {"base"},
    "messaging/memory": {"base", "messaging"},
    "messaging/kafka": {"base", "messaging"},
    "messaging/rabbitmq": {"base", "messaging"},
    "messaging/sqlite": {"base", "base/sqlite", "messaging"},
    "messaging/conformance": {"base", "messaging"},
    "messaging/open": {"base", "messaging", "messaging/kafka", "messaging/memory", "messaging/rabbitmq", "messaging/sqlite"},
    "domain": {"base", "proto"},
    "sources": {"base", "domain"},
    "catalogue": {"base", "domain"},
    "catalogue/sqlite": {"base", "base/sqlite", "domain", "catalogue"},
    "http": {"base", "domain", "catalogue"},
    "services": {"base", "domain", "messaging", "sources", "catalogue", "http", "proto"},
    "cli": {"base", "domain", "messaging", "messaging/open", "sources", "catalogue", "catalogue/sqlite", "http",
            "services", "proto"},
}

# These see everything: what crosses modules is tested and measured there.
TOP = {"tests", "bench"}

# Folder: what its tests may include as well. memory: is there for tests; the suite is a library of tests.
TEST_LAYERS = {
    "messaging/memory": {"messaging/conformance"},
    "messaging/kafka": {"messaging/conformance"},
    "messaging/rabbitmq": {"messaging/conformance"},
    "messaging/sqlite": {"messaging/conformance"},
    "messaging/conformance": {"messaging/memory", "messaging/open", "messaging/sqlite"},
    "http": {"catalogue/sqlite"},
    "services": {"messaging/memory", "messaging/open", "catalogue/sqlite", "base/sqlite"},
    "cli": {"messaging/memory"},
}

# Folders that hold tests and what tests are made of, and nothing that is shipped.
TEST_FOLDERS = {"tests", "bench", "messaging/conformance"}


class Library:
    """Who may include headers of a library. One that is heavy to compile does not leave the folder that uses it."""

    def __init__(self, folders, heavy=False, reason=""):
        self.folders = folders
        self.heavy = heavy
        self.reason = reason


# Beginning of an included header, as a regular expression: who may include it. The first that matches holds.
LIBRARIES = {
    r"sqlite3\.h$": Library({"base/sqlite", "messaging/sqlite", "catalogue/sqlite"}),
    r"boost/(beast|asio)": Library({"http", "bench", "tests"}, heavy=True),
    r"boost/json": Library({"http", "cli", "bench", "tests"}),
    r"boost/": Library(set(), reason="Beast, Asio and JSON are all of Boost that is used"),
    r"google/protobuf/|.*\.pb\.h": Library({"domain", "services", "proto", "cli", "bench", "tests"}, heavy=True),
    r"prometheus/": Library({"services", "http", "cli", "bench", "tests"}),
    r"CLI/": Library({"cli", "bench", "tests"}),
    r"toml\+\+/": Library({"cli"}),
    r"spdlog/": Library({"base", "messaging", "messaging/kafka", "messaging/rabbitmq", "messaging/sqlite", "http", "services",
                        "cli", "bench", "tests"}),
    r"librdkafka/": Library({"messaging/kafka", "bench"}, heavy=True),
    r"rabbitmq-c/|amqp(_ssl_socket|_tcp_socket)?\.h": Library({"messaging/rabbitmq", "bench"}, heavy=True),
    r"libpq-fe\.h": Library(set(), reason="not a dependency of this release"),
    r"absl/synchronization/": Library(set(), reason="built by Debian without TSan's hooks; use base/mutex.h"),
    r"(mutex|condition_variable|shared_mutex)$": Library({"base"}, reason="use base/mutex.h, which the compiler checks"),
    r"absl/time/clock\.h": Library({"base", "bench", "tests"}, reason="time comes from a Clock (base/clock.h)"),
}

# Headers that a folder may not include although LIBRARIES would allow them.
FORBIDDEN = {
    "domain": r"(thread|fstream|filesystem|chrono|unistd\.h|fcntl\.h|base/clock\.h|spdlog/.*)$",
}

# Frameworks of tests.
TEST_LIBRARIES = r"(gtest|gmock|benchmark)/"

# The only hosts with a dot that a file of the tree may name in a URL: this machine, examples, and where the licence,
# the standards and the data set that are spoken of can be read.
HOSTS = {"127.0.0.1", "0.0.0.0", "example.com", "example.org", "www.apache.org", "keepachangelog.com", "semver.org",
         "www.w3.org", "maven.apache.org", "www.rfc-editor.org", "spec.openapis.org", "json-schema.org", "grouplens.org",
         "files.grouplens.org"}
URL = re.compile(r"\b[a-z][a-z0-9+.-]*://(?:[^/\s\"'@<>]*@)?(\[[0-9a-f:]*\]|[A-Za-z0-9.-]*[A-Za-z0-9])")

# Registries are never named, in a URL or without one. (In halves, so that this file does not name them either.)
REGISTRIES = re.compile("|".join(re.escape(a + b) for a, b in [
    ("pypi.", "org"), ("pythonhosted.", "org"), ("crates.", "io"), ("npmjs.", "org"), ("npmjs.", "com"),
    ("golang.", "org"), ("repo1.", "maven"), ("repo.", "maven"), ("sonatype.", "org"), ("debian.", "org"),
    ("docker.", "io"), ("ghcr.", "io")]))

# Absolute paths of one machine, and paths that leave the tree.
OUTSIDE = re.compile(r"(?<![\w.])/(?:work|root|home|opt|mnt|Users)/|(?:\.\./)+shared/|(?<![\w/.])shared/data/")

# A test that waits for time is slow or wrong: it waits for events, or moves a ManualClock.
SLEEP = re.compile(r"\bsleep_for\b|\bsleep_until\b|\babsl::SleepFor\b|(?<![\w.>])(?:u|nano)?sleep\s*\(")
