"""The only place that opens WebSockets: says what a listener wants said, hands on what comes, and connects again."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import aiohttp

from schemahub_lib.errors import UsageError, words
from schemahub_lib.http.retry import backoff

log = logging.getLogger(__name__)

CONNECT_WITHIN = 10.0  # seconds
LARGEST = 64 * 2**20  # bytes of a frame: a whole order book comes in one
STEADY = 30.0  # seconds after which a connection counts as a good one, and its end as no failure of the next


class Listener(Protocol):
    """Who hears one exchange's feed. `silence` is how many seconds without a frame a connection may last, `between` how
    many must lie between two connections."""

    @property
    def name(self) -> str: ...
    @property
    def silence(self) -> float: ...
    @property
    def between(self) -> float: ...
    def opened(self) -> Sequence[str]:
        """What is said first on a new connection."""

    def heard(self, frame: str) -> None:
        """Raises Hangup when another connection is wanted."""

    def ended(self, why: str) -> None: ...


class Hangup(Exception):
    """The connection is of no use any more: the exchange said so, or what it tells is not whole."""


async def listen(
    listener: Listener,
    url: str,
    *,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    draw: Callable[[], float] = random.random,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Listen at `url` until cancelled, over as many connections as it takes. Raises UsageError for another URL."""
    if not url.startswith(("ws://", "wss://")):
        raise UsageError(f"SCHEMAHUB_{listener.name.upper()}_FEED_URL is not an address such as wss://host:443: {url}")
    failures = 0
    async with aiohttp.ClientSession(trust_env=True) as session:
        while True:
            opened = clock()
            why = await _converse(session, url, listener)
            lasted = clock() - opened
            failures = 1 if lasted >= STEADY else failures + 1
            log.info("%s: the feed ended after %.0f s: %s; connecting again", listener.name, lasted, why)
            listener.ended(why)
            await sleep(max(listener.between - lasted, backoff(failures, None, draw())))


async def _converse(session: aiohttp.ClientSession, url: str, listener: Listener) -> str:
    """One connection from its beginning to its end; why it ended, in words."""
    try:
        async with asyncio.timeout(CONNECT_WITHIN):
            socket = await session.ws_connect(url, max_msg_size=LARGEST)
    except aiohttp.WSServerHandshakeError as error:
        return f"{url} refused the connection with HTTP {error.status}{_REFUSALS.get(error.status, '')}"
    except TimeoutError:
        return f"{url} did not answer within {CONNECT_WITHIN:.0f} s"
    except (aiohttp.ClientError, OSError) as error:
        return f"{url} could not be reached: {words(error)}"
    try:
        for message in listener.opened():
            await socket.send_str(message)
        while True:
            async with asyncio.timeout(listener.silence):  # receive's own timeout starts anew at every ping
                frame = await socket.receive()
            if frame.type is aiohttp.WSMsgType.TEXT:
                listener.heard(frame.data)
            elif frame.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED):
                code = socket.close_code
                return f"the exchange closed the connection{f' (code {code})' if code else ''}"
            elif frame.type is aiohttp.WSMsgType.ERROR:
                return f"the connection broke: {words(frame.data)}"
    except TimeoutError:
        return f"nothing came for {listener.silence:g} s"
    except Hangup as hangup:
        return str(hangup)
    except (aiohttp.ClientError, OSError) as error:
        return f"the connection broke: {words(error)}"
    finally:
        await socket.close()


_REFUSALS = {
    451: ": it does not serve this region",
    403: ": it does not let this address in",
    429: ": too many connections from this address",
    404: ": there is no feed at this address",
}
