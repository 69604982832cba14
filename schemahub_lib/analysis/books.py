"""Order books side by side: each venue's latest snapshot of an asset, or the one it had at a time. Starts no JVM."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from schemahub_lib.analysis.money import DOLLARS
from schemahub_lib.analysis.ticks import BASIS_POINTS, F64
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.exchanges.base import Exchange
from schemahub_lib.pipeline.products import known_symbols
from schemahub_lib.schemas import INGEST_TS
from schemahub_lib.tables.books import book_state
from schemahub_lib.tables.lake import Lake

if TYPE_CHECKING:
    from pyiceberg.table import Table as IcebergTable

# How far before a time a snapshot is looked for, in turn: the further, the more files are read.
SPANS = (timedelta(hours=1), timedelta(days=1), timedelta(days=31))


@dataclass(frozen=True)
class Side:
    """One side's levels, best first: prices in quote asset, quantities in base asset."""

    price: F64
    quantity: F64

    @property
    def depth(self) -> F64:
        """The quantity offered up to each level, in base asset."""
        return np.cumsum(self.quantity)

    @property
    def best(self) -> float | None:
        """The first level's price; None where nothing is offered."""
        return float(self.price[0]) if len(self.price) else None


@dataclass(frozen=True)
class Book:
    """A snapshot. `time` and `sequence` are the exchange's own; not all tell them."""

    exchange: str  # in capitals
    symbol: str
    quote: str | None
    fetched_at: datetime
    time: datetime | None
    sequence: int | None
    bids: Side
    asks: Side

    @property
    def middle(self) -> float | None:
        """Halfway between the best bid and the best ask; None where one side is empty."""
        bid, ask = self.bids.best, self.asks.best
        return (bid + ask) / 2 if bid is not None and ask is not None else None

    @property
    def spread(self) -> float | None:
        """Between the best bid and the best ask, in basis points of the middle; below zero in a crossed book, as
        exchanges show them in auctions."""
        if self.middle is None or self.asks.best is None or self.bids.best is None:
            return None
        return (self.asks.best - self.bids.best) / self.middle * BASIS_POINTS


def books(lake: Lake, name: str, at: datetime | None = None) -> list[Book]:
    """The latest snapshot of each venue's markets of an asset (`BTC`: those in dollars, where there are any), or of a
    symbol as the venue or canonically spelled (`BTC-EUR`); with `at`, the latest fetched in the 31 days until then.
    None of a venue that has none."""
    by = at or datetime.now(UTC)
    found = []
    for exchange, table, newest in _tables(lake):
        known = known_symbols(lake, exchange.name)
        for symbol, fetched in newest.items():
            told = known.get(symbol, {})
            if name in (symbol, told.get("canonical_symbol"), told.get("base_asset")):
                row = _row(exchange, table, symbol, by, fetched)
                found += [_book(exchange, row, told.get("quote_asset"))] if row else []
    return [book for book in found if book.quote in DOLLARS] or found


def compared(found: Sequence[Book]) -> tuple[float, float] | None:
    """The prices between which every book that has two sides tells what is offered; None where there are no such."""
    whole = [book for book in found if book.middle is not None]
    low = max((float(book.bids.price[-1]) for book in whole), default=0.0)
    high = min((float(book.asks.price[-1]) for book in whole), default=0.0)
    return (low, high) if low < high else None


def assets(lake: Lake) -> list[str]:
    """The base assets of which there are snapshots."""
    found = set()
    for exchange, _, newest in _tables(lake):
        known = known_symbols(lake, exchange.name)
        found |= {known[symbol]["base_asset"] for symbol in newest if symbol in known}
    return sorted(found)


def _tables(lake: Lake) -> Iterator[tuple[Exchange, IcebergTable, Mapping[str, datetime]]]:
    """Each exchange's table of books, and when the newest snapshot of each symbol in it was fetched."""
    for exchange in EXCHANGES.values():
        table = lake.find(exchange.books.table.name) if exchange.books is not None else None
        if table is not None and exchange.books is not None:
            streams = sorted(book_state(exchange.books.table, table).streams.items())
            yield exchange, table, {symbol: stream.watermark.last_ts for symbol, stream in streams if stream.watermark}


def _row(exchange: Exchange, table: IcebergTable, symbol: str, by: datetime, newest: datetime) -> dict[str, Any] | None:
    """A symbol's newest snapshot fetched by a time; None where there is none."""
    from pyiceberg.expressions import And, EqualTo, GreaterThan, LessThanOrEqual

    # pyiceberg's types want an unbound term here, its documentation a column's name
    of_symbol = EqualTo(exchange.symbol_column, symbol)  # type: ignore[call-arg,arg-type]
    if newest > by:
        column = INGEST_TS.name
        by_then = And(of_symbol, LessThanOrEqual(column, by.isoformat()))  # type: ignore[call-arg,arg-type]
        for span in SPANS:
            since = GreaterThan(column, (by - span).isoformat())  # type: ignore[call-arg,arg-type]
            times = table.scan(And(by_then, since), selected_fields=(column,)).to_arrow()[column]
            if len(times):
                newest = max(times.to_pylist())
                break
        else:
            return None
    at = EqualTo(INGEST_TS.name, newest.isoformat())  # type: ignore[call-arg,arg-type]
    return next(iter(table.scan(And(of_symbol, at)).to_arrow().to_pylist()), None)


def _book(exchange: Exchange, row: Mapping[str, Any], quote: str | None) -> Book:
    return Book(
        *(exchange.name.upper(), row[exchange.symbol_column], quote),
        *(row[column] for column in (INGEST_TS.name, "time", "sequence")),
        *(_side(row[side]) for side in ("bids", "asks")),
    )


def _side(levels: list[dict[str, float]]) -> Side:
    return Side(*(np.array([level[name] for level in levels]) for name in ("price", "quantity")))
