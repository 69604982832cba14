"""Coinbase-shaped pages as fast as Python can serve them: `python -m tests.bench.pages ROWS` prints its URL.

Rows are rendered once, before the URL is printed, so that what is measured is the client.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

LIMIT = 1000
START = datetime(2024, 1, 1, tzinfo=UTC)


def main() -> None:
    count = int(sys.argv[1])
    rows = [
        b'{"trade_id":%d,"side":"%s","size":"0.%08d","price":"4%04d.%02d","time":"%s"}'
        % (
            number,
            b"buy" if number % 3 else b"sell",
            number % 10**8,
            number % 9000,
            number % 100,
            (START + timedelta(milliseconds=number)).isoformat().replace("+00:00", "Z").encode(),
        )
        for number in range(1, count + 1)
    ]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked = urlsplit(self.path)
            if not asked.path.endswith("/trades"):
                return self._send(b"[]")
            query = {name: int(values[0]) for name, values in parse_qs(asked.query).items()}
            newest = min(query.get("after", count + 1) - 1, count)
            oldest = max(query.get("before", 0) + 1, newest - LIMIT + 1)
            self._send(b"[" + b",".join(rows[oldest - 1 : newest][::-1]) + b"]")

        def _send(self, body: bytes) -> None:
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            self.wfile.write(head.encode() + body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
