"""What every row uses: folders, data sets, programs that are run and timed, audits."""

import json
import os
import pathlib
import shutil
import signal
import threading
import time
from typing import NamedTuple

from paths import BUILD, COMMAND_S_MAX, MARQUEE, MIB, PROGRAMS, ROOT
from processes import Finished, Processes, last_line, say
from report import NoResult
from server import free_port

SERVED_RATINGS = 1_000_000


class Whole(NamedTuple):
    seconds: float
    rss_mib: float
    log_bytes: float  # of the topic `ratings`, for each rating
    all_bytes: float  # of the whole data folder


class Bench:
    def __init__(self, options):
        self.options = options
        self.ratings = options.ratings
        self.movies = options.movies
        self.processes = Processes()
        self.work = BUILD / f"work-{os.getpid()}"
        self.folders = 0
        self.logs = 0
        self.whole = {}  # (ratings, movies) -> Whole

    def folder(self, name):
        self.folders += 1
        made = self.work / f"{self.folders}-{name}"
        made.mkdir(parents=True)
        return made

    def forget(self, folder):
        if not self.options.keep:
            shutil.rmtree(folder, ignore_errors=True)

    def start(self, command):
        """Starts it with its output in files, whose paths come with it."""
        self.logs += 1
        out = self.work / f"{self.logs}.out"
        err = self.work / f"{self.logs}.err"
        with open(out, "wb") as stdout, open(err, "wb") as stderr:
            return self.processes.start(command, stdout, stderr), out, err

    def run(self, *command):
        """Runs it to its end: wall time from start to exit, peak memory, output."""
        begin = time.monotonic()
        process, out, err = self.start(command)
        watch = threading.Timer(COMMAND_S_MAX, process.kill)
        watch.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        finally:
            watch.cancel()
        seconds = time.monotonic() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        self.processes.end(process)
        if process.returncode != 0:
            name = pathlib.Path(command[0]).name + " " + str(command[1] if len(command) > 1 else "")
            why = last_line(err) or last_line(out)
            raise NoResult(f"{name}: exit code {process.returncode}: {why}")
        return Finished(seconds, usage.ru_maxrss / 1024, out.read_text())

    def json(self, *command):
        return json.loads(self.run(*command).output)

    def run_program(self, name, *arguments):
        return self.run(PROGRAMS / name, *arguments)

    def program(self, name, *arguments):
        """What it prints."""
        return json.loads(self.run_program(name, *arguments).output)

    def audit(self, data, ratings, *more):
        self.run(MARQUEE, "audit", "--data", data, "--ratings", ratings, *more)

    def data_set(self, ratings, movies):
        """The folder of a generated data set, made on first use, and in the page cache."""
        folder = BUILD / f"data-{ratings}-{movies}"
        if not folder.exists():
            say(f"making {folder.relative_to(ROOT)}")
            making = self.folder("data")
            self.run(MARQUEE, "generate", "--ratings", ratings, "--movies", movies, "--seed", 1,
                     "--out", making)
            making.rename(folder)
        for name in ("ratings.csv", "movies.csv"):
            with open(folder / name, "rb", buffering=0) as file:
                while file.read(MIB):
                    pass
        os.sync()  # what was written before does not disturb what is measured next
        return folder

    def run_once(self, ratings, movies):
        """The whole system over a data set, audited."""
        key = (ratings, movies)
        if key not in self.whole:
            input_folder = self.data_set(ratings, movies)
            data = self.folder("whole")
            done = self.run(MARQUEE, "run", "--once", "--data", data, "--movielens", input_folder)
            topics = json.loads(self.run(MARQUEE, "topics", "--data", data, "-o", "json").output)
            log = sum(topic["bytes_on_disk"] for topic in topics if topic["topic"] == "ratings")
            total = sum(path.stat().st_blocks * 512 for path in data.rglob("*") if path.is_file())
            self.audit(data, input_folder / "ratings.csv")
            self.forget(data)
            self.whole[key] = Whole(done.seconds, done.rss_mib, log / ratings, total / ratings)
        return self.whole[key]

    def start_server(self, data, *more):
        port = free_port()
        process, _, err = self.start(
            [MARQUEE, "run", "--data", data, "--listen", f"127.0.0.1:{port}", *more])
        return process, port, err

    def stop_server(self, process):
        code = self.processes.end(process, signal.SIGTERM)
        if code != 0:
            raise NoResult(f"marquee run: exit code {code} after SIGTERM")

    def loaded_data(self):
        """A data folder with a million ratings in it, and what was loaded."""
        input_folder = self.data_set(min(self.ratings, SERVED_RATINGS), self.movies)
        data = self.folder("served")
        self.run(MARQUEE, "run", "--once", "--data", data, "--movielens", input_folder)
        os.sync()
        return data, input_folder
