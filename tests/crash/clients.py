"""What gives the services work: clients that post ratings, and a file that grows."""

import json
import random
import threading
import time
import urllib.error
import urllib.request

from services import Failure

REQUEST_SECONDS_MAX = 15
RETRY_SECONDS = 0.05
APPEND_SECONDS = 0.1


class Client(threading.Thread):
    """Posts requests of some ratings, each until it is acknowledged, now and then once more."""

    def __init__(self, port, movies, number, seed):
        super().__init__(daemon=True)
        self.port, self.movies, self.number, self.random = port, movies, number, random.Random(seed)
        self.stop = threading.Event()
        self.acknowledged = 0  # ratings
        self.requests = self.repeats = 0
        self.failure = None

    def run(self):
        try:
            while not self.stop.is_set():
                self.request()
        except Failure as failure:
            self.failure = failure

    def request(self):
        self.requests += 1
        key = f"client-{self.number}-{self.requests}"
        ratings = [{"user_id": self.random.randrange(1000), "movie_id": self.random.randrange(1, self.movies),
                    "rating": self.random.randrange(1, 11) / 2} for _ in range(self.random.randrange(1, 5))]
        body = json.dumps({"ratings": ratings}).encode()
        while not self.post(key, body):
            self.repeats += 1
            time.sleep(RETRY_SECONDS)
        self.acknowledged += len(ratings)
        if self.random.random() < 0.2:  # as if the answer had been lost
            self.post(key, body)
            self.repeats += 1

    def post(self, key, body):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/api/v1/ratings", data=body, method="POST",
                                         headers={"Content-Type": "application/json", "Idempotency-Key": key})
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_SECONDS_MAX) as answer:
                return answer.status == 202
        except urllib.error.HTTPError as error:
            if error.code in (429, 503):
                return False
            raise Failure(f"POST was answered with {error.code}: {error.read()!r}") from error
        except OSError:
            return False


class GrowingFile(threading.Thread):
    """Appends rows to a file that a service follows, some in two halves: a line counts when it is whole."""

    def __init__(self, path, movies, rows_per_second, seed):
        super().__init__(daemon=True)
        self.path, self.movies, self.rows_per_second, self.random = path, movies, rows_per_second, random.Random(seed)
        self.stop = threading.Event()
        self.rows = 0  # appended

    def run(self):
        while not self.stop.wait(APPEND_SECONDS):
            self.append(int(self.rows_per_second * APPEND_SECONDS))

    def append(self, rows):
        text = "".join(f"{self.random.randrange(1000)},{self.random.randrange(1, self.movies)},"
                       f"{self.random.randrange(1, 11) / 2},1600000000\n" for _ in range(rows))
        half = self.random.randrange(len(text))
        for part in (text[:half], text[half:]):
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(part)
            self.stop.wait(APPEND_SECONDS / 10)
        self.rows += rows
