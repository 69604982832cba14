"""A loopback HTTP server between SchemaHub and a simulated exchange that spoils chosen answers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests

# Sees the request's path with its query and the good body; what is sent instead, or None to leave it as it is.
Spoiler = Callable[[str, bytes], "bytes | None"]
CUT = b"\0cut"  # ends a body that is to be sent without its second half


@contextmanager
def spoiling(urls: Mapping[str, str], spoil: Spoiler) -> Iterator[dict[str, str]]:
    """The URLs of proxies in front of `urls`, each of which puts its answers through `spoil`."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(_proxy(url, spoil)) for name, url in urls.items()}


@contextmanager
def _proxy(upstream: str, spoil: Spoiler) -> Iterator[str]:
    session = requests.Session()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = session.get(upstream + self.path, headers={"User-Agent": "proxy"}, timeout=10)
            body = spoil(self.path, answer.content)
            if body is None:
                body = answer.content
            cut, body = body.endswith(CUT), body.removesuffix(CUT)
            self.send_response(answer.status_code)
            for name in ("Content-Type", "CB-BEFORE", "CB-AFTER"):
                if name in answer.headers:
                    self.send_header(name, answer.headers[name])
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if cut else body)
            self.close_connection = True

        def log_message(self, format: str, *arguments: object) -> None:
            """Silence: what matters is asserted."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        session.close()
        thread.join()
