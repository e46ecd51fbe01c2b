"""A server that runs: what it answers, and waiting for it."""

import http.client
import json
import socket
import time

from paths import READY_S_MAX
from report import NoResult


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def get(port, target):
    """Status and body; status 0 where nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=READY_S_MAX)
    try:
        connection.request("GET", target)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


def must_get(port, target):
    status, body = get(port, target)
    if status != 200:
        raise NoResult(f"GET {target}: {status or 'no answer'}")
    return body


def visible_ratings(port):
    """How many ratings the hundred most rated movies have; 0 where nothing is served yet."""
    status, body = get(port, "/api/v1/movies?sort=count&limit=100")
    return sum(movie["count"] for movie in json.loads(body)["movies"]) if status == 200 else 0


def wait_for(condition, what, seconds=READY_S_MAX):
    until = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > until:
            raise NoResult(f"waited {seconds} s for {what}")
        time.sleep(0.002)
    return found


def wait_ready(process, port):
    """When it was ready."""
    wait_for(lambda: get(port, "/readyz")[0] == 200 or process.poll() is not None, "/readyz")
    if process.poll() is not None:
        raise NoResult(f"marquee run ended with exit code {process.returncode}")
    return time.monotonic()


def wait_no_lag(port):
    wait_for(lambda: json.loads(must_get(port, "/lag"))["records"] == 0, "a lag of 0")
