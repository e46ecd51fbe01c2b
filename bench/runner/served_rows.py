"""Rows of a system that runs: how soon a rating is seen, how fast it answers, how it starts again."""

import json
import re
import shutil
import signal
import subprocess
import time

from paths import COMMAND_S_MAX, MARQUEE, PROGRAMS, READY_S_MAX
from processes import last_line
from report import NoResult, Row, verdict
from server import free_port, must_get, visible_ratings, wait_for, wait_no_lag, wait_ready

STREAM_PER_S = 10_000
WATCHED_MOVIES = 20  # whose means are looked at, one by one: a list of all takes as long as a commit


def visible(bench):
    data, input_folder = bench.loaded_data()
    process, port, _ = bench.start_server(data)
    wait_ready(process, port)
    seconds = 3 if bench.options.quick else 10
    found = {}
    for per_s, per_post in ((1_000, 1), (100_000, 100)):
        found[per_s] = bench.program("visible_bench", port, per_s, per_post, seconds, data,
                                    input_folder / "movies.csv")
    wait_no_lag(port)
    bench.stop_server(process)
    bench.audit(data, input_folder / "ratings.csv")
    bench.forget(data)
    for per_s, figures in found.items():
        if figures["failed"]:
            raise NoResult(f"{figures['failed']} requests failed: {figures['first_failure']}")
        sync = figures["sync_p50_ms"]
        p50, p99 = figures["p50_ms"], figures["p99_ms"]
        slow = per_s == 1_000
        yield Row(f"visible, {per_s:,}/s", f"p50 {p50:.2f} ms, p99 {p99:.2f} ms",
                  f"sync {sync:.2f} ms", f"{p50 / sync:.1f}",
                  "p50 ≤ 3 syncs + 3 ms, p99 ≤ 20 ms" if slow else "p99 ≤ 60 ms",
                  verdict(p50 <= 3 * sync + 3, p99 <= 20) if slow else verdict(p99 <= 60))


def publish_to_consumer(bench):
    folder = bench.folder("wakeup")
    found = bench.program("wakeup_bench", folder, 200 if bench.options.quick else 2000)
    bench.forget(folder)
    sync = found["sync_p50_ms"]
    for name, which, extra_ms in (("one process", "one", 2), ("two processes", "two", 20)):
        p50, p99 = found[f"{which}_p50_ms"], found[f"{which}_p99_ms"]
        yield Row(f"publish-to-consumer, {name}", f"p50 {p50:.2f} ms, p99 {p99:.2f} ms",
                  f"sync {sync:.2f} ms (p99 {found['sync_p99_ms']:.2f})", f"{p50 / sync:.1f}",
                  f"p99 ≤ 1 sync + {extra_ms} ms", verdict(p99 <= sync + extra_ms))


def get(bench):
    data, input_folder = bench.loaded_data()
    process, port, _ = bench.start_server(data)
    wait_ready(process, port)
    movie = json.loads(must_get(port, "/api/v1/movies?sort=count&limit=1"))["movies"][0]["id"]
    target = f"/api/v1/movies/{movie}"
    floor = wrk_floor(bench, len(must_get(port, target)))
    idle = wrk(bench, port, target)
    streaming = wrk_while_streaming(bench, data, input_folder / "ratings.csv", port, target)
    wait_no_lag(port)
    bench.stop_server(process)
    bench.audit(data, input_folder / "ratings.csv")
    bench.forget(data)
    for name, (speed, p99), least in (("get", idle, 0.6), (f"get, {STREAM_PER_S:,}/s stream in",
                                                          streaming, 0.4)):
        yield Row(name, f"{speed:,.0f}/s, p99 {p99:.2f} ms",
                  f"Beast from memory {floor[0]:,.0f}/s", f"{speed / floor[0]:.2f}",
                  f"≥ {least} ×, p99 ≤ 5 ms", verdict(speed >= least * floor[0], p99 <= 5))


def wrk_seconds(bench):
    return 2 if bench.options.quick else 5


def wrk(bench, port, target):
    """Requests per second, and the p99 in milliseconds."""
    if shutil.which("wrk") is None:
        raise NoResult("wrk is not installed: script/setup installs it")
    text = bench.run("wrk", "-t1", "-c32", f"-d{wrk_seconds(bench)}s", "--latency",
                    f"http://127.0.0.1:{port}{target}").output
    speed = re.search(r"Requests/sec:\s+([\d.]+)", text)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)\b", text)
    if not speed or not p99 or "Non-2xx" in text or "Socket errors" in text:
        raise NoResult("wrk: " + " ".join(text.split()))
    return float(speed[1]), float(p99[1]) * {"us": 1e-3, "ms": 1, "s": 1e3}[p99[2]]


