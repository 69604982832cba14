"""One client's WebSocket: what it says and what it is sent, pings, and what faults make of it."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

import orjson
from aiohttp import WSMsgType, web

from schemahub_lib.simulator.faults import Fault
from schemahub_lib.simulator.feeds.base import Feed

FRAMES_EVERY = 0.05  # seconds between looks at what is to be sent
PONG_WITHIN = 60.0  # seconds after a ping, or the client is hung up on


class Connection:
    """`draw` counts a frame of data and tells its fault, if it has one."""

    def __init__(self, feed: Feed, socket: web.WebSocketResponse, draw: Callable[[], Fault | None]) -> None:
        self._feed, self._socket, self._draw = feed, socket, draw
        self._silent = False
        self._pinged = self._ponged = monotonic()

    async def serve(self, first: list[str]) -> bool:
        """Serve the client until either side ends it; False when a fault cuts the connection."""
        await self._send(first)
        since_ns = self._feed.opened_ns
        while await self._listen() and await self._keep_alive() and not self._feed.over(self._feed.clock.now_ns()):
            now_ns = self._feed.clock.now_ns()
            for frame in self._feed.passed(since_ns, now_ns):
                fault = self._draw()
                if fault is not None and fault.kind == "feed-cut":
                    return False
                self._silent = self._silent or (fault is not None and fault.kind == "feed-silent")
                if fault is None and not self._silent:
                    await self._socket.send_str(frame)
            since_ns = now_ns
        await self._socket.close()
        return True

    async def _send(self, frames: list[str]) -> None:
        for frame in frames:
            await self._socket.send_str(frame)

    async def _listen(self) -> bool:
        """Answer what the client says within a moment; whether it is still there."""
        try:
            message = await self._socket.receive(timeout=FRAMES_EVERY)
        except TimeoutError:
            return True
        if message.type is WSMsgType.TEXT:
            await self._send(self._feed.said(_json(message.data)))
        elif message.type is WSMsgType.PING:
            await self._socket.pong(message.data)
        elif message.type is WSMsgType.PONG:
            self._ponged = monotonic()
        return message.type in (WSMsgType.TEXT, WSMsgType.PING, WSMsgType.PONG)

    async def _keep_alive(self) -> bool:
        """Ping a client as often as this exchange does; whether it has answered lately."""
        every, now = self._feed.ping_every, monotonic()
        if every and now - self._pinged > every:
            self._pinged = now
            await self._socket.ping()
        return every is None or now - self._ponged < every + PONG_WITHIN


def _json(text: str) -> Any:
    """What a client said; None where it is no JSON."""
    try:
        return orjson.loads(text)
    except ValueError:
        return None
