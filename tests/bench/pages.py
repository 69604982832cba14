"""Coinbase-shaped pages as fast as Python can serve them: `python -m tests.bench.pages ROWS` prints its URL.

Every product has the same tape of ROWS trades, made as it is asked for by a few numpy operations a page, and kept, so
that what is measured is the client. `--latency SECONDS` delays every answer; `--limit N` refuses what exceeds N
requests a second after a burst of 15. `/served` tells how many requests were answered and how many refused.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from urllib.parse import parse_qs, urlsplit

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 1000
BURST = 15
KEPT = 1000  # pages: a million trades asked for again cost nothing
MOST_ROWS = 86_400_000  # one a millisecond, all on one day
FOUR = np.frombuffer(b"".join(b"%04d" % number for number in range(10_000)), np.uint8).reshape(10_000, 4)
SCATTER = 48_271  # sizes look random: nothing to gain for a compressor


@contextmanager
def pages(rows: int, *options: str) -> Iterator[str]:
    """A server in a process of its own; gives its URL."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.pages", str(rows), *options], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    try:
        yield server.stdout.readline().strip()
    finally:
        server.terminate()
        server.wait()


@lru_cache(maxsize=KEPT)
def page(oldest: int, newest: int) -> bytes:
    """The trades `oldest..newest` as the exchange tells them, newest first."""
    parts = []
    while newest >= oldest:
        digits = len(str(newest))
        low = max(oldest, 10 ** (digits - 1))
        parts.append(_rows(np.arange(newest, low - 1, -1), digits))
        newest = low - 1
    return b"[" + b"".join(parts)[:-1] + b"]"


def _rows(numbers: np.ndarray, digits: int) -> bytes:
    """Trades whose ids have so many digits, each with a comma after it; all of one width, so they are one matrix."""
    shown = (
        b'{"trade_id":%s,"side":"sell","size":"0.ZZZZZZZZ","price":"4PPPP.CC",'
        b'"time":"2024-01-01THH:MM:SS.FFF000Z"},' % (b"I" * digits)
    )
    text = np.tile(np.frombuffer(shown, np.uint8), (len(numbers), 1))
    sides = shown.index(b'sell"')
    bought = b'buy","size":"0.0'
    text[numbers % 3 == 0, sides : sides + len(bought)] = np.frombuffer(bought, np.uint8)
    for mark, values in (
        (b"I" * digits, numbers),
        (b"Z" * 8, numbers * SCATTER % 10**8),
        (b"P" * 4, numbers // 40 % 9000),
        (b"C" * 2, numbers % 100),
        (b"H" * 2, numbers // 3_600_000),
        (b"M" * 2, numbers // 60_000 % 60),
        (b"S" * 2, numbers // 1000 % 60),
        (b"F" * 3, numbers % 1000),
    ):
        start, width = shown.index(mark), len(mark)
        figures = FOUR[values % 10_000]
        if width > 4:
            figures = np.hstack([FOUR[values // 10_000], figures])
        text[:, start : start + width] = figures[:, -width:]
    return text.tobytes()


class _Bucket:
    """What an exchange allows of one address."""

    def __init__(self, rate: float) -> None:
        self._rate, self._left, self._seen = rate, float(BURST), time.monotonic()
        self._lock = threading.Lock()
        self.served = self.refused = 0

    def take(self) -> bool:
        with self._lock:
            now = time.monotonic()
            self._left = min(self._left + (now - self._seen) * self._rate, BURST)
            self._seen = now
            if self._rate and self._left < 1:
                self.refused += 1
                return False
            self._left -= 1
            self.served += 1
            return True


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("rows", type=int)
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--limit", type=float, default=0.0)
    arguments = parser.parse_args()
    count: int = arguments.rows
    assert count < MOST_ROWS
    bucket = _Bucket(arguments.limit)

    class Handler(StreamRequestHandler):
        disable_nagle_algorithm = True

        def handle(self) -> None:
            while line := self.rfile.readline():
                while self.rfile.readline().strip():
                    """Headers tell nothing that matters here."""
                self.wfile.write(self._answer(line.split()[1].decode()))

        def _answer(self, target: str) -> bytes:
            asked = urlsplit(target)
            if asked.path == "/served":
                return _framed("200 OK", json.dumps([bucket.served, bucket.refused]).encode())
            time.sleep(arguments.latency)
            if not bucket.take():
                return _framed("429 Too Many Requests", b'{"message":"Public rate limit exceeded"}')
            if not asked.path.endswith("/trades"):
                return _framed("200 OK", b"[]")
            query = {name: int(values[0]) for name, values in parse_qs(asked.query).items()}
            newest = min(query.get("after", count + 1) - 1, count)
            oldest = max(query.get("before", 0) + 1, newest - query.get("limit", LIMIT) + 1)
            return _framed("200 OK", page(oldest, newest))

    class Server(ThreadingTCPServer):
        daemon_threads = True
        request_queue_size = 64

    server = Server(("127.0.0.1", 0), Handler)
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


def _framed(status: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


if __name__ == "__main__":
    main()
