"""The program under test: commands, and services as processes."""

import json
import os
import pathlib
import signal
import subprocess
import time

COMMAND_SECONDS_MAX = 120
WAIT_SECONDS_MAX = 60


def binary():
    return os.environ["MARQUEE_BINARY"]


def wait_until(holds, what, seconds_max=WAIT_SECONDS_MAX):
    deadline = time.monotonic() + seconds_max
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds_max} s: {what}")
        time.sleep(0.1)


class Marquee:
    """Commands and services on one broker, with a topic prefix of their own; remembers all that they print."""

    def __init__(self, folder, url, prefix, settings=()):
        self.folder = pathlib.Path(folder)
        self.prefix = prefix
        self.environment = dict(os.environ, MARQUEE_BROKER=url, MARQUEE_TOPIC_PREFIX=prefix)
        self.settings = [word for setting in settings for word in ("--set", setting)]
        self.services = {}
        self.printed = []

    def run(self, *arguments, data=None, environment=None):
        """(exit code, standard output, standard error) of a command."""
        run = subprocess.run([binary(), *arguments, *self.settings], input=data, capture_output=True, text=True,
                             stdin=subprocess.DEVNULL if data is None else None, timeout=COMMAND_SECONDS_MAX, check=False,
                             env=self.environment | (environment or {}))
        self.printed.append(run.stdout + run.stderr)
        return run.returncode, run.stdout, run.stderr

    def json(self, *arguments, codes=(0,)):
        code, output, error = self.run(*arguments, "-o", "json")
        if code not in codes:
            raise AssertionError(f"marquee {' '.join(arguments)} ended with {code}: {output}{error}")
        return json.loads(output)

    def start(self, name, *arguments):
        with open(self.folder / f"{name}.log", "ab") as log:
            self.services[name] = subprocess.Popen([binary(), *arguments, *self.settings], stdin=subprocess.DEVNULL, stdout=log,
                                                   stderr=log, env=self.environment)
        return self.services[name]

    def start_means(self, name="means"):
        return self.start(name, "meanratingproducer", "--session-timeout-ms", "3000", "--checkpoint-interval-ms", "300")

    def start_sink(self, name="sink"):
        return self.start(name, "moviedatasink", "--data", str(self.folder / name))

    def log(self, name):
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def stop(self, name, number=signal.SIGTERM):
        """Its exit code."""
        process = self.services.pop(name)
        process.send_signal(number)
        return process.wait(COMMAND_SECONDS_MAX)

    def close(self):
        for process in self.services.values():
            process.kill()
            process.wait()
        self.services.clear()

    def audit(self, *files, sink="sink"):
        """The report of the audit, once everything is visible."""
        arguments = [word for file in files for word in ("--ratings", file)]
        report = {}

        def is_visible():
            nonlocal report
            code, output, error = self.run("audit", "--data", str(self.folder / sink), *arguments, "-o", "json")
            if "no catalogue here" in error:
                return False  # the sink has only begun
            if code not in (0, 3):
                raise AssertionError(f"the audit ended with {code}: {output}{error}")
            report = json.loads(output)
            return not any("not visible yet" in other for other in report["other_differences"])
        wait_until(is_visible, f"everything is visible: {report}")
        return report
