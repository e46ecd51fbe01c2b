"""The services as processes: what is started, stopped and killed."""

import collections
import os
import pathlib
import re
import signal
import subprocess
import time


# The byte of a SQLite database's -shm file whose lock the one writer of its write-ahead log holds.
WAL_WRITE_LOCK_BYTE = "120"
BETWEEN_WRITES_SECONDS_MAX = 30


class Failure(Exception):
    """Something that had to hold did not."""


def crash_points(sources):
    """The names in the sources, by the service whose code they stand in."""
    points = collections.defaultdict(list)
    for path in sorted(pathlib.Path(sources, "services").glob("*.cc")):
        for name in re.findall(r'MARQUEE_CRASH_POINT\("([^"]+)"\)', path.read_text()):
            points[name.split(".")[0]].append(name)
    return points


class Process:
    """One service, started again and again with the same arguments."""

    def __init__(self, world, name, points, *arguments, finishes=False):
        self.world, self.name, self.points, self.arguments = world, name, points, arguments
        self.popen = None
        self.finishes = finishes  # by itself, with its input
        self.wanted = True  # by start_what_ended

    def start(self, crash_at=None):
        environment = dict(os.environ, MARQUEE_LOG_LEVEL="warn")
        environment.pop("MARQUEE_CRASH_AT", None)
        if crash_at:
            environment["MARQUEE_CRASH_AT"] = crash_at
        log = open(self.log(), "ab")
        self.popen = subprocess.Popen([self.world.marquee, *self.arguments, *self.world.broker.arguments(self.name)],
                                      stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        log.close()

    def log(self):
        return self.world.folder / f"{self.name}.log"

    def running(self):
        return self.popen is not None and self.popen.poll() is None

    def finished(self):
        return self.finishes and self.popen is not None and self.popen.poll() == 0

    def signal(self, number):
        if self.running():
            self.popen.send_signal(number)

    def stop_between_writes(self):
        """SIGSTOP, but not within a transaction on the embedded log: SQLite's write lock is its process's, alive or stopped,
        and nobody else can write to that topic until it goes on."""
        until = time.monotonic() + BETWEEN_WRITES_SECONDS_MAX
        while self.running():
            self.signal(signal.SIGSTOP)
            os.waitid(os.P_PID, self.popen.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            if not self.is_writing():
                return
            self.signal(signal.SIGCONT)
            if time.monotonic() > until:
                raise Failure(f"{self.name} was never seen between two writes within {BETWEEN_WRITES_SECONDS_MAX} s")
            time.sleep(0.005)

    def is_writing(self):
        """Whether it holds the write lock of a SQLite database."""
        # NUMBER: POSIX ADVISORY WRITE PID DEVICE:INODE FIRST LAST; one that is waited for has "->" after the number
        locks = (line.split() for line in pathlib.Path("/proc/locks").read_text(encoding="ascii").splitlines())
        return ["POSIX", "WRITE", str(self.popen.pid), WAL_WRITE_LOCK_BYTE] in (
            [lock[1], *lock[3:5], lock[-2]] for lock in locks)

    def kill(self):
        if not self.running():
            return False
        self.popen.kill()
        self.popen.wait()
        return True

    def drain(self, seconds_max):
        """A clean end, as SIGTERM asks for it."""
        self.signal(signal.SIGTERM)
        try:
            self.popen.wait(seconds_max)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name} did not end within {seconds_max} s after SIGTERM:\n{self.tail()}") from None
        if self.popen.returncode != 0:
            raise Failure(f"{self.name} was asked to end and ended with {self.popen.returncode}:\n{self.tail()}")

    def tail(self):
        return self.log().read_text(errors="replace")[-1500:]

    def ended_well_or_killed(self):
        """Raises where the process ended by itself with an error."""
        code = self.popen.poll() if self.popen else None
        if code is not None and code not in (0, -signal.SIGKILL):
            raise Failure(f"{self.name} ended with {code}:\n{self.tail()}")
