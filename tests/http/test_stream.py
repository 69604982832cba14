"""WebSockets: what is said and heard, how a connection may end, and when the next one is opened."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import aiohttp
import pytest
from aiohttp import web

from schemahub_lib.errors import UsageError
from schemahub_lib.http.stream import Hangup, listen

Serve = Callable[[web.WebSocketResponse], Awaitable[None]]


class Ear:
    """Keeps what it hears, and why each connection ended; leaves when it hears 'leave'."""

    name = "coinbase"

    def __init__(self, silence: float = 5.0, between: float = 0.0, path: str = "/feed") -> None:
        self.silence, self.between, self.path = silence, between, path
        self.frames: list[str] = []
        self.ends: list[str] = []

    def opened(self) -> Sequence[str]:
        return ["hello", "subscribe"]

    def heard(self, frame: str) -> None:
        self.frames.append(frame)
        if frame == "leave":
            raise Hangup("told to")

    def ended(self, why: str) -> None:
        self.ends.append(why)


def heard(serve: Serve, ear: Ear, connections: int = 1, *, clock: Callable[[], float] = lambda: 0.0) -> list[float]:
    """Listen to a server until some connections have ended; the seconds waited after each."""

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.path != "/feed":
            return web.Response(status=451)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await serve(socket)
        return socket

    async def run() -> list[float]:
        app = web.Application()
        app.add_routes([web.get("/{path:.*}", handle)])
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        waits: list[float] = []

        async def sleep(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == connections:
                raise asyncio.CancelledError

        with suppress(asyncio.CancelledError):
            await listen(
                ear, f"ws://127.0.0.1:{runner.addresses[0][1]}{ear.path}", sleep=sleep, draw=lambda: 1.0, clock=clock
            )
        await runner.cleanup()
        return waits

    return asyncio.run(run())


def test_what_is_to_be_said_is_said_first_and_what_comes_is_heard() -> None:
    said = []

    async def serve(socket: web.WebSocketResponse) -> None:
        said.extend([await socket.receive_str(), await socket.receive_str()])
        await socket.send_str("one")
        await socket.send_str("two")

    ear = Ear()
    heard(serve, ear)
    assert said == ["hello", "subscribe"]
    assert ear.frames == ["one", "two"]
    assert ear.ends == ["the exchange closed the connection (code 1000)"]


def test_after_each_end_the_wait_doubles_with_jitter_but_is_never_shorter_than_the_exchange_wants() -> None:
    async def serve(socket: web.WebSocketResponse) -> None:
        await socket.close(code=1008)

    ear = Ear(between=3.0)
    assert heard(serve, ear, 5) == [3.0, 3.0, 3.0, 4.0, 8.0]
    assert set(ear.ends) == {"the exchange closed the connection (code 1008)"}


def test_the_end_of_a_connection_that_lasted_is_the_first_failure() -> None:
    times = iter(range(0, 1000, 40))

    async def serve(socket: web.WebSocketResponse) -> None:
        await socket.close()

    assert heard(serve, Ear(between=3.0), 4, clock=lambda: next(times)) == [0.5] * 4


def test_a_connection_on_which_nothing_comes_is_left() -> None:
    async def serve(socket: web.WebSocketResponse) -> None:
        with suppress(TimeoutError):
            while (await socket.receive(timeout=10)).type is aiohttp.WSMsgType.TEXT:
                pass

    ear = Ear(silence=0.2)
    heard(serve, ear)
    assert ear.ends == ["nothing came for 0.2 s"]


def test_pings_alone_do_not_keep_a_connection() -> None:
    async def serve(socket: web.WebSocketResponse) -> None:
        for _ in range(40):
            await socket.ping()
            with suppress(TimeoutError):
                if (await socket.receive(timeout=0.05)).type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.PONG):
                    return

    ear = Ear(silence=0.3)
    heard(serve, ear)
    assert ear.ends == ["nothing came for 0.3 s"]


def test_a_listener_may_want_another_connection() -> None:
    async def serve(socket: web.WebSocketResponse) -> None:
        await socket.send_str("leave")
        with suppress(TimeoutError):
            while (await socket.receive(timeout=10)).type is aiohttp.WSMsgType.TEXT:
                pass

    ear = Ear()
    heard(serve, ear, 2)
    assert ear.frames == ["leave", "leave"]
    assert ear.ends == ["told to", "told to"]


def test_a_refusal_is_told_in_words() -> None:
    async def serve(socket: web.WebSocketResponse) -> None:
        raise AssertionError("connected")

    ear = Ear(path="/elsewhere")
    heard(serve, ear)
    assert ear.ends[0].endswith("/elsewhere refused the connection with HTTP 451: it does not serve this region")


def test_an_address_that_is_no_websocket_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match="SCHEMAHUB_COINBASE_FEED_URL is not an address such as wss://host:443"):
        asyncio.run(listen(Ear(), "https://example.com"))