def wrk_floor(bench, body_bytes):
    process, out, _ = bench.start([PROGRAMS / "beast_floor", 0, 1, body_bytes])  # a thread, as `marquee run` has
    try:
        port = int(wait_for(lambda: out.read_text().strip(), "the port of beast_floor"))
        return wrk(bench, port, "/")
    finally:
        bench.processes.end(process)


def wrk_while_streaming(bench, data, ratings, port, target):
    """The same file under another source: its ratings count again."""
    limit = STREAM_PER_S * (wrk_seconds(bench) + 4)
    before = visible_ratings(port)
    producer, _, err = bench.start(
        [MARQUEE, "ratingproducer", "--broker", f"sqlite:{data}/log", "--source", "stream",
         "--ratings", ratings, "--rate", f"{STREAM_PER_S}/s", "--limit", limit])
    wait_for(lambda: visible_ratings(port) > before or producer.poll() is not None,
             "the first streamed ratings")
    found = wrk(bench, port, target)
    if producer.poll() is not None:
        raise NoResult(f"ratingproducer ended before wrk: {last_line(err)}")
    if wait_end(bench, producer) != 0:
        raise NoResult(f"ratingproducer: {last_line(err)}")
    return found


def wait_end(bench, process):
    try:
        process.wait(timeout=READY_S_MAX)
    except subprocess.TimeoutExpired as late:
        raise NoResult("ratingproducer does not end") from late
    return bench.processes.end(process)


def restart(bench):
    input_folder = bench.data_set(bench.ratings, bench.movies)
    data = bench.folder("restart")
    inputs = ["--movielens", input_folder]
    if bench.ratings < 8_000_000:  # else it would be over before the kill
        inputs += ["--rate", f"{bench.ratings // 6}/s"]
    process, port, err = bench.start_server(data, *inputs)
    wait_for(lambda: visible_ratings(port) > 0 or process.poll() is not None, "the first means")
    time.sleep(2)
    killed_at = visible_ratings(port)
    if process.poll() is not None or b"serving on" in err.read_bytes():
        raise NoResult(f"the backfill was over before the kill: {last_line(err)}")
    bench.processes.end(process, signal.SIGKILL)
    published = means_in_log(bench, data)

    begin = time.monotonic()
    process, port, err = bench.start_server(data, *inputs)
    first = wait_for(lambda: visible_ratings(port), "the first means")
    serving = time.monotonic() - begin
    if first < killed_at:
        raise NoResult(f"{killed_at:,} ratings were visible, {first:,} after the restart")
    wait_for(lambda: any(count_of(port, movie) > count for movie, count in published.items()),
             "new means")
    reading = time.monotonic() - begin
    ready = wait_ready(process, port) - begin
    wait_for(lambda: b"serving on" in err.read_bytes() or process.poll() is not None,
             "the end of the backfill", COMMAND_S_MAX)
    wait_no_lag(port)
    bench.stop_server(process)
    bench.audit(data, input_folder / "ratings.csv")
    bench.forget(data)
    yield Row("restart after kill -9", f"serving {serving:.2f} s, reading on {reading:.2f} s",
              f"ready {ready:.2f} s; 100 movies had {killed_at:,} before", asked="≤ 0.5 s",
              ok=verdict(serving <= 0.5, reading <= 0.5))


def means_in_log(bench, data):
    """The counts of the most rated movies, as the log has them: in a copy, since looking changes a log that has to be
    recovered. What a restart serves beyond them it has read anew."""
    copy = bench.folder("restart-copy")
    shutil.copytree(data, copy, dirs_exist_ok=True)
    port = free_port()
    sink, _, _ = bench.start([MARQUEE, "moviedatasink", "--broker", f"sqlite:{copy}/log", "--data", copy,
                              "--listen", f"127.0.0.1:{port}"])
    wait_ready(sink, port)
    wait_no_lag(port)
    counts = {movie: count_of(port, movie) for movie in most_rated(port)}
    bench.stop_server(sink)
    bench.forget(copy)
    return counts


def most_rated(port):
    movies = json.loads(must_get(port, f"/api/v1/movies?sort=count&limit={WATCHED_MOVIES}"))["movies"]
    return [movie["id"] for movie in movies]


def count_of(port, movie):
    return json.loads(must_get(port, f"/api/v1/movies/{movie}"))["count"]
