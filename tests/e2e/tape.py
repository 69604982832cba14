"""Coinbase's trades endpoint over a tape known beforehand, as fast as Python serves it, spoilt where a test says so.

Answers are cut from rows rendered once. What was asked and served is counted, so that a test can tell how much a run
fetched anew.
"""

from __future__ import annotations

import re
import threading
import time
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import parse_qs, urlsplit

LIMIT = 1000
_product = re.compile(r"/products/([^/]+)/trades").fullmatch


@dataclass
class Asked:
    """One request for trades: ids between `after` and `before`, both exclusive, and what was served."""

    product: str
    after: int | None
    before: int | None
    limit: int
    ids: Sequence[int]

    @property
    def bounded(self) -> bool:
        """Whether history was asked for, and not just the newest page."""
        return self.before is not None


Spoil = Callable[[Asked, bytes], "tuple[int, bytes] | None"]


@dataclass
class Tape:
    """A product's trades: one every `apart`, so that a trade's id tells its time."""

    start: datetime
    apart: timedelta
    ids: list[int] = field(default_factory=list)
    rows: list[bytes] = field(default_factory=list)

    def add(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            moment = (self.start + self.apart * number).isoformat(timespec="microseconds")
            self.ids.append(number)
            self.rows.append(
                b'{"trade_id":%d,"side":"%s","size":"0.%08d","price":"4%04d.%02d","time":"%s"}'
                % (
                    *(number, b"buy" if number % 3 else b"sell", number % 10**8, number % 9000, number % 100),
                    moment.replace("+00:00", "Z").encode(),
                )
            )


class TapeServer:
    """Serves tapes by product. `spoil` may answer in place of the server; `delay` is seconds before each answer."""

    def __init__(
        self,
        *,
        start: datetime = datetime(2024, 1, 1, tzinfo=UTC),
        apart: timedelta = timedelta(milliseconds=1),
        **tapes: Iterable[int],
    ) -> None:
        self.tapes = {name.replace("_", "-"): Tape(start, apart) for name in tapes}
        for name, ids in tapes.items():
            self.tapes[name.replace("_", "-")].add(ids)
        self.asked: list[Asked] = []
        self.spoil: Spoil | None = None
        self.delay = 0.0
        self.first = threading.Event()  # set once trades were asked for
        tapes_, server = self.tapes, self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                url = urlsplit(self.path)
                product = _product(url.path)
                if product is None:
                    return self._send(200, b"[]")
                query = {name: int(values[0]) for name, values in parse_qs(url.query).items()}
                tape = tapes_.get(product[1])
                if tape is None:
                    return self._send(404, b'{"message":"NotFound"}')
                end = bisect_left(tape.ids, query["after"]) if "after" in query else len(tape.ids)
                begin = max(bisect_right(tape.ids, query.get("before", 0)), end - min(query["limit"], LIMIT), 0)
                asked = Asked(product[1], query.get("before"), query.get("after"), query["limit"], tape.ids[begin:end])
                body = b"[" + b",".join(tape.rows[begin:end][::-1]) + b"]"
                server.asked.append(asked)
                server.first.set()
                if server.delay:
                    time.sleep(server.delay)
                spoilt = server.spoil(asked, body) if server.spoil else None
                self._send(*(spoilt or (200, body)))
                return None

            def _send(self, status: int, body: bytes) -> None:
                head = f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                try:
                    self.wfile.write(head.encode() + body)
                except OSError:  # the client was killed
                    self.close_connection = True

            def handle(self) -> None:
                with suppress(ConnectionResetError):
                    super().handle()

            def log_message(self, format: str, *arguments: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def served(self, since: int = 0) -> Counter[int]:
        """How often each id was served when history was asked for, from the request number `since` on."""
        return Counter(number for asked in self.asked[since:] if asked.bounded for number in asked.ids)


def with_holes(count: int, *holes: tuple[int, int], singly: Iterable[int] = ()) -> list[int]:
    """The ids 1 to `count` without some closed ranges and single ones."""
    left_out = set(singly).union(*(range(low, high + 1) for low, high in holes))
    return [number for number in range(1, count + 1) if number not in left_out]
