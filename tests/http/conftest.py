"""A clock that only sleeping moves, a venue that is no exchange, and real HTTP servers on loopback."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from schemahub_lib.exchanges.base import status_trouble
from schemahub_lib.http.client import HttpClient
from schemahub_lib.http.messages import Credentials, RateLimit, Request, Response, Trouble
from schemahub_lib.http.transport import ConnectionFailed


class FakeTime:
    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        if seconds > 0:
            self.slept.append(seconds)
        self.now += seconds


class Bourse:
    name = "bourse"
    base_url = "https://bourse.example"
    rate_limit = RateLimit(units=1000, seconds=1, burst=1000)
    hold_back = 0.0

    def trouble(self, response: Response) -> Trouble | None:
        return status_trouble(response, response.text[:80])

    def sign(self, request: Request, credentials: Credentials, now: float) -> Request:
        return replace(request, headers={**request.headers, "X-Key": credentials.key})

    def pause_after(self, response: Response) -> float:
        return self.hold_back


class Script:
    """A transport that plays answers in order, the last one for ever: (status, text), with headers or without."""

    def __init__(self, *answers: tuple[object, ...] | str) -> None:
        self.answers = list(answers)
        self.sent: list[Request] = []

    def send(self, request: Request, timeout: float) -> Response:
        self.sent.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, str):
            raise ConnectionFailed(answer)
        status, text, *headers = answer
        return Response(request, status, headers[0] if headers else {}, text, size=len(text))

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def bourse() -> Bourse:
    return Bourse()


@pytest.fixture
def scripted(time: FakeTime, bourse: Bourse) -> Callable[..., tuple[HttpClient, Script]]:
    """`scripted(*answers, **client settings)` gives a client that gets these answers, and their script."""

    def make(*answers: tuple[object, ...] | str, **settings: object) -> tuple[HttpClient, Script]:
        script = Script(*answers)
        defaults = {"transport": script, "clock": time.clock, "sleep": time.sleep}
        return HttpClient(bourse, **{**defaults, **settings}), script

    return make


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """`serve(handle)` starts a server whose GETs are answered by `handle(handler)` and returns its base URL."""
    servers: list[ThreadingHTTPServer] = []

    def start(handle: Callable[[BaseHTTPRequestHandler], None]) -> str:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                handle(self)

            do_POST = do_GET

            def log_message(self, *args: object) -> None:
                """Tests print nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                """A client that hangs up is what some tests are about."""

        server = Server(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
