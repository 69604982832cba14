"""Walks a product's tape from new to old, in pieces, several of them under way at once where ids tell them apart."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from schemahub_lib.errors import UnexpectedResponse
from schemahub_lib.exchanges.base import Exchange
from schemahub_lib.http.client import HttpClient
from schemahub_lib.http.messages import Page
from schemahub_lib.tables.state import Intervals

log = logging.getLogger(__name__)

HOUR = 3_600_000_000  # microseconds: the width of the first piece where positions are times
PAGES = 10  # of a piece, where positions are times
MOST_PAGES = 4 * PAGES  # of any piece; a wider one is fetched again in narrower ones
WIDER = 4  # how much after a piece without trades
TRIES = 3  # of a piece that the exchange answers with something else


@dataclass(frozen=True)
class Piece:
    """Every trade at the positions `low..high` of a product's tape; pages and trades oldest first."""

    low: int
    high: int
    pages: Sequence[Page]

    @property
    def rows(self) -> int:
        return sum(map(len, self.pages))


@dataclass(frozen=True)
class _TooMany:
    """A piece given up because it has more than a piece may have: it had `rows` trades up to `reached`."""

    rows: int
    reached: int


def walk(
    client: HttpClient, exchange: Exchange, product: str, ranges: Intervals, concurrency: int = 1
) -> Iterator[Piece]:
    """The pieces of some closed ranges of positions, from the newest to the oldest; nothing of a range is left out.

    There must be a trade at or after the end of each range. Pieces with ids are a page wide and fetched `concurrency`
    at once; those with times are fetched one after the other, as wide as makes some pages. Where trades are rare, or
    ids were skipped, pieces grow. Raises ExchangeError, Interrupted.
    """
    for low, high in reversed(ranges):
        yield from _Walk(client, exchange, product, concurrency).down(low, high)


class _Walk:
    def __init__(self, client: HttpClient, exchange: Exchange, product: str, concurrency: int) -> None:
        self.client, self.exchange, self.product = client, exchange, product
        self.by_id = exchange.raw_table.position == "id"
        self.at_once = concurrency if self.by_id else 1
        self.width = exchange.page_size if self.by_id else HOUR

    def down(self, low: int, high: int) -> Iterator[Piece]:
        ahead: deque[tuple[int, int, Future[list[Page] | _TooMany]]] = deque()
        pool = ThreadPoolExecutor(self.at_once, f"fetch-{self.product}")
        try:
            next_high = high
            while next_high >= low or ahead:
                while next_high >= low and len(ahead) < self.at_once:
                    start = max(low, next_high - self.width + 1)
                    ahead.append((start, next_high, pool.submit(self._fetch, start, next_high)))
                    next_high = start - 1
                start, end, fetched = ahead.popleft()
                found = fetched.result()
                if isinstance(found, _TooMany):
                    self.width = max((found.reached - start + 1) * self._rows_wanted // found.rows, 1)
                    for _, _, wider in ahead:
                        wider.cancel()
                    ahead.clear()
                    next_high = end
                else:
                    piece = Piece(start, end, found)
                    self._adapt(piece)
                    yield piece
        finally:
            # A thread may wait for an answer that is slow to come; whoever stops does not wait for it.
            pool.shutdown(wait=False, cancel_futures=True)

    @property
    def _rows_wanted(self) -> int:
        return self.exchange.page_size * (1 if self.by_id else PAGES)

    def _adapt(self, piece: Piece) -> None:
        width = piece.high - piece.low + 1
        if not piece.rows:
            self.width = max(self.width, width * WIDER)
        elif self.by_id:
            self.width = self.exchange.page_size
        else:
            fitting = width * self._rows_wanted // piece.rows
            self.width = max(min(fitting, width * WIDER), width // WIDER, 1)

    def _fetch(self, low: int, high: int) -> list[Page] | _TooMany:
        """Runs in a thread of the pool."""
        for attempt in range(TRIES):
            try:
                return self._try(low, high)
            except UnexpectedResponse as error:
                if attempt == TRIES - 1:
                    raise
                log.debug("%s; asking again", error)
        raise AssertionError("not reached")

    def _try(self, low: int, high: int) -> list[Page] | _TooMany:
        pages: list[Page] = []
        for page in self.client.pages(self.exchange.between(self.product, low, high)):
            pages.append(page)
            if len(pages) >= MOST_PAGES and any(map(len, pages)):
                reached = self.exchange.positions(next(page for page in reversed(pages) if len(page)))[-1]
                if reached < high:
                    return _TooMany(sum(map(len, pages)), reached)
        return pages
