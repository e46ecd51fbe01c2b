"""The services as processes: what is started, stopped and killed."""

import collections
import os
import pathlib
import re
import signal
import subprocess


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
        self.popen = subprocess.Popen([self.world.marquee, *self.arguments, *self.world.broker.arguments()],
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
