"""A loopback HTTP server between SchemaHub and a simulated exchange that spoils chosen answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

import requests

from tests.loopback import Handler, serving

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

    class Proxy(Handler):
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

    with session, serving(Proxy) as url:
        yield url
