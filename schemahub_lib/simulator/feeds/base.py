"""What the feeds share: one connection, what its client subscribed to, and what a span of time brings it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import orjson

from schemahub_lib.simulator.clock import Clock
from schemahub_lib.simulator.listings import Listing
from schemahub_lib.simulator.market import SECOND
from schemahub_lib.simulator.source import Json, ModelSource, Render

Quote = tuple[str, str, str, str]  # bid, its size, ask, its size


class Feed(ABC):
    """One client's connection. Frames are JSON texts; times are the simulator's, in nanoseconds since 1970."""

    ping_every: ClassVar[float | None] = None  # real seconds between the server's ping frames

    def __init__(self, source: ModelSource, clock: Clock) -> None:
        self.source, self.clock = source, clock
        self.opened_ns = clock.now_ns()
        self._quotes: dict[str, Quote] = {}
        self._beat_ns = self.opened_ns

    @abstractmethod
    def opened(self, path: str, query: Mapping[str, str]) -> list[str] | None:
        """What is sent unasked at first; None where there is no feed at this path."""

    @abstractmethod
    def said(self, message: Json) -> list[str]:
        """The answers to what the client said; `message` is None where it was no JSON."""

    @abstractmethod
    def passed(self, since_ns: int, now_ns: int) -> list[str]:
        """What happened after one time and up to another."""

    def over(self, now_ns: int) -> bool:
        """Whether the server ends the connection."""
        return False

    def rows(self, listing: Listing, render: Render, since_ns: int, now_ns: int) -> list[str]:
        """The trades of a span, rendered."""
        stream = self.source.trades(listing.symbol, render)
        return stream.rows(stream.end(since_ns), stream.end(now_ns)) if stream else []

    def newest(self, listing: Listing, render: Render, count: int) -> list[str]:
        """The newest trades there are."""
        stream = self.source.trades(listing.symbol, render)
        end = stream.end(self.clock.now_ns()) if stream else 0
        return stream.rows(max(end - count, 0), end) if stream else []

    def quote(self, listing: Listing, now_ns: int) -> Quote | None:
        """The best prices and their sizes; None of a market that is closed."""
        bids, asks = self.source.book(listing.symbol, 1, now_ns)
        return (bids[0][0], bids[0][1], asks[0][0], asks[0][1]) if bids and asks else None

    def moved(self, listing: Listing, now_ns: int, fields: Sequence[int] = (0, 1, 2, 3)) -> Quote | None:
        """The quote when these of its fields are others than when this was last asked."""
        quote, before = self.quote(listing, now_ns), self._quotes.get(listing.symbol)
        if quote is None or (before is not None and all(quote[field] == before[field] for field in fields)):
            return None
        self._quotes[listing.symbol] = quote
        return quote

    def beats(self, now_ns: int) -> bool:
        """Whether a second has passed since this was last so."""
        if now_ns - self._beat_ns < SECOND:
            return False
        self._beat_ns = now_ns
        return True


def text(value: Json) -> str:
    return orjson.dumps(value).decode()
