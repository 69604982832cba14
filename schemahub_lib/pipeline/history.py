"""Walks a product's tape from new to old, in pieces, several of them under way at once where ids tell them apart."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
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
class TooMany:
    """A piece given up because it has more than a piece may have: it had `rows` trades up to `reached`."""

    rows: int
    reached: int


Fetched = list[Page] | TooMany


def fetch(client: HttpClient, exchange: Exchange, product: str, low: int, high: int) -> Fetched:
    """The pages of one piece, or word that it is too wide. Raises ExchangeError, Interrupted."""
    for attempt in range(TRIES):
        try:
            return _try(client, exchange, product, low, high)
        except UnexpectedResponse as error:
            if attempt == TRIES - 1:
                raise
            log.debug("%s; asking again", error)
    raise AssertionError("not reached")


def _try(client: HttpClient, exchange: Exchange, product: str, low: int, high: int) -> Fetched:
    pages: list[Page] = []
    for page in client.pages(exchange.between(product, low, high)):
        pages.append(page)
        if len(pages) >= MOST_PAGES and any(map(len, pages)):
            reached = exchange.positions(next(page.columns for page in reversed(pages) if len(page)))[-1]
            if reached < high:
                return TooMany(sum(map(len, pages)), reached)
    return pages


def walk(
    exchange: Exchange,
    ranges: Intervals,
    fetch: Callable[[int, int], Fetched],
    *,
    at_once: int = 1,
    pages: int | None = None,
) -> Generator[Piece, None, None]:
    """The pieces of some closed ranges of positions, from the newest to the oldest; nothing of a range is left out.

    There must be a trade at or after the end of each range. `fetch` is called in threads, `at_once` of them where
    positions are ids; where they are times one piece follows the other. A piece is as wide as makes `pages` pages: one
    for ids, some for times. Where trades are rare, or ids were skipped, pieces grow. Raises what `fetch` raises.
    """
    way = _Walk(exchange, fetch, at_once, pages)
    for low, high in reversed(ranges):
        yield from way.down(low, high)


class _Walk:
    def __init__(
        self, exchange: Exchange, fetch: Callable[[int, int], Fetched], at_once: int, pages: int | None
    ) -> None:
        self.by_id = exchange.raw_table.position == "id"
        self.fetch = fetch
        self.at_once = at_once if self.by_id else 1
        self.rows_wanted = exchange.page_size * (pages or (1 if self.by_id else PAGES))
        self.width = self.rows_wanted if self.by_id else HOUR

    def down(self, low: int, high: int) -> Iterator[Piece]:
        ahead: deque[tuple[int, int, Future[Fetched]]] = deque()
        pool = ThreadPoolExecutor(self.at_once, "fetch")
        try:
            next_high = high
            while next_high >= low or ahead:
                while next_high >= low and len(ahead) < self.at_once:
                    start = max(low, next_high - self.width + 1)
                    ahead.append((start, next_high, pool.submit(self.fetch, start, next_high)))
                    next_high = start - 1
                start, end, fetched = ahead.popleft()
                found = fetched.result()
                if isinstance(found, TooMany):
                    came = found.reached - start + 1  # less than the piece was wide, so that pieces end up fitting
                    self.width = max(min(came, came * self.rows_wanted // found.rows), 1)
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

    def _adapt(self, piece: Piece) -> None:
        width = piece.high - piece.low + 1
        if not piece.rows:
            self.width = max(self.width, width * WIDER)
        elif self.by_id:
            self.width = self.rows_wanted
        else:
            fitting = width * self.rows_wanted // piece.rows
            self.width = max(min(fitting, width * WIDER), width // WIDER, 1)
