#!/usr/bin/env python3
"""Executes the README: every command of its marked blocks, as it stands there, against a system started for it.

    readme_test.py README.md path/to/marquee

The word after ``sh`` in a fenced block's first line says what is done with it:

    run         executed in one shell; it has to succeed
    services    each line is a process of its own, left running, as in terminals beside each other
    eventually  as run, again and again until it succeeds and prints what is shown, or a deadline passes

A block ``text output`` that follows one of them is what it prints; "…" stands for anything. All of it runs in a scratch
folder with the data set that script/run makes. The ports of the README are replaced by free ones.
"""

import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

# As in script/run, so that the numbers are those of the README.
RATINGS, MOVIES = 1_000_000, 20_000
START_SECONDS_MAX = 60
BLOCK_SECONDS_MAX = 60
STOP_SECONDS_MAX = 30
RETRY_SECONDS = 0.2
RUN = ["run", "--data", "./data/generated", "--movielens", "./data/generated/movielens", "--listen", "127.0.0.1:8080"]


class Failure(Exception):
    pass


class Block:
    def __init__(self, line, kind, text):
        self.line, self.kind, self.text, self.output = line, kind, text, None


def blocks_of(path):
    """The marked blocks of a page, in order, each with the output that is shown after it."""
    blocks, current = [], None
    for number, line in enumerate(pathlib.Path(path).read_text().split("\n"), start=1):
        if current is None:
            match = re.match(r"```(sh|text) (run|services|eventually|output)\s*$", line)
            if match:
                current = Block(number, match.group(2), "")
        elif line.startswith("```"):
            if current.kind == "output":
                if not blocks:
                    raise Failure(f"{path}:{current.line}: output of no command")
                blocks[-1].output = current.text
            else:
                blocks.append(current)
            current = None
        else:
            current.text += line + "\n"
    return blocks


def commands_of(text):
    """The commands of a block, one for each terminal; a line that ends in a backslash goes on."""
    joined = re.sub(r"\\\n\s*", "", text)
    return [line for line in joined.split("\n") if line.strip() and not line.lstrip().startswith("#")]


def matches(expected, printed):
    pattern = "".join(".*" if part == "…" else re.escape(part) for part in re.split("(…)", expected.strip()))
    return re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None


class Ports:
    """Free ports in place of the README's, each always the same."""

    def __init__(self):
        self._ports = {}

    def replace(self, text):
        return re.sub(r"127\.0\.0\.1:(\d+)", lambda match: f"127.0.0.1:{self._free(match.group(1))}", text)

    def _free(self, shown):
        if shown not in self._ports:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self._ports[shown] = probe.getsockname()[1]
        return self._ports[shown]


class Process:
    """A process that runs beside the test, in a group of its own; what it prints is kept in a file."""

    def __init__(self, command, folder, environment, log):
        self.command, self.log = command, log
        with open(log, "wb") as out:
            self.popen = subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=out,
                                          stderr=subprocess.STDOUT, start_new_session=True)

    def printed(self):
        return pathlib.Path(self.log).read_text(errors="replace")

    def wait_for(self, words, seconds):
        """Until it has printed `words`; a failure where it ends before, or the time passes."""
        deadline = time.monotonic() + seconds
        while words not in self.printed():
            ended = self.popen.poll() is not None
            if ended and words in self.printed():
                return
            if ended or time.monotonic() > deadline:
                raise Failure(f"{self.command}: expected \"{words}\"; it printed:\n{self.printed()}")
            pause()

    def stop(self):
        """Ctrl-C, as the README has it. Its exit code."""
        if self.popen.poll() is None:
            os.killpg(self.popen.pid, signal.SIGINT)
        try:
            return self.popen.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired as error:
            self.kill()
            raise Failure(f"{self.command}: still there {STOP_SECONDS_MAX} s after Ctrl-C; it printed:\n"
                          f"{self.printed()}") from error

    def kill(self):
        try:
            os.killpg(self.popen.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.popen.wait()


def pause():
    threading.Event().wait(RETRY_SECONDS)


class Session:
    def __init__(self, readme, marquee, scratch):
        self.readme, self.marquee, self.folder = readme, marquee, pathlib.Path(scratch)
        self.ports = Ports()
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("MARQUEE_")}
        self.environment["PATH"] = f"{marquee.parent}:{self.environment['PATH']}"
        self.processes = []

    def start(self, command):
        log = self.folder / f"process-{len(self.processes)}.log"
        process = Process(command, self.folder, self.environment, log)
        self.processes.append(process)
        return process

    def start_system(self):
        process = self.start([str(self.marquee)] + [self.ports.replace(argument) for argument in RUN])
        process.wait_for("serving on http://", START_SECONDS_MAX)
        return process

    def shell(self, text):
        return subprocess.run(["bash", "-euo", "pipefail", "-c", self.ports.replace(text)], cwd=self.folder,
                              env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=BLOCK_SECONDS_MAX, check=False)

    def execute(self, block):
        where = f"{self.readme}:{block.line}"
        if block.kind == "services":
            for command in commands_of(block.text):
                self.start(["bash", "-c", "exec " + self.ports.replace(command)])
            return
        deadline = time.monotonic() + BLOCK_SECONDS_MAX
        problem = self.problem_of(block)
        while problem and block.kind == "eventually" and time.monotonic() < deadline:
            pause()
            problem = self.problem_of(block)
        if problem:
            logs = "\n".join(f"--- {process.command}\n{process.printed()}" for process in self.processes)
            raise Failure(f"{where}: {problem}\n{logs}")

    def problem_of(self, block):
        """What is wrong with running a block now; nothing where it does what it should."""
        result = self.shell(block.text)
        if result.returncode != 0:
            return f"exit code {result.returncode}\n{block.text}{result.stdout}{result.stderr}"
        if block.output is not None and not matches(block.output, result.stdout):
            return f"expected\n{block.output}\nfound\n{result.stdout}\n{result.stderr}"
        return None

    def run(self):
        blocks = blocks_of(self.readme)
        kinds = {block.kind for block in blocks}
        if kinds != {"run", "services", "eventually"}:
            raise Failure(f"{self.readme}: expected blocks of each kind, found {sorted(kinds)}")
        made = self.shell(f"marquee generate --ratings {RATINGS} --movies {MOVIES} --seed 1 "
                          "--out ./data/generated/movielens")
        if made.returncode != 0:
            raise Failure(f"marquee generate: {made.stdout}{made.stderr}")
        system = self.start_system()
        for block in blocks:
            print(f"{self.readme}:{block.line}", flush=True)
            self.execute(block)
        if system.stop() != 0:
            raise Failure(f"after Ctrl-C: exit code {system.popen.returncode}\n{system.printed()}")
        again = self.start_system()
        if "nothing is read or counted twice" not in again.printed():
            raise Failure(f"started again, it does not say that it goes on:\n{again.printed()}")
        again.stop()

    def end(self):
        for process in self.processes:
            process.kill()


def main(readme, marquee):
    with tempfile.TemporaryDirectory() as scratch:
        session = Session(readme, pathlib.Path(marquee).resolve(), scratch)
        try:
            session.run()
        except Failure as failure:
            print(f"FAILED: {failure}")
            return 1
        finally:
            session.end()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
