"""Processes: started, watched, and ended by their id."""

import contextlib
import signal
import subprocess
import sys
from typing import NamedTuple

from paths import READY_S_MAX, ROOT


class Finished(NamedTuple):
    seconds: float
    rss_mib: float
    output: str


def say(text):
    print(text, file=sys.stderr, flush=True)


def last_line(path):
    lines = path.read_text(errors="replace").replace("\r", "\n").strip().splitlines()
    return lines[-1] if lines else ""


class Processes:
    """Starts processes, and ends by their id those that still run at the end."""

    def __init__(self):
        self.running = []

    def start(self, command, stdout, stderr):
        process = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL,
                                   stdout=stdout, stderr=stderr, cwd=ROOT)
        self.running.append(process)
        return process

    def end(self, process, with_signal=signal.SIGKILL):
        if process.poll() is None:
            process.send_signal(with_signal)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=READY_S_MAX)
        if process.poll() is None:
            process.kill()
            process.wait()
        self.running = [other for other in self.running if other is not process]
        return process.returncode

    def end_all(self):
        for process in list(self.running):
            self.end(process)
