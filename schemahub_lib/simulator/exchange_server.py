"""One exchange on the wire: its API's answers over HTTP, and what a fault makes of them."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from aiohttp import web

from schemahub_lib.simulator.api import Answer, Api
from schemahub_lib.simulator.drift import DRIFTS
from schemahub_lib.simulator.faults import Fault
from schemahub_lib.simulator.feeds.base import Feed
from schemahub_lib.simulator.feeds.connection import Connection

NUMBER_TEXT = re.compile(rb'"\d+\.\d+"')
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass
class Stats:
    """What one exchange has served since the start: `requests`, and `frames` of its feed. `faults` counts those that
    changed an answer."""

    requests: int = 0
    throttled: int = 0
    frames: int = 0
    endpoints: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)

    def plain(self) -> dict[str, Any]:
        return {
            "requests": self.requests,
            "throttled": self.throttled,
            "frames": self.frames,
            "endpoints": dict(self.endpoints),
            "faults": dict(self.faults),
        }


class ExchangeServer:
    """`draw` tells the fault of the n-th request; `latency` (seconds) delays every answer."""

    def __init__(
        self,
        api: Api,
        draw: Callable[[str, int, bool], Fault | None],
        latency: float,
        open_feed: Callable[[], Feed] | None = None,
    ) -> None:
        self.stats = Stats()
        self._api, self._draw, self._latency, self._open_feed = api, draw, latency, open_feed
        self._last_pages: dict[str, Answer] = {}

    @property
    def has_feed(self) -> bool:
        return self._open_feed is not None

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/{path:.*}", self._handle)]

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if self._open_feed and request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._stream(request, self._open_feed())
        endpoint, answer = self._api.answer(request.path, request.query, request.headers)
        self.stats.requests += 1
        self.stats.endpoints[endpoint] += 1
        self.stats.throttled += answer.throttled
        fault = None if answer.throttled else self._draw(self._api.name, self.stats.requests, False)
        spoiled = self._spoil(answer, fault) if fault else answer
        if answer.page and (fault is None or fault.kind != "stale"):
            self._last_pages[answer.page] = answer  # a stale page stays in the cache until a fresh one is sent
        await asyncio.sleep(self._latency)
        if fault is None or spoiled is None:
            return _response(answer)
        self.stats.faults[fault.kind] += 1
        if fault.kind == "slow":
            await asyncio.sleep(fault.seconds)
        if fault.kind == "reset":
            return _reset(request)
        if fault.kind == "truncate":
            return await _truncated(request, answer, fault.draw)
        return _response(spoiled)

    async def _stream(self, request: web.Request, feed: Feed) -> web.StreamResponse:
        """One client's WebSocket, to its end."""
        first = feed.opened(request.path, request.query)
        if first is None:
            return web.Response(status=404)
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        self.stats.endpoints["feed"] += 1
        try:
            ended = await Connection(feed, socket, self._draw_of_frame).serve(first)
        except ConnectionResetError:  # the client left while a frame was on its way
            ended = True
        return socket if ended else _reset(request)

    def _draw_of_frame(self) -> Fault | None:
        self.stats.frames += 1
        fault = self._draw(self._api.name, self.stats.frames, True)
        if fault is not None:
            self.stats.faults[fault.kind] += 1
        return fault

    def _spoil(self, answer: Answer, fault: Fault) -> Answer | None:
        """What is sent instead of `answer`; None where the fault has nothing to work on."""
        if fault.kind == "500":
            return self._api.internal_error
        if fault.kind == "503":
            return self._api.maintenance
        if fault.kind == "html":
            return self._api.gateway_page
        if fault.kind == "stale":
            return self._last_pages.get(answer.page or "")
        if fault.kind in DRIFTS:
            drifted = DRIFTS[fault.kind](answer.body) if answer.page else answer.body
            return replace(answer, body=drifted) if drifted != answer.body else None
        if fault.kind == "malformed-row":
            numbers = list(NUMBER_TEXT.finditer(answer.body)) if answer.page else []
            if not numbers:
                return None
            chosen = numbers[int(fault.draw * len(numbers))]
            return replace(answer, body=answer.body[: chosen.start()] + b'"oops"' + answer.body[chosen.end() :])
        return answer


def _response(answer: Answer) -> web.Response:
    return web.Response(
        body=answer.body, status=answer.status, headers=answer.headers, content_type=answer.content_type
    )


def _reset(request: web.Request) -> web.StreamResponse:
    """The client gets a TCP reset and no byte of an answer."""
    if request.transport is not None:
        request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        request.transport.abort()
    return web.Response()


async def _truncated(request: web.Request, answer: Answer, draw: float) -> web.StreamResponse:
    """The headers promise the whole body; the connection closes before its end."""
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    response.content_type = answer.content_type
    response.content_length = len(answer.body)
    response.force_close()
    await response.prepare(request)
    await response.write(answer.body[: int(draw * len(answer.body))])
    if request.transport is not None:
        request.transport.close()
    return response
